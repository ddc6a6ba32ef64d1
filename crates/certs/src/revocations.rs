//! `defender-crl.pem` in the custom directory, optional and beside the sets: read at the start, followed while the
//! Console runs, and judged anew when the set changes whose CAs must have signed it.
//!
//! What was good once stays in force: a copy of the last good file is kept, so that a file that cannot be used stops
//! neither the Console nor the revocation, also not over a restart. Only a start without the file ends it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::channel::Channel;
use crate::crl::{CrlFault, Crls};
use crate::custom::CustomDir;
use crate::disk::{self, FileState};
use crate::error::{CertError, rfc3339};
use crate::fault::Fault;
use crate::fingerprint::{Fingerprint, Hasher, Part};
use crate::guard::Guard;
use crate::material::Material;
use crate::publish::Subscriber;
use crate::rotate::Outcome;
use crate::settle::{Settle, Settled, Timing};
use crate::source::Source;
use crate::storage::{Meanwhile, patiently};

/// Follows the file. It alone tells the guard what is revoked.
#[derive(Debug)]
pub struct Revocations {
    dir: CustomDir,
    /// Where the last good file is kept.
    kept: PathBuf,
    live: Subscriber<ServerConfig>,
    guard: Guard,
    settle: Settle,
    events: Option<watch::Receiver<u64>>,
    /// What was last judged: the file, and the set beside it.
    judged: Option<Fingerprint>,
    /// Whether the file was there then.
    was_there: bool,
    /// The last error and what it was about, while it is the newest thing that was logged.
    reported: Option<(Fingerprint, String)>,
    next_update: Option<OffsetDateTime>,
    /// When it was last logged that the list is out of date.
    late_logged: Option<OffsetDateTime>,
}

impl Revocations {
    /// Reads the file for the set that runs; what it names is refused by `guard` from now on. `kept` is where the last
    /// good one is kept.
    #[must_use]
    pub fn start(dir: &CustomDir, kept: &Path, live: Subscriber<ServerConfig>, guard: Guard) -> Self {
        let mut revocations = Self {
            dir: dir.clone(),
            kept: kept.to_owned(),
            live,
            guard,
            settle: Settle::new(Timing::polling(dir.poll()), Instant::now()),
            events: dir.folders().map(|folders| folders.events()),
            judged: None,
            was_there: false,
            reported: None,
            next_update: None,
            late_logged: None,
        };
        if dir.is_watched() {
            revocations.begin();
        }
        revocations
    }

    fn begin(&mut self) {
        let state = disk::read_file(&self.path());
        let material = self.set();
        self.judged = Some(fingerprint(&state, material.as_deref()));
        self.was_there = !matches!(state, FileState::Missing);
        let Some(material) = material else {
            self.tell_ignored();
            return;
        };
        match judge(&state, &self.path(), &material) {
            Ok(Some(crls)) => self.take(crls, &state),
            Ok(None) => {
                // Whoever wants no list any more takes the file away and starts anew.
                if let Err(error) = disk::remove_if_there(&self.kept) {
                    self.warn_kept(&error);
                }
            }
            Err(error) => {
                self.refuse(&state, &error);
                let kept = disk::read_file(&self.kept);
                match judge(&kept, &self.kept, &material) {
                    Ok(Some(crls)) => {
                        tracing::warn!(
                            revoked = crls.count(),
                            issuers = crls.issuers(),
                            "The last good revocation list goes on"
                        );
                        self.put(crls);
                    }
                    _ => tracing::warn!(
                        "No revocation list is in force: there is no earlier one that was good"
                    ),
                }
            }
        }
        self.warn_if_late();
    }

