//! A custom WebSocket set before it goes live: which connected Defenders would be lost, and who may let it through
//! nevertheless.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use certs::{Encounter, Gatekeeper, Material, Objection, Permit};
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Meeting;
use super::sets::{Fate, fate};
use crate::fleet::Row;
use crate::store::StoreError;
use crate::store::audits::{Action, Actor, Deed};

/// A good set that does not go live, because connected Defenders would be lost.
#[derive(Debug, Clone)]
pub struct Held {
    /// The set.
    pub material: Arc<Material>,
    /// Who would be lost, by host name.
    pub would_lose: Vec<Loss>,
    /// Connected Defenders that have not said what they have.
    pub unknown: usize,
    /// Connected Defenders.
    pub connected: usize,
}

/// A Defender that would be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Loss {
    /// Which.
    pub id: Uuid,
    /// Name of its host.
    pub hostname: String,
    /// Why.
    pub cause: String,
}

/// Why a set is not let through.
#[derive(Debug, Error)]
pub enum AcceptError {
    /// Another one waits.
    #[error("another set waits by now, with the certificate {0}: look at it first")]
    Another(String),
    /// None waits.
    #[error("no set waits to be accepted")]
    Nothing,
    /// The files changed, or it has expired meanwhile.
    #[error("the set was let through and is not in use: its files have changed meanwhile, or it has expired")]
    NotTaken,
    /// The database failed; nothing has changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One set before the gate, and what is known of Defenders.
pub(super) struct Case {
    material: Arc<Material>,
    encounter: Arc<Encounter>,
    fates: HashMap<Uuid, Fate>,
    judged_at: OffsetDateTime,
}

impl Case {
    /// `None` for a set that no configuration can be made of, which is not this file's matter.
    pub(super) fn open(material: Arc<Material>) -> Option<Self> {
        let encounter = Arc::new(Encounter::with(&material).ok()?);
        let judged_at = OffsetDateTime::now_utc();
        Some(Self { material, encounter, fates: HashMap::new(), judged_at })
    }

    /// Looks at the connected Defenders that are new, have reported, or were looked at a while ago.
    async fn look(&mut self, meeting: &Meeting, connected: &[Arc<Row>]) -> Result<(), StoreError> {
        let now = OffsetDateTime::now_utc();
        for id in meeting.0.fleet.host_reports().take() {
            self.fates.remove(&id);
        }
        if now - self.judged_at > LOOK_AGAIN || now < self.judged_at {
            (self.judged_at, self.fates) = (now, HashMap::new());
        }
        let ids = connected.iter().map(|row| row.record.defender.id);
        let missing: Vec<Uuid> = ids.filter(|id| !self.fates.contains_key(id)).collect();
        for chunk in missing.chunks(AT_ONCE) {
            let reports = meeting.0.store.host_reports(chunk).await?;
            let encounter = Arc::clone(&self.encounter);
            let judging = tokio::task::spawn_blocking(move || {
                let judged = reports.into_iter().map(|(id, report)| (id, fate(&encounter, &report, now)));
                judged.collect::<Vec<_>>()
            });
            self.fates.extend(chunk.iter().map(|id| (*id, Fate::Unknown)));
            self.fates.extend(judging.await.unwrap_or_default());
        }
        Ok(())
    }

    fn held(&self, connected: &[Arc<Row>]) -> Held {
        let mut held = Held {
            material: Arc::clone(&self.material),
            would_lose: Vec::new(),
            unknown: 0,
            connected: connected.len(),
        };
        for row in connected {
            let defender = &row.record.defender;
            match self.fates.get(&defender.id) {
                Some(Fate::Safe) => {}
                Some(Fate::Lost(cause)) => held.would_lose.push(Loss {
                    id: defender.id,
                    hostname: defender.hostname.clone(),
                    cause: cause.clone(),
                }),
                Some(Fate::Unknown) | None => held.unknown += 1,
            }
        }
        held.would_lose.sort_by(|a, b| (&a.hostname, a.id).cmp(&(&b.hostname, b.id)));
        held
    }
}

impl Held {
    fn objection(&self) -> Objection {
        let lost = self.would_lose.len();
        let names: Vec<&str> = self.would_lose.iter().take(FEW).map(|one| one.hostname.as_str()).collect();
        let more = lost.saturating_sub(FEW);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let unknown = match self.unknown {
            0 => String::new(),
            unknown => format!("; {unknown} have not said what they have"),
        };
        let first = self.would_lose.first().map(|one| format!("; {}: {}", one.hostname, one.cause));
        let first = first.unwrap_or_default();
        let cause = format!(
            "{lost} of {} connected Defenders would be lost: {}{more}{first}{unknown}",
            self.connected,
            names.join(", ")
        );
        Objection { cause, remedy: REMEDY.to_owned() }
    }
}

impl Meeting {
    /// The set that does not go live because Defenders would be lost.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        self.lock().held.clone()
    }

