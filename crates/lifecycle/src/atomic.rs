//! Small files of a program's own directory, written whole or not at all. Blocking: call it off the runtime's threads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Whether a file must survive a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Synced, with its directory, before this returns.
    PowerLoss,
    /// A reader sees the old or the new content; after a loss of power it may be gone.
    Rename,
}

/// Content that is written, and not in its place yet. Dropped, it is gone.
#[derive(Debug)]
pub struct Prepared {
    temporary: PathBuf,
    path: PathBuf,
    durability: Durability,
    is_placed: bool,
}

/// Replaces `path` by `content`, mode 0600. One writer at a time: the directory has one owner.
///
/// # Errors
/// What the system says; `path` has the old or the new content, never half of it.
pub fn write(path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    prepare(path, content, durability)?.put_in_place()
}

/// Does all of [`write()`] that is likely to fail.
///
/// # Errors
/// What the system says; nothing is left behind.
pub fn prepare(path: &Path, content: &[u8], durability: Durability) -> io::Result<Prepared> {
    let temporary = temporary(path);
    // What a write that was cut off has left behind, or a link that somebody else has put there.
    let _ = fs::remove_file(&temporary);
    let mut file = options().create_new(true).open(&temporary)?;
    let prepared = Prepared { temporary, path: path.to_owned(), durability, is_placed: false };
    file.write_all(content)?;
    match durability {
        Durability::PowerLoss => file.sync_all()?,
        Durability::Rename => {}
    }
    Ok(prepared)
}

impl Prepared {
    /// In one step.
    ///
    /// # Errors
    /// What the system says.
    pub fn put_in_place(mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)?;
        self.is_placed = true;
        match (self.durability, self.path.parent()) {
            (Durability::PowerLoss, Some(dir)) => sync_dir(dir),
            _ => Ok(()),
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if !self.is_placed {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Makes what was created, renamed or deleted in `dir` survive a loss of power.
///
/// # Errors
/// What the system says.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

/// An empty file of mode 0600.
///
/// # Errors
/// What the system says.
pub fn create(path: &Path) -> io::Result<File> {
    options().create(true).truncate(true).open(path)
}

/// Whether `path` is what a write that was cut off has left behind.
#[must_use]
pub fn is_temporary(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(EXTENSION);
    PathBuf::from(name)
}

const EXTENSION: &str = "tmp";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_for_its_owner_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        for (content, durability) in [("first", Durability::PowerLoss), ("second", Durability::Rename)] {
            write(&path, content.as_bytes(), durability).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("there"), content);
            let mode = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_prepared_and_never_placed_is_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        drop(prepare(&path, b"secret", Durability::PowerLoss).expect("prepared"));
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, other) = (dir.path().join("file"), dir.path().join("other"));
        fs::write(&other, "untouched").expect("written");
        symlink(&other, temporary(&path)).expect("a link");
        write(&path, b"content", Durability::Rename).expect("written");
        assert_eq!(fs::read_to_string(&other).expect("there"), "untouched");
        assert!(fs::symlink_metadata(&path).expect("there").is_file());
    }
}
