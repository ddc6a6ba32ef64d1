//! One program per data directory, kept by a lock that the kernel drops when the process ends, however it ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Holds the data directory for as long as it lives.
#[derive(Debug)]
pub struct Instance {
    /// Locked; never read or written.
    _lock: File,
}

/// Why a data directory cannot be taken.
#[derive(Debug, Error)]
pub enum InstanceError {
    /// Another process holds it.
    #[error("another process uses the data directory {0}: stop it, or give this one a directory of its own")]
    Held(PathBuf),
    /// It cannot be made, or the lock file in it cannot be opened.
    #[error("opening data directory {path}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

impl Instance {
    /// Makes the data directory where it is missing (mode 0700) and takes it.
    ///
    /// # Errors
    /// [`InstanceError`].
    pub fn take(data_dir: &Path) -> Result<Self, InstanceError> {
        let fault = |source| InstanceError::Open { path: data_dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(fault)?;
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(data_dir.join(LOCK_FILE))
            .map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(InstanceError::Held(data_dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(fault(source)),
        }
    }

    /// Whether a live process holds the data directory.
    #[must_use]
    pub fn is_held(data_dir: &Path) -> bool {
        File::open(data_dir.join(LOCK_FILE))
            .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

const LOCK_FILE: &str = "lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused_until_the_first_has_ended() {
        let dir = std::env::temp_dir().join(format!("garrison-instance-{}", std::process::id()));
        assert!(!Instance::is_held(&dir));
        let first = Instance::take(&dir).expect("free");
        assert!(Instance::is_held(&dir));
        assert!(matches!(Instance::take(&dir), Err(InstanceError::Held(_))));
        drop(first);
        assert!(!Instance::is_held(&dir));
        Instance::take(&dir).expect("free again");
        std::fs::remove_dir_all(&dir).expect("ours");
    }
}