    /// Lets the held set through in the name of `actor`; `sha256` is the leaf that was looked at, when that was told.
    ///
    /// # Errors
    /// [`AcceptError`].
    pub async fn accept(&self, sha256: Option<&str>, actor: &Actor) -> Result<(), AcceptError> {
        let held = self.held().ok_or(AcceptError::Nothing)?;
        let set = held.material.fingerprint();
        let leaf = held.material.leaf().sha256.clone();
        if sha256.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&leaf)) {
            return Err(AcceptError::Another(leaf));
        }
        let lost: Vec<&Loss> = held.would_lose.iter().take(MOST_AUDITED).collect();
        let new = json!({
            "sha256": leaf,
            "would_lose": held.would_lose.len(),
            "defenders": lost.iter().map(|one| one.id.to_string()).collect::<Vec<_>>(),
        });
        let deed = Deed {
            actor: actor.clone(),
            action: Action::CertificatesAccepted,
            object: held.material.channel().id().to_owned(),
            old: Value::Null,
            new,
        };
        self.0.store.record(&deed, OffsetDateTime::now_utc()).await?;
        tracing::warn!(
            user = actor.user,
            sha256 = leaf,
            would_lose = held.would_lose.len(),
            "Custom certificates that lose Defenders were accepted"
        );
        let mut defender = self.0.defender.clone();
        self.lock().accepted.insert(set);
        self.0.look.notify_one();
        let taken = async {
            while defender.current().material.fingerprint() != set {
                if defender.changed().await.is_none() {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, taken).await.map_err(|_| AcceptError::NotTaken)
    }

    /// Looks at the set before the gate, and answers.
    pub(super) async fn decide(&self, case: &mut Case, keeper: &Gatekeeper) {
        let rows = self.0.fleet.rows();
        let connected: Vec<Arc<Row>> = rows.into_iter().filter(|row| row.is_connected()).collect();
        if let Err(error) = case.look(self, &connected).await {
            tracing::warn!(
                error = lifecycle::logging::error_chain(&error),
                "Cannot read what Defenders have reported of their certificates"
            );
        }
        let held = case.held(&connected);
        let set = case.material.fingerprint();
        let is_accepted = self.lock().accepted.contains(&set);
        let permit = if held.would_lose.is_empty() || is_accepted {
            if held.unknown > 0 {
                tracing::debug!(
                    unknown = held.unknown,
                    "Connected Defenders have not said which certificates they have"
                );
            }
            self.lock().held = None;
            Permit::Granted
        } else {
            let objection = held.objection();
            self.lock().held = Some(held);
            if self.0.forces { Permit::Warned(objection) } else { Permit::Held(objection) }
        };
        keeper.answer(set, permit);
    }
}

const REMEDY: &str = "put defender-ca.pem, defender-client-cert.pem and defender-client-key.pem that fit into the \
    custom certificates directory of these hosts: the set goes live by itself once nobody would be lost; or accept the \
    loss on the Certificates page (POST certificates/console-defender/accept)";

/// As many hosts as a log line names.
const FEW: usize = 5;

/// As many as an entry of the audit log names.
const MOST_AUDITED: usize = 100;

/// Reports in memory at a time.
const AT_ONCE: usize = 512;

/// Dates pass.
const LOOK_AGAIN: time::Duration = time::Duration::MINUTE;

/// How long an accepted set may take to go live.
const PATIENCE: Duration = Duration::from_secs(5);
