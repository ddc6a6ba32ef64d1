//! Backups: the whole Console in one encrypted file, and the way back.
//!
//! ```text
//! seal.rs      the file: header, passphrase, encrypted chunks
//! records.rs   what is inside: files and rows as compressed lines
//! make.rs      database and certificate authority -> file, beside a running Console
//! restore.rs   file -> checked whole -> staged beside what is there
//! switch.rs    staged -> in place, so that a crash leaves the old or the new
//! kept.rs      the backups kept in the data directory
//! schedule.rs  when the next one is due
//! keeper.rs    makes them on request, on schedule and after steps of a rotation of the CA
//! ```
//!
//! Not inside: tokens and sessions (a restored Console asks everybody to sign in again), custom certificates
//! (they are the operator's), the passphrase, other backups.

use std::path::{Path, PathBuf};
use std::{fmt, future, panic};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::store::StoreError;

pub mod keeper;
pub mod kept;
mod make;
mod records;
mod restore;
pub mod schedule;
mod seal;
mod switch;

pub use make::{Made, make};
pub use restore::{Plan, Restored, There, restore};
pub use seal::{About, Kind, SealError};
pub use switch::{finish, settle};

/// What a backup is encrypted with. `Debug` prints a mask.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

/// A text that cannot be a passphrase.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a passphrase has 12 to 1024 characters; line ends around it do not count")]
pub struct PassphraseError;

impl Passphrase {
    /// Takes a text, or the content of a file, without the line ends around it.
    ///
    /// # Errors
    /// The accepted form.
    pub fn parse(text: &str) -> Result<Self, PassphraseError> {
        let text = text.trim_matches(['\r', '\n']);
        let length = text.chars().take(MOST_CHARACTERS + 1).count();
        let fits = (LEAST_CHARACTERS..=MOST_CHARACTERS).contains(&length);
        if fits { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(PassphraseError) }
    }

    fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// Why there is no backup, or why it was not restored. Nothing has changed then.
#[derive(Debug, Error)]
pub enum BackupError {
    /// Another backup is being made.
    #[error("another backup is being made")]
    Busy,
    /// Rows or files in it are not what this version can take.
    #[error("{path}: its content does not fit: {cause}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// There is something already.
    #[error("{0} holds a Console's data already")]
    Full(String),
    /// The data directory belongs to another process, or cannot be used.
    #[error(transparent)]
    Instance(#[from] lifecycle::InstanceError),
    /// A file or directory.
    #[error("{action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Nothing to back up.
    #[error("{0} holds no data of a Console")]
    Nothing(PathBuf),
    /// No passphrase is set.
    #[error("no passphrase is set for backups")]
    NoPassphrase,
    /// The file cannot be opened.
    #[error("{path}: {source}")]
    Seal {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SealError,
    },
    /// The Console stops, or a worker has ended.
    #[error("the backup was interrupted: the Console is stopping")]
    Stopped,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file was made by a newer Console.
    #[error(
        "{path} was made by Console {version} with schema step {schema}; this version knows step {known}"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// What made it.
        version: String,
        /// The newest schema step in it.
        schema: i64,
        /// The newest schema step of this version.
        known: i64,
    },
}

impl BackupError {
    /// What a person can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Busy => "wait for it to end and try again",
            Self::Content { .. } | Self::Seal { source: SealError::Damaged | SealError::CutShort, .. } => {
                "copy the file again from where it is kept, or take another backup"
            }
            Self::Full(_) => "give --replace to put the backup in its place; what is there is kept aside",
            Self::Instance(_) => "stop the Console of this data directory, or name another with --data-dir",
            Self::Io { .. } | Self::Seal { source: SealError::Io(_), .. } => {
                "check that the path exists, that this user may use it, and that there is space left"
            }
            Self::Nothing(_) => "name the Console's data directory with --data-dir",
            Self::NoPassphrase => "set one in Settings or with POST /api/v1/settings/backups",
            Self::Seal { source: SealError::Foreign, .. } => "name a file that `console backup` has written",
            Self::Seal { source: SealError::Passphrase, .. } => {
                "give the passphrase that was in use when this backup was made"
            }
            Self::Stopped => "try again when the Console runs",
            Self::Store(_) => "check that the database can be reached, and that there is space left",
            Self::TooNew { .. } | Self::Seal { source: SealError::Newer(_), .. } => {
                "restore it with the version that made it, or a newer one"
            }
        }
    }
}

/// Names what was being done: `.map_err(io("reading", &path))`.
fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { action, path, source }
}

/// Works on files beside the tasks: a disk may be slow. A panic of `work` goes on here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(cause) => panic::resume_unwind(cause),
            // The runtime goes down, and the caller with it.
            Err(_) => future::pending().await,
        },
    }
}

/// Makes names in a directory outlast a crash.
fn sync_directory(path: &Path) -> Result<(), BackupError> {
    lifecycle::atomic::sync_dir(path).map_err(io("writing", path))
}

const LEAST_CHARACTERS: usize = 12;
const MOST_CHARACTERS: usize = 1024;

/// The Console's own certificate authority, below the data directory.
const CERTIFICATES: &str = "certificates";

#[cfg(test)]
mod tests;