    /// Follows the file until `shutdown`; a refusal goes to `outcomes`.
    pub async fn run(mut self, outcomes: mpsc::Sender<Outcome>, shutdown: CancellationToken) {
        // Everything is safe to drop half way: the program stops.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.follow(outcomes) => {}
        }
    }

    async fn follow(&mut self, outcomes: mpsc::Sender<Outcome>) {
        let Some(mut events) = self.events.take() else { return std::future::pending().await };
        let mut live = self.live.clone();
        let mut next_check = Instant::now() + LATE_CHECK;
        loop {
            tokio::select! {
                // The sender lives as long as `self.dir`.
                _ = events.changed() => self.settle.event(Instant::now()),
                changed = live.changed() => match changed {
                    // Other CAs may make another list good.
                    Some(_) => self.settle.look_by(Instant::now()),
                    None => return std::future::pending().await,
                },
                () = sleep_until(self.settle.next_look()) => {
                    if let Some(outcome) = self.look(&mut events).await {
                        // Nobody may be listening.
                        let _ = outcomes.send(outcome).await;
                    }
                }
                () = sleep_until(next_check) => {
                    next_check = Instant::now() + LATE_CHECK;
                    self.warn_if_late();
                }
            }
        }
    }

    async fn look(&mut self, events: &mut watch::Receiver<u64>) -> Option<Outcome> {
        let path = self.path();
        // The channels tell when the directory takes its time.
        let mut is_told = true;
        let dir = self.dir.path().to_owned();
        let reading = move || (disk::read_file(&path), disk::is_closed(&dir));
        let (state, is_closed) =
            patiently(self.dir.path().display(), Meanwhile::GoesOn, &mut is_told, reading).await.ok()?;
        let is_disturbed = events.has_changed().unwrap_or(false);
        if is_disturbed {
            events.mark_unchanged();
        }
        let material = self.set();
        let seen = match (&state, self.judged) {
            // Nothing is known of what is there, and the channels tell: as if nothing had changed.
            (FileState::Unusable(Fault::Storage { .. }), Some(judged)) => judged,
            (FileState::Unusable(_), Some(judged)) if is_closed => judged,
            _ => fingerprint(&state, material.as_deref()),
        };
        match self.settle.looked(Instant::now(), seen, self.judged, is_disturbed) {
            Settled::NotYet | Settled::Unchanged => None,
            Settled::Changed => {
                self.judged = Some(seen);
                self.change(&state, material.as_deref())
            }
        }
    }

    fn change(&mut self, state: &FileState, material: Option<&Material>) -> Option<Outcome> {
        let was_there = std::mem::replace(&mut self.was_there, !matches!(state, FileState::Missing));
        let Some(material) = material else {
            self.tell_ignored();
            return None;
        };
        match judge(state, &self.path(), material) {
            Ok(Some(crls)) => {
                self.take(crls, state);
                self.warn_if_late();
                None
            }
            Ok(None) => {
                self.reported = None;
                if was_there {
                    let file = FILE;
                    tracing::warn!(
                        "Removed the revocation list, what it names stays revoked until the next start: {file}"
                    );
                }
                None
            }
            Err(error) => self.refuse(state, &error),
        }
    }

    /// The set whose CAs must have signed the list; `None` while none of the custom directory runs.
    fn set(&self) -> Option<Arc<Material>> {
        let live = self.live.current();
        (live.source == Source::Custom).then(|| Arc::clone(&live.material))
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(FILE)
    }

    /// Puts a good file in force, and keeps a copy.
    fn take(&mut self, crls: Crls, state: &FileState) {
        self.reported = None;
        for issuer in crls.strangers() {
            tracing::warn!(
                issuer,
                remedy = "take it out of the file, or put its CA into defender-ca.pem",
                "A revocation list is passed over: no CA of defender-ca.pem has its name"
            );
        }
        tracing::info!(
            path = self.path().display().to_string(),
            revoked = crls.count(),
            issuers = crls.issuers(),
            next_update = crls.next_update().map(rfc3339),
            "Revocation list in use"
        );
        self.put(crls);
        if let FileState::Content { bytes, .. } = state
            && let Err(error) = disk::replace(&self.kept, bytes)
        {
            self.warn_kept(&error);
        }
    }

    fn put(&mut self, crls: Crls) {
        (self.next_update, self.late_logged) = (crls.next_update(), None);
        self.guard.revoke(crls);
    }

    /// Keeps what is in force. Tells of each file and cause once, until something else happens.
    fn refuse(&mut self, state: &FileState, error: &CertError) -> Option<Outcome> {
        let (text, remedy, channel) = (error.to_string(), error.remedy(), Channel::ConsoleDefender);
        let reported = Some((fingerprint(state, None), text.clone()));
        if self.reported == reported {
            return None;
        }
        tracing::error!(remedy, "Failed to load {} custom certificates: {text}", channel.log_name());
        self.reported = reported;
        Some(Outcome::Refused { channel, error: text, remedy })
    }

    fn tell_ignored(&self) {
        if self.was_there {
            tracing::info!("Ignored {FILE}: it counts beside a custom set of the Defender listener only");
        }
    }

    fn warn_if_late(&mut self) {
        let now = OffsetDateTime::now_utc();
        let Some(due) = self.next_update.filter(|due| *due < now) else { return };
        if self.late_logged.is_none_or(|at| now - at >= LATE_AGAIN) {
            self.late_logged = Some(now);
            tracing::warn!(
                next_update = rfc3339(due),
                remedy = "have the CA issue a new list; what the present one names stays revoked",
                "The revocation list is out of date: {FILE}"
            );
        }
    }

    fn warn_kept(&self, error: &std::io::Error) {
        tracing::warn!(
            path = self.kept.display().to_string(),
            error = error.to_string(),
            "Cannot keep the last good revocation list"
        );
    }
}

/// The lists of a file that was looked at; `None` when there is none.
///
/// # Errors
/// The file is there and of no use.
fn judge(state: &FileState, path: &Path, material: &Material) -> Result<Option<Crls>, CertError> {
    let error = |fault| CertError::Crl { file: path.to_owned(), fault };
    match state {
        FileState::Content { bytes, .. } => Crls::parse(bytes, &material.signers()).map(Some).map_err(error),
        FileState::Missing => Ok(None),
        FileState::Unusable(fault) => Err(error(CrlFault::File(fault.clone()))),
    }
}

/// What `dir` holds beside a set: a line about a good list, and when it should have been replaced.
pub(crate) fn check(
    dir: &Path,
    material: &Material,
) -> Result<Option<(String, Option<OffsetDateTime>)>, CertError> {
    let path = dir.join(FILE);
    let crls = judge(&disk::read_file(&path), &path, material)?;
    Ok(crls.map(|crls| {
        let late = crls.next_update();
        (format!("{} certificates are revoked by {}", crls.count(), crls.issuers()), late)
    }))
}

fn fingerprint(state: &FileState, material: Option<&Material>) -> Fingerprint {
    let mut hasher = Hasher::new();
    match state {
        FileState::Content { bytes, .. } => hasher.add(Part::Content(bytes)),
        FileState::Missing => hasher.add(Part::Missing),
        FileState::Unusable(fault) => hasher.add(Part::Unusable(&fault.to_string())),
    }
    let set = material.map(|material| material.fingerprint().to_string());
    hasher.add(set.as_ref().map_or(Part::Missing, |set| Part::Content(set.as_bytes())));
    hasher.finish()
}

/// Its name in the custom directory.
pub(crate) const FILE: &str = "defender-crl.pem";

/// How often it is looked whether a list has become out of date.
const LATE_CHECK: Duration = Duration::from_secs(60);

/// How often that is repeated.
const LATE_AGAIN: time::Duration = time::Duration::HOUR;
