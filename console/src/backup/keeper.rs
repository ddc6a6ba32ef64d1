//! Makes the backups that are kept in the data directory: on request, on schedule, and while there is a schedule also
//! after each step of a rotation of the Console's own CA, because a backup from before it knows too few CAs.
//!
//! The schedule is a setting in the database. The passphrase is a file of mode 0600 in the data directory, beside the
//! key of the certificate authority that the same users may read: in the database it would be in each backup and in
//! every dump of a PostgreSQL server, and to seal it there would take a key in just such a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifecycle::atomic::{self, Durability};
use lifecycle::logging::error_chain;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::kept::{Folder, Kept};
use super::schedule::{self, Every};
use super::{BackupError, CERTIFICATES, Kind, Passphrase, blocking, io, make};
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
    /// Held while schedule and passphrase are changed: they belong together, and the file has one writer.
    changing: tokio::sync::Mutex<()>,
    /// Woken when the newest backup no longer does.
    outdated: Notify,
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
        let (turn, changing) = Default::default();
        let (outdated, last, data_dir) = (Notify::new(), Mutex::default(), data_dir.to_owned());
        Self(Arc::new(Inner { store, database, data_dir, folder, turn, changing, outdated, last }))
    }

    /// The folder of the backups that are kept.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.0.folder
    }

    /// The backups that are kept, newest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn list(&self) -> Result<Vec<Kept>, BackupError> {
        self.in_folder(Folder::list).await
    }

    /// One of them; `None` when there is none of that name.
    ///
    /// # Errors
    /// When the Console stops.
    pub async fn find(&self, name: &str) -> Result<Option<Kept>, BackupError> {
        let name = name.to_owned();
        self.in_folder(move |folder| Ok(folder.one(&name))).await
    }

    /// Removes one; whether it was there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove(&self, name: &str) -> Result<bool, BackupError> {
        let name = name.to_owned();
        self.in_folder(move |folder| folder.remove(&name)).await
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
    pub async fn has_passphrase(&self) -> bool {
        self.passphrase().await.is_ok()
    }

    /// Has a scheduled one made now, before it is due, because the CA has changed; none while there is no schedule.
    pub fn outdate(&self) {
        self.0.outdated.notify_one();
    }

    /// Changes schedule and, if one is given, passphrase, in the name of `actor`.
    ///
    /// # Errors
    /// When the database or the data directory fail. Nothing has changed then; unless it was the very last that failed,
    /// to put the passphrase in its place: then the former one counts, beside the new schedule.
    pub async fn change(
        &self,
        schedule: Schedule,
        passphrase: Option<Passphrase>,
        actor: &Actor,
    ) -> Result<(), BackupError> {
        let _turn = self.0.changing.lock().await;
        // All that is likely to fail comes before the entry, and the entry before the passphrase counts.
        let secret = match passphrase {
            Some(passphrase) => {
                let path = self.passphrase_path();
                let prepared = blocking(move || {
                    atomic::prepare(&path, passphrase.reveal().as_bytes(), Durability::PowerLoss)
                        .map_err(io("writing", &path))
                });
                Some(prepared.await?)
            }
            None => None,
        };
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
        match secret {
            Some(prepared) => {
                let path = self.passphrase_path();
                blocking(move || prepared.put_in_place().map_err(io("writing", &path))).await
            }
            None => Ok(()),
        }
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
        let passphrase = self.passphrase().await?;
        let Inner { store, database, data_dir, .. } = &*self.0;
        let path = self.in_folder(|folder| folder.place(OffsetDateTime::now_utc())).await?;
        let made = make(database, data_dir, &path, kind, passphrase).await?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tracing::info!(name, bytes = made.bytes, rows = made.rows, "Backup made");
        let kept = self.find(&name).await?.ok_or(BackupError::Stopped)?;
        let (action, new) = (Action::BackupMade, json!({ "kind": kind, "size": made.bytes }));
        let deed = Deed { actor: actor.clone(), action, object: name, old: Value::Null, new };
        store.record(&deed, OffsetDateTime::now_utc()).await?;
        Ok(kept)
    }

    /// Makes backups when they are due, also those that were missed while the Console did not run, or because it stopped
    /// right after a step of the CA.
    pub async fn run(self, shutdown: CancellationToken) {
        let tidied = self.in_folder(|folder| {
            folder.tidy();
            Ok(())
        });
        // Best effort.
        let _ = tidied.await;
        let (mut pause, mut outdated) = (Duration::ZERO, self.lacks_a_step().await);
        loop {
            tokio::select! {
                // Short, and compared with the clock anew each time: the clock may be set, the host may sleep.
                () = tokio::time::sleep(pause) => {}
                () = self.0.outdated.notified() => {
                    // The time of a backup is in whole seconds: of one in the next, the next start sees that it came
                    // after the step.
                    (pause, outdated) = (Duration::from_secs(1), true);
                    continue;
                }
                () = shutdown.cancelled() => return,
            }
            pause = tokio::select! {
                pause = self.look(&mut outdated) => pause,
                () = shutdown.cancelled() => return,
            };
        }
    }

    /// Makes one if it is due, or the newest is `outdated`. When to look again.
    pub(super) async fn look(&self, outdated: &mut bool) -> Duration {
        let Ok(schedule) = self.schedule().await else { return LOOK_EVERY };
        *outdated &= schedule.every != Every::Off;
        if !*outdated && !self.is_due(schedule).await {
            return LOOK_EVERY;
        }
        match self.make(Kind::Scheduled, &Actor::console()).await {
            Ok(_) => {
                *outdated = false;
                self.prune(schedule.keep).await;
                LOOK_EVERY
            }
            Err(BackupError::Busy) => LOOK_EVERY,
            Err(_) => RETRY_AFTER,
        }
    }

    async fn is_due(&self, schedule: Schedule) -> bool {
        let since = crate::store::from_milliseconds(schedule.since);
        let kept = self.list().await.unwrap_or_default();
        let made = kept.iter().filter(|kept| kept.kind == Kind::Scheduled).map(|kept| kept.time);
        schedule.every.is_due(schedule.hour, OffsetDateTime::now_utc(), since, made)
    }

    /// Whether the newest backup is from before the last step of the CA.
    pub(super) async fn lacks_a_step(&self) -> bool {
        let dir = self.0.data_dir.join(CERTIFICATES);
        let (step, schedule) = (blocking(move || certs::last_step(&dir)).await, self.schedule().await);
        let (Some(step), Ok(schedule)) = (step, schedule) else { return false };
        let since = crate::store::from_milliseconds(schedule.since);
        let kept = self.list().await.unwrap_or_default();
        schedule::is_missing(step, OffsetDateTime::now_utc(), since, kept.iter().map(|kept| kept.time))
    }

    async fn prune(&self, keep: u32) {
        let keep = usize::try_from(keep).unwrap_or(usize::MAX).max(1);
        match self.in_folder(move |folder| folder.prune(keep)).await {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => tracing::info!(names = gone.join(","), "Old backups removed"),
            Err(error) => tracing::warn!(error = error_chain(&error), "Cannot remove old backups"),
        }
    }

    async fn in_folder<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, BackupError> + Send + 'static,
    ) -> Result<T, BackupError> {
        let folder = self.0.folder.clone();
        blocking(move || work(&folder)).await
    }

    async fn passphrase(&self) -> Result<Passphrase, BackupError> {
        let path = self.passphrase_path();
        let read = blocking(move || {
            let text = fs::read_to_string(&path).map(zeroize::Zeroizing::new);
            text.ok().and_then(|text| Passphrase::parse(&text).ok()).ok_or(BackupError::NoPassphrase)
        });
        read.await
    }

    fn passphrase_path(&self) -> PathBuf {
        self.0.data_dir.join("backup-passphrase")
    }
}

const SETTING: &str = "backups";

const LOOK_EVERY: Duration = Duration::from_secs(30);

/// After one that failed.
const RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
