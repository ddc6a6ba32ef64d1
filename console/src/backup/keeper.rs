//! Makes the backups that are kept in the data directory: on request and on schedule.
//!
//! The schedule is a setting in the database. The passphrase is a file of mode 0600 in the data directory, beside the
//! key of the certificate authority that the same users may read: in the database it would be in each backup and in
//! every dump of a PostgreSQL server, and to seal it there would take a key in just such a file.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifecycle::logging::error_chain;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::kept::{Folder, Kept};
use super::schedule::Every;
use super::{BackupError, Kind, Passphrase, io, make, sync_directory};
use crate::config::Database;
use crate::store::audits::{Action, Actor, Deed};
use crate::store::{Store, StoreError};

/// Makes backups. Clones share it.
#[derive(Debug, Clone)]
pub struct Keeper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    database: Database,
    data_dir: PathBuf,
    folder: Folder,
    /// Held while one is made.
    turn: tokio::sync::Mutex<()>,
    last: Mutex<Last>,
}

/// What the newest backup came to.
#[derive(Debug, Clone, Default)]
pub enum Last {
    /// None was made since the start.
    #[default]
    None,
    /// It is there.
    Made,
    /// It is not.
    Failed(Failure),
}

/// Why a backup failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// When.
    pub time: OffsetDateTime,
    /// What went wrong.
    pub cause: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// When backups are made, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// How often.
    #[serde(rename = "schedule")]
    pub every: Every,
    /// The hour of the day, UTC.
    pub hour: u8,
    /// How many scheduled ones are kept.
    pub keep: u32,
    /// Since when it stands, in milliseconds since 1970.
    pub since: i64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { every: Every::Off, hour: 2, keep: 7, since: 0 }
    }
}

impl Keeper {
    /// A keeper for the Console of `data_dir`.
    #[must_use]
    pub fn new(store: Store, database: Database, data_dir: &Path) -> Self {
        let folder = Folder::of(data_dir);
        let (turn, last) = (tokio::sync::Mutex::default(), Mutex::default());
        let data_dir = data_dir.to_owned();
        Self(Arc::new(Inner { store, database, data_dir, folder, turn, last }))
    }

