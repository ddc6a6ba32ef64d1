//! Small files of the data directory, written whole or not at all. Blocking: call it off the runtime's threads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Whether a file must survive a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Synced, with its directory, before this returns.
    PowerLoss,
    /// A reader sees the old or the new content; after a loss of power it may be gone.
    Rename,
}

/// Replaces `path` by `content`, mode 0600. One writer at a time: the data directory has one owner.
pub(crate) fn write(path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    let temporary = temporary(path);
    let mut file = create(&temporary)?;
    let written = file.write_all(content).and_then(|()| match durability {
        Durability::PowerLoss => file.sync_all(),
        Durability::Rename => Ok(()),
    });
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    match (durability, path.parent()) {
        (Durability::PowerLoss, Some(dir)) => sync_dir(dir),
        _ => Ok(()),
    }
}

/// Makes what was created, renamed or deleted in `dir` survive a loss of power.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// An empty file of mode 0600.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)
}

/// Whether `path` is what a write that was cut off has left behind.
pub(crate) fn is_temporary(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION)
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(EXTENSION);
    PathBuf::from(name)
}

const EXTENSION: &str = "tmp";
