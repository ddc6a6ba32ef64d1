//! Puts a staged restore in the place of what is there. A directory that may be a mount point cannot be exchanged in
//! one step, so one rename decides, and what follows it can be done again after a crash:
//!
//! ```text
//! restore.unfinished/   being staged: nothing has changed; the next restore starts over
//! restore.prepared/     PostgreSQL only: decided by whether its transaction was committed
//! restore.ready/        decided: its entries take their places, and what was there goes to the folder that
//!                       restore.ready/aside names; whoever takes the data directory next goes on with it
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use super::{BackupError, CERTIFICATES, io, sync_directory};
use crate::store::Store;
use crate::store::load::RESTORED;

/// A folder for what is restored, in the data directory: on the same file system.
pub(super) struct Stage {
    data_dir: PathBuf,
    /// The folder.
    pub(super) path: PathBuf,
}

impl Stage {
    /// Begins anew, without what an interrupted restore has left.
    pub(super) fn begin(data_dir: &Path) -> Result<Self, BackupError> {
        let path = data_dir.join(UNFINISHED);
        remove(&path)?;
        remove(&data_dir.join(PREPARED))?;
        make_folder(&path)?;
        Ok(Self { data_dir: data_dir.to_owned(), path })
    }

    /// Everything is in it. `aside` is where what is there goes; `id` names the restore in the database.
    pub(super) fn prepare(&mut self, aside: &str, id: &str) -> Result<(), BackupError> {
        for (name, text) in [(ASIDE, aside), (ID, id)] {
            let path = self.path.join(name);
            fs::write(&path, text).map_err(io("writing", &path))?;
        }
        sync_all(&self.path)?;
        self.rename(PREPARED)
    }

    /// From here on the new is what counts.
    pub(super) fn decide(mut self) -> Result<(), BackupError> {
        self.rename(READY)?;
        finish(&self.data_dir).map(|_| ())
    }

    /// Nothing of it stays, unless the database may have decided for it.
    pub(super) fn abandon(self) {
        if self.path.ends_with(UNFINISHED) {
            // Best effort: the next restore removes it, too.
            let _ = fs::remove_dir_all(&self.path);
        }
    }

    fn rename(&mut self, name: &str) -> Result<(), BackupError> {
        let to = self.data_dir.join(name);
        fs::rename(&self.path, &to).map_err(io("renaming", &self.path))?;
        self.path = to;
        sync_directory(&self.data_dir)
    }
}

/// Goes on with a restore that was decided, and interrupted. Whether there was one. The caller holds the data
/// directory.
///
/// # Errors
/// When the directory cannot be written; can be called again.
pub fn finish(data_dir: &Path) -> Result<bool, BackupError> {
    let ready = data_dir.join(READY);
    if !ready.is_dir() {
        return Ok(false);
    }
    let aside = fs::read_to_string(ready.join(ASIDE)).map_err(io("reading", &ready.join(ASIDE)))?;
    let aside = data_dir.join(aside);
    // An entry has its place when the staged one is gone. The database comes last, after its side files have left.
    for (entry, leaving) in [(CERTIFICATES, &[CERTIFICATES][..]), (DATABASE, DATABASE_FILES)] {
        let new = ready.join(entry);
        if !new.exists() {
            continue;
        }
        for name in leaving {
            let old = data_dir.join(name);
            if old.exists() {
                make_folder(&aside)?;
                fs::rename(&old, aside.join(name)).map_err(io("renaming", &old))?;
                sync_directory(&aside)?;
            }
        }
        sync_directory(data_dir)?;
        fs::rename(&new, data_dir.join(entry)).map_err(io("renaming", &new))?;
        sync_directory(data_dir)?;
    }
    remove(&ready)?;
    sync_directory(data_dir)?;
    Ok(true)
}

/// Decides a restore into PostgreSQL that was interrupted: it counts when its transaction was committed. Whether it
/// does. The caller holds the data directory.
///
/// # Errors
/// When database or directory fail; can be called again.
pub async fn settle(data_dir: &Path, store: &Store) -> Result<bool, BackupError> {
    let prepared = data_dir.join(PREPARED);
    let id = match fs::read_to_string(prepared.join(ID)) {
        Ok(id) => id,
        Err(_) if !prepared.exists() => return Ok(false),
        Err(error) => return Err(io("reading", &prepared.join(ID))(error)),
    };
    if store.setting(RESTORED).await?.as_deref() == Some(id.as_str()) {
        fs::rename(&prepared, data_dir.join(READY)).map_err(io("renaming", &prepared))?;
        return finish(data_dir);
    }
    remove(&prepared)?;
    Ok(false)
}

/// Whether there is anything that a restore would replace.
pub(super) fn has_content(data_dir: &Path) -> bool {
    [DATABASE, CERTIFICATES].iter().any(|name| data_dir.join(name).exists())
}

pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("making directory", path))
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Everything below a folder, down to the disk.
fn sync_all(path: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(path).map_err(io("reading", path))? {
        let path = entry.map_err(io("reading", path))?.path();
        if path.is_dir() { sync_all(&path)? } else { sync_directory(&path)? }
    }
    sync_directory(path)
}

const UNFINISHED: &str = "restore.unfinished";
const PREPARED: &str = "restore.prepared";
const READY: &str = "restore.ready";
const ASIDE: &str = "aside";
const ID: &str = "id";

/// The embedded database in the data directory.
pub(super) const DATABASE: &str = "console.db";
const DATABASE_FILES: &[&str] = &["console.db-wal", "console.db-shm", "console.db"];