    /// The backups that are kept.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.0.folder
    }

    /// Why the newest one failed; `None` when it did not.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        if let Last::Failed(failure) = self.last() { Some(failure) } else { None }
    }

    /// What the newest one came to.
    #[must_use]
    pub fn last(&self) -> Last {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When backups are made.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn schedule(&self) -> Result<Schedule, StoreError> {
        let text = self.0.store.setting(SETTING).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Whether there is a passphrase.
    #[must_use]
    pub fn has_passphrase(&self) -> bool {
        self.passphrase().is_ok()
    }

    /// Changes schedule and, if one is given, passphrase, in the name of `actor`.
    ///
    /// # Errors
    /// When the database or the data directory fail; nothing has changed then.
    pub async fn change(
        &self,
        schedule: Schedule,
        passphrase: Option<Passphrase>,
        actor: &Actor,
    ) -> Result<(), BackupError> {
        // All that is likely to fail comes before the entry, and the entry before the passphrase counts.
        let secret = passphrase.map(|passphrase| {
            let unfinished = self.passphrase_path().with_extension("unfinished");
            write_secret(&unfinished, passphrase.reveal().as_bytes()).map(|()| unfinished)
        });
        let secret = secret.transpose()?;
        let deed = secret.is_some().then(|| Deed {
            actor: actor.clone(),
            action: Action::SettingChanged,
            object: "backup-passphrase".to_owned(),
            old: Value::Null,
            new: Value::Null,
        });
        let old = serde_json::to_value(self.schedule().await?).unwrap_or_default();
        let new = serde_json::to_value(schedule).unwrap_or_default();
        let (store, now) = (&self.0.store, OffsetDateTime::now_utc());
        if old != new {
            store.change_setting_and(SETTING, (old, new), deed.as_ref(), actor, now).await?;
        } else if let Some(deed) = &deed {
            store.record(deed, now).await?;
        }
        secret.map_or(Ok(()), |unfinished| put_in_place(&unfinished, &self.passphrase_path()))
    }

    /// Makes one now.
    ///
    /// # Errors
    /// [`BackupError`]; kept for [`Keeper::failure`], too.
    pub async fn make(&self, kind: Kind, actor: &Actor) -> Result<Kept, BackupError> {
        let Ok(_turn) = self.0.turn.try_lock() else { return Err(BackupError::Busy) };
        let made = self.make_in_turn(kind, actor).await;
        if kind == Kind::Requested && matches!(made, Err(BackupError::NoPassphrase)) {
            // Told to the one who asked; nobody else has to act.
            return made;
        }
        let last = match &made {
            Ok(_) => Last::Made,
            Err(error) => {
                let (time, cause, remedy) = (OffsetDateTime::now_utc(), error_chain(error), error.remedy());
                tracing::error!(error = cause, remedy, "Backup failed");
                Last::Failed(Failure { time, cause, remedy })
            }
        };
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        made
    }

    async fn make_in_turn(&self, kind: Kind, actor: &Actor) -> Result<Kept, BackupError> {
        let passphrase = self.passphrase()?;
        let Inner { store, database, data_dir, folder, .. } = &*self.0;
        let path = folder.place(OffsetDateTime::now_utc())?;
        let made = make(database, data_dir, &path, kind, passphrase).await?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tracing::info!(name, bytes = made.bytes, rows = made.rows, "Backup made");
        let kept = folder.one(&name).ok_or(BackupError::Stopped)?;
        let (action, new) = (Action::BackupMade, json!({ "kind": kind, "size": made.bytes }));
        let deed = Deed { actor: actor.clone(), action, object: name, old: Value::Null, new };
        store.record(&deed, OffsetDateTime::now_utc()).await?;
        Ok(kept)
    }

    /// Makes backups when they are due, also those that were missed while the Console did not run.
    pub async fn run(self, shutdown: CancellationToken) {
        self.0.folder.tidy();
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                // Short, and compared with the clock anew each time: the clock may be set, the host may sleep.
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => return,
            }
            pause = tokio::select! {
                looked = self.look() => if looked { LOOK_EVERY } else { RETRY_AFTER },
                () = shutdown.cancelled() => return,
            };
        }
    }

    /// Makes one if it is due. `false`: one is due and was not made.
    async fn look(&self) -> bool {
        let Ok(schedule) = self.schedule().await else { return true };
        let since = crate::store::from_milliseconds(schedule.since);
        let kept = self.0.folder.list().unwrap_or_default();
        let made = kept.iter().filter(|kept| kept.kind == Kind::Scheduled).map(|kept| kept.time);
        if !schedule.every.is_due(schedule.hour, OffsetDateTime::now_utc(), since, made) {
            return true;
        }
        match self.make(Kind::Scheduled, &Actor::console()).await {
            Ok(_) => {
                self.prune(schedule.keep);
                true
            }
            Err(BackupError::Busy) => true,
            Err(_) => false,
        }
    }

    fn prune(&self, keep: u32) {
        match self.0.folder.prune(usize::try_from(keep).unwrap_or(usize::MAX).max(1)) {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => tracing::info!(names = gone.join(","), "Old backups removed"),
            Err(error) => tracing::warn!(error = error_chain(&error), "Cannot remove old backups"),
        }
    }

    fn passphrase(&self) -> Result<Passphrase, BackupError> {
        let text = fs::read_to_string(self.passphrase_path()).map(zeroize::Zeroizing::new);
        text.ok().and_then(|text| Passphrase::parse(&text).ok()).ok_or(BackupError::NoPassphrase)
    }

    fn passphrase_path(&self) -> PathBuf {
        self.0.data_dir.join("backup-passphrase")
    }
}

/// Writes a file that is not in its place yet, mode 0600.
fn write_secret(unfinished: &Path, content: &[u8]) -> Result<(), BackupError> {
    let _ = fs::remove_file(unfinished);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(unfinished);
    file.and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .map_err(io("writing", unfinished))
}

/// In one step.
fn put_in_place(unfinished: &Path, path: &Path) -> Result<(), BackupError> {
    fs::rename(unfinished, path).map_err(io("writing", path))?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

const SETTING: &str = "backups";

const LOOK_EVERY: Duration = Duration::from_secs(30);

/// After one that failed.
const RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
