//! The custom certificates directory: decided once at start, shared by all channels of a program, and what each
//! of them starts on.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::channel::Channel;
use crate::disk::{self, Look, reason};
use crate::error::CertError;
use crate::folders::Folders;
use crate::material::Material;
use crate::raw::{Found, RawMaterial};
use crate::revocations;
use crate::storage::{self, Meanwhile};

/// The directory and the one watcher on it. Clones share the watcher.
#[derive(Debug, Clone)]
pub struct CustomDir {
    path: PathBuf,
    poll: Duration,
    /// `None`: there was no directory at start.
    folders: Option<Arc<Folders>>,
}

impl CustomDir {
    /// Decides whether the directory is watched, logs that, and starts the watcher. `poll` is how often it is looked
    /// at without an event.
    #[must_use]
    pub fn open(path: &Path, poll: Duration) -> Self {
        let instead = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => None,
            Ok(_) => Some("is not a directory".to_owned()),
            // Nobody knows what is there: other certificates than those would be wrong.
            Err(error) if storage::is_broken(&error) => None,
            Err(error) => match error.kind() {
                // It cannot be looked at, so reading will fail, and say so.
                ErrorKind::PermissionDenied => None,
                ErrorKind::NotFound | ErrorKind::NotADirectory => {
                    tracing::debug!(
                        "Custom certificates watcher disabled: certificates directory is not mounted"
                    );
                    return Self { path: path.to_owned(), poll, folders: None };
                }
                _ => Some(reason(&error)),
            },
        };
        if let Some(instead) = instead {
            tracing::warn!(
                remedy = "name the directory that holds the custom certificates, and start again",
                "Custom certificates watcher disabled: {}: {instead}",
                path.display()
            );
            return Self { path: path.to_owned(), poll, folders: None };
        }
        tracing::debug!("Watching custom certificates directory: {}", path.display());
        let folders = Folders::new(&[path], poll);
        folders.arm();
        Self { path: path.to_owned(), poll, folders: Some(Arc::new(folders)) }
    }

    /// As `open`, off the runtime's threads. Waits until all files can be read, which network storage may put off, and
    /// says so. Cancel-safe: a stop need not wait as well.
    pub async fn reach(path: &Path, poll: Duration) -> Self {
        let dir = path.to_owned();
        let work = move || {
            let found = Self::open(&dir, poll);
            for channel in Channel::ALL {
                // For its own sake: whoever reads them now will not have to wait.
                let _ = Look::take(channel, &dir);
            }
            let _ = disk::read_file(&dir.join(revocations::FILE));
            found
        };
        let reached = storage::patiently(path.display(), Meanwhile::Waits, &mut false, work).await;
        reached.unwrap_or_else(|_| Self::open(path, poll))
    }

    /// Whether the directory was there at start.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.folders.is_some()
    }

    /// The directory as configured.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often to look without an event.
    pub fn poll(&self) -> Duration {
        self.poll
    }

    /// The watcher.
    pub(crate) fn folders(&self) -> Option<&Arc<Folders>> {
        self.folders.as_ref()
    }
}

/// What a channel starts on: its custom files if all of them are there, else `None`, and the caller brings the
/// self-signed material. Doubts are logged.
///
/// # Errors
/// The files are there and unusable; the caller logs that with CRIT and exits.
pub fn custom_at_start(channel: Channel, dir: &CustomDir) -> Result<Option<Material>, CertError> {
    if !dir.is_watched() {
        return Ok(None);
    }
    let found = RawMaterial::read(channel, dir.path());
    if !matches!(found, Ok(Found::Missing(_))) {
        tracing::debug!(channel = channel.id(), "{USING_CUSTOM}");
    }
    match found? {
        Found::Complete(raw) => {
            let material = Material::parse(raw)?;
            log_doubts(&material, OffsetDateTime::now_utc());
            Ok(Some(material))
        }
        Found::Missing(_) => Ok(None),
    }
}

/// One warning for each doubt about a set that is taken.
pub(crate) fn log_doubts(material: &Material, now: OffsetDateTime) {
    for doubt in material.doubts(now) {
        let channel = material.channel().log_name();
        tracing::warn!(remedy = doubt.remedy(), "Doubtful {channel} custom certificates: {doubt}");
    }
}

/// The contract's line for a channel that uses custom files.
pub(crate) const USING_CUSTOM: &str = "Using custom directory certificates";
