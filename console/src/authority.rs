//! Rotation of the Console's own CA: who has moved, which step may be taken, and the steps that are taken without being
//! asked for. How a step gets to the disk is in `certs`.

use std::sync::Arc;
use std::time::Duration;

use certs::{CaState, Phase, Stage, StepError};
use protocol::message::CertificateSource;
use serde::Serialize;
use serde_json::json;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::backup::keeper::Keeper;
use crate::channels::Renewal;
use crate::enroll::{Enrolled, Enrolment};
use crate::fleet::{EventKind, Fleet};
use crate::names::{ExtraNames, NamesError};
use crate::store::audits::{Action, Actor, Deed};
use crate::store::{Store, StoreError};

/// The rotation. Clones share it.
#[derive(Debug, Clone)]
pub struct AuthorityRotation {
    /// What issues the listeners' certificates.
    pub renewal: Arc<Renewal>,
    /// Issues them anew after a step.
    pub names: ExtraNames,
    /// Knows Defenders' certificates.
    pub enrolment: Enrolment,
    /// Knows Defenders.
    pub fleet: Fleet,
    /// Keeps who took a step.
    pub store: Store,
    /// Makes a backup after a step: one from before it may bring back a Console that Defenders do not trust.
    pub backups: Keeper,
}

/// A step of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Makes the next CA; everybody learns to trust it.
    Begin,
    /// The present CA is forgotten, although these Defenders have not moved.
    Retire(Vec<Uuid>),
    /// One stage back.
    RollBack,
    /// The next CA signs.
    Sign,
}

/// Why a step was not taken.
#[derive(Debug, Error)]
pub enum RotationError {
    /// Defenders would be left behind.
    #[error(
        "{count} Defenders have not moved to the next authority, for example {example}; wait until they have, or name those to leave behind in `except`"
    )]
    Behind {
        /// How many.
        count: usize,
        /// One of them.
        example: String,
    },
    /// The step is on disk; the certificates come with the next look, within the hour.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// It is no step from here.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A Defender that has not moved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Behind {
    /// Which.
    pub id: Uuid,
    /// Name of its host.
    pub hostname: String,
    /// Whether it is connected.
    pub connected: bool,
    /// When it was last heard.
    #[serde(with = "time::serde::rfc3339")]
    pub last_seen: OffsetDateTime,
    /// Whether it trusts the next CA.
    pub trusts: bool,
    /// What it lacks.
    pub why: &'static str,
}

/// How far the Defenders are that use the Console's own certificates.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// How many there are.
    pub defenders: usize,
    /// How many trust the next CA.
    pub trust: usize,
    /// How many have a certificate of it.
    pub moved: usize,
    /// Those that have not.
    pub behind: Vec<Behind>,
}

impl AuthorityRotation {
    /// The rotation under way, and the CAs that Defenders are to trust.
    #[must_use]
    pub fn state(&self) -> (Option<Phase>, Vec<CaState>) {
        (self.renewal.authority().phase(), self.renewal.authority().trusted())
    }

    /// How far Defenders are. Without a rotation everybody who enrolled has moved.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let trusted = self.renewal.authority().trusted();
        let Some(next) = trusted.last() else { return Progress::default() };
        let mut rows = self.fleet.rows();
        rows.retain(|row| row.record.certificate.source != CertificateSource::Custom);
        let judged: Vec<_> = self.enrolment.look(|enrolled| {
            rows.iter().map(|row| judge(enrolled.get(&row.record.defender.id), next)).collect()
        });
        let mut progress = Progress { defenders: rows.len(), ..Progress::default() };
        for (row, (trusts, why)) in rows.iter().zip(judged) {
            progress.trust += usize::from(trusts);
            progress.moved += usize::from(why.is_none());
            if let Some(why) = why {
                let (id, hostname) = (row.record.defender.id, row.record.defender.hostname.clone());
                let (connected, last_seen) = (row.is_connected(), row.last_seen());
                progress.behind.push(Behind { id, hostname, connected, last_seen, trusts, why });
            }
        }
        progress
    }

    /// Takes a step in the name of `actor`.
    ///
    /// # Errors
    /// [`RotationError`].
    pub async fn step(&self, step: Step, actor: &Actor, now: OffsetDateTime) -> Result<(), RotationError> {
        let before = self.stage();
        if let Step::Retire(except) = &step {
            let behind = self.progress().behind;
            let mut left: Vec<_> = behind.iter().filter(|one| !except.contains(&one.id)).collect();
            if let Some(one) = left.pop() {
                let example = format!("{} ({})", one.hostname, one.id);
                return Err(RotationError::Behind { count: left.len() + 1, example });
            }
        }
        let (renewal, automatic, taken) =
            (Arc::clone(&self.renewal), *actor == Actor::console(), step.clone());
        // Keys are made and files written beside the other tasks.
        let stepping = tokio::task::spawn_blocking(move || {
            let authority = renewal.authority();
            match taken {
                Step::Begin => authority.begin(now, automatic),
                Step::Retire(_) => authority.retire(),
                Step::RollBack => authority.roll_back(now),
                Step::Sign => authority.sign(now),
            }
        });
        stepping.await.map_err(|_| StoreError::Closed)??;
        let stage = self.stage();
        tracing::info!(stage, before, user = actor.user, "The rotation of the Console's own CA took a step");
        self.fleet.announce(now, EventKind::AuthorityRotated { stage });
        self.backups.outdate();
        let except = match step {
            Step::Retire(except) => except,
            _ => Vec::new(),
        };
        let (actor, action, object) = (actor.clone(), Action::AuthorityRotated, "authority".to_owned());
        let (old, new) = (json!({ "stage": before }), json!({ "stage": stage, "except": except }));
        self.store.record(&Deed { actor, action, object, old, new }, now).await?;
        Ok(self.names.look(now).await?)
    }

    /// `settled`, `trust` or `sign`.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        match self.renewal.authority().phase().map(|phase| phase.stage) {
            None => "settled",
            Some(Stage::Sign) => "sign",
            Some(Stage::Trust) => "trust",
        }
    }

    /// Takes the step that nobody needs to ask for, if one is due.
    pub async fn look(&self, now: OffsetDateTime) {
        let (phase, progress) = (self.renewal.authority().phase(), self.progress());
        if let Some(step) = due(phase, self.renewal.authority().not_after(), &progress, now)
            && let Err(error) = self.step(step, &Actor::console(), now).await
        {
            tracing::error!(
                error = lifecycle::logging::error_chain(&error),
                "The rotation of the Console's own CA cannot go on; tried again within the hour"
            );
        }
    }

    /// Takes the steps that nobody needs to ask for, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let (mut next_look, mut told) = (Instant::now(), None);
        loop {
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK_EVERY;
                self.look(OffsetDateTime::now_utc()).await;
            }
            told = self.tell(told, OffsetDateTime::now_utc());
            tokio::select! {
                () = tokio::time::sleep(TELL_EVERY) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Tells the readers of events how far Defenders are, while a rotation is under way and when it has changed.
    fn tell(&self, told: Option<[usize; 3]>, now: OffsetDateTime) -> Option<[usize; 3]> {
        self.renewal.authority().phase()?;
        let Progress { defenders, trust, moved, .. } = self.progress();
        if told != Some([defenders, trust, moved]) {
            self.fleet.announce(now, EventKind::AuthorityProgress { defenders, trust, moved });
        }
        Some([defenders, trust, moved])
    }
}

/// Whether a Defender trusts the next CA, and what it lacks in order to have moved.
fn judge(enrolled: Option<&Enrolled>, next: &CaState) -> (bool, Option<&'static str>) {
    let Some(enrolled) = enrolled.filter(|enrolled| enrolled.own.is_some()) else {
        return (false, Some("it has no certificate of its own"));
    };
    let trusts = enrolled.authorities.contains(&next.facts.sha256);
    let has_moved = enrolled.issuer.as_ref() == Some(&next.facts.subject);
    let why = match (trusts, has_moved) {
        (false, _) => Some("it does not trust the next authority yet"),
        (true, false) => Some("it has no certificate of the next authority yet"),
        (true, true) => None,
    };
    (trusts, why)
}

/// The step that nobody needs to ask for: a rotation begins long before the CA ends, and one that began so goes on a
/// week later at the earliest, once everybody is where the step needs them. To trust is waited for no longer than a
/// month, because whoever is away verifies the next CA by the present one's signature.
fn due(
    phase: Option<Phase>,
    not_after: OffsetDateTime,
    progress: &Progress,
    now: OffsetDateTime,
) -> Option<Step> {
    let Some(phase) = phase else {
        return (not_after - now < BEGIN_BEFORE_END).then_some(Step::Begin);
    };
    let lasted = now - phase.since;
    // One that was begun by hand is not left where it is until the CA has ended.
    let goes_on = phase.automatic || not_after - now < TAKEN_OVER;
    if !goes_on || lasted < STAGE_LASTS {
        return None;
    }
    match phase.stage {
        Stage::Trust => (progress.trust == progress.defenders || lasted >= TRUST_LASTS).then_some(Step::Sign),
        Stage::Sign => progress.behind.is_empty().then(|| Step::Retire(Vec::new())),
    }
}

const TELL_EVERY: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// Eighteen months.
const BEGIN_BEFORE_END: time::Duration = time::Duration::days(548);
const TAKEN_OVER: time::Duration = time::Duration::days(90);
const STAGE_LASTS: time::Duration = time::Duration::WEEK;
const TRUST_LASTS: time::Duration = time::Duration::days(30);

#[cfg(test)]
mod tests;
