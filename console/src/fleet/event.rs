//! Events of the fleet and of certificates: numbered, sent to all readers, and the newest kept for readers that
//! come back.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use certs::Outcome;
use protocol::message::Hello;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::registry::Record;
use super::row::Twin;
use crate::alerts::Alert;
use crate::store::history::CertificateChange;

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub struct FleetEvent {
    /// Rises by one with each event of this process.
    pub revision: u64,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened. Serialises to the fields of the event's data.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum EventKind {
    /// An alert was raised.
    AlertRaised(AlertFacts),
    /// The condition of an alert is over.
    AlertResolved(AlertFacts),
    /// Defenders have moved in the rotation of the Console's own CA.
    AuthorityProgress {
        /// How many use it.
        defenders: usize,
        /// How many trust the next CA.
        trust: usize,
        /// How many have a certificate of it.
        moved: usize,
    },
    /// The rotation of the Console's own CA took a step.
    AuthorityRotated {
        /// `settled`, `trust` or `sign`.
        stage: &'static str,
    },
    /// A new set of certificates was refused; what runs goes on.
    CertificatesRefused {
        /// `console-https` or `console-defender`.
        channel: &'static str,
        /// Why.
        error: String,
        /// What to do.
        remedy: String,
    },
    /// A channel moved to other certificates.
    CertificatesRotated {
        /// `console-https` or `console-defender`.
        channel: &'static str,
        /// `custom` or `self-signed`.
        source: String,
        /// End of the leaf's validity, RFC 3339.
        not_after: String,
        /// SHA-256 of the leaf, hexadecimal.
        sha256: String,
    },
    /// Two hosts come with the identity of one Defender; the one that was first stays.
    DefenderCloned {
        /// The one that stays.
        #[serde(flatten)]
        defender: DefenderFacts,
        /// Name of the other host.
        other_hostname: String,
        /// Where that one comes from.
        other_address: String,
    },
    /// A Defender connected that was not connected before.
    DefenderConnected(DefenderFacts),
    /// A Defender was decommissioned.
    DefenderDecommissioned(DefenderFacts),
    /// A connection to the Defender listener was refused.
    DefenderRefused(RefusedFacts),
    /// The last connection of a Defender ended.
    DefenderDisconnected {
        /// Which.
        #[serde(flatten)]
        defender: DefenderFacts,
        /// Why, in words.
        cause: String,
    },
    /// An administrator lets a Defender come back.
    ReturnApproved(DefenderFacts),
    /// A Defender wants to come back, and an administrator is to approve.
    ReturnWaiting(DefenderFacts),
}

/// Names an alert in an event.
#[derive(Debug, Clone, Serialize)]
pub struct AlertFacts {
    /// Its identity.
    pub id: Uuid,
    /// What kind of condition.
    pub alert: &'static str,
    /// `info`, `warning` or `critical`.
    pub severity: &'static str,
    /// What is the matter.
    pub summary: String,
}

/// Names a refusal in an event.
#[derive(Debug, Clone, Serialize)]
pub struct RefusedFacts {
    /// The identity that the peer claims, or that is in its certificate.
    pub id: Option<Uuid>,
    /// The name of its host, where it is known.
    pub hostname: Option<String>,
    /// Where it came from.
    pub address: String,
    /// Why, one word.
    pub cause: &'static str,
    /// Why, one sentence.
    pub detail: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Names a Defender in an event.
#[derive(Debug, Clone, Serialize)]
pub struct DefenderFacts {
    /// Its identity.
    pub id: Uuid,
    /// Name of its host.
    pub hostname: String,
    /// Where it connects from.
    pub address: String,
}

impl FleetEvent {
    /// The type of the event in the stream, for example `defender.connected`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.kind {
            EventKind::AlertRaised(_) => "alert.raised",
            EventKind::AlertResolved(_) => "alert.resolved",
            EventKind::AuthorityProgress { .. } => "authority.progress",
            EventKind::AuthorityRotated { .. } => "authority.rotated",
            EventKind::CertificatesRefused { .. } => "certificates.refused",
            EventKind::CertificatesRotated { .. } => "certificates.rotated",
            EventKind::DefenderCloned { .. } => "defender.cloned",
            EventKind::DefenderConnected(_) => "defender.connected",
            EventKind::DefenderDecommissioned(_) => "defender.decommissioned",
            EventKind::DefenderDisconnected { .. } => "defender.disconnected",
            EventKind::DefenderRefused(_) => "defender.refused",
            EventKind::ReturnApproved(_) => "return.approved",
            EventKind::ReturnWaiting(_) => "return.waiting",
        }
    }
}

impl EventKind {
    pub(super) fn connected(hello: &Hello, address: IpAddr) -> Self {
        Self::DefenderConnected(DefenderFacts::said(hello, address))
    }

    /// Of a Defender that said `hello` and is to be approved.
    #[must_use]
    pub fn return_waiting(hello: &Hello, address: IpAddr) -> Self {
        Self::ReturnWaiting(DefenderFacts::said(hello, address))
    }

    pub(super) fn cloned(record: &Record, twin: &Twin) -> Self {
        Self::DefenderCloned {
            defender: record.into(),
            other_hostname: twin.hostname.clone(),
            other_address: twin.address.clone(),
        }
    }

    /// What the history of certificates keeps of it.
    pub(super) fn certificate_change(&self, time: OffsetDateTime) -> Option<CertificateChange> {
        let none = CertificateChange {
            time,
            channel: String::new(),
            outcome: String::new(),
            source: None,
            not_after: None,
            sha256: None,
            error: None,
            remedy: None,
        };
        match self {
            Self::CertificatesRefused { channel, error, remedy } => Some(CertificateChange {
                channel: (*channel).to_owned(),
                outcome: "refused".to_owned(),
                error: Some(error.clone()),
                remedy: Some(remedy.clone()),
                ..none
            }),
            Self::CertificatesRotated { channel, source, not_after, sha256 } => Some(CertificateChange {
                channel: (*channel).to_owned(),
                outcome: "rotated".to_owned(),
                source: Some(source.clone()),
                not_after: OffsetDateTime::parse(not_after, &Rfc3339).ok(),
                sha256: Some(sha256.clone()),
                ..none
            }),
            _ => None,
        }
    }

    pub(super) fn disconnected(record: &Record, cause: &str) -> Self {
        Self::DefenderDisconnected { defender: record.into(), cause: cause.to_owned() }
    }

    pub(super) fn decommissioned(record: &Record) -> Self {
        Self::DefenderDecommissioned(record.into())
    }
}

impl DefenderFacts {
    fn said(hello: &Hello, address: IpAddr) -> Self {
        Self {
            id: hello.defender.id,
            hostname: hello.defender.hostname.clone(),
            address: address.to_canonical().to_string(),
        }
    }
}

impl From<&Alert> for AlertFacts {
    fn from(alert: &Alert) -> Self {
        Self {
            id: alert.id,
            alert: alert.kind.as_str(),
            severity: alert.severity.as_str(),
            summary: alert.summary.clone(),
        }
    }
}

impl From<&Record> for DefenderFacts {
    fn from(record: &Record) -> Self {
        Self {
            id: record.defender.id,
            hostname: record.defender.hostname.clone(),
            address: record.address.to_canonical().to_string(),
        }
    }
}

impl From<Outcome> for EventKind {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Refused { channel, error, remedy } => {
                Self::CertificatesRefused { channel: channel.id(), error, remedy }
            }
            Outcome::Rotated { channel, source, not_after, sha256, .. } => Self::CertificatesRotated {
                channel: channel.id(),
                source: source.to_string(),
                not_after: not_after.format(&Rfc3339).unwrap_or_default(),
                sha256,
            },
        }
    }
}

/// What a reader of events gets.
#[derive(Debug)]
pub struct EventStream {
    /// Events after the one that the reader saw last, oldest first.
    pub replay: Vec<Arc<FleetEvent>>,
    /// Whether events were missed: the reader must take a new snapshot.
    pub missed: bool,
    /// The revision that a snapshot taken now belongs to, at the least.
    pub revision: u64,
    /// The events to come.
    pub live: broadcast::Receiver<Arc<FleetEvent>>,
}

/// Numbers, keeps and sends events.
#[derive(Debug)]
pub(super) struct Events {
    revision: u64,
    kept: VecDeque<Arc<FleetEvent>>,
    live: broadcast::Sender<Arc<FleetEvent>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { revision: 0, kept: VecDeque::new(), live: broadcast::Sender::new(LIVE_EVENTS) }
    }
}

impl Events {
    pub(super) fn publish(&mut self, time: OffsetDateTime, kind: EventKind) {
        self.revision += 1;
        let event = Arc::new(FleetEvent { revision: self.revision, time, kind });
        if self.kept.len() == KEPT_EVENTS {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::clone(&event));
        // Nobody listening is fine.
        let _ = self.live.send(event);
    }

    pub(super) fn since(&self, last: Option<u64>) -> EventStream {
        let last_seen = last.unwrap_or(self.revision);
        let replay = self.kept.iter().filter(|event| event.revision > last_seen).cloned().collect::<Vec<_>>();
        let expected = self.revision.checked_sub(last_seen);
        let missed = expected != u64::try_from(replay.len()).ok();
        EventStream { replay, missed, revision: self.revision, live: self.live.subscribe() }
    }

    /// Readers now, and events so far.
    pub(super) fn figures(&self) -> (usize, u64) {
        (self.live.receiver_count(), self.revision)
    }
}

/// For readers that come back after a moment.
const KEPT_EVENTS: usize = 1024;

/// How far a live reader may fall behind before it misses events and is told so.
const LIVE_EVENTS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> EventKind {
        EventKind::CertificatesRefused { channel: "console-https", error: "e".into(), remedy: "r".into() }
    }

    fn events(count: u64) -> Events {
        let mut events = Events::default();
        (0..count).for_each(|_| events.publish(OffsetDateTime::UNIX_EPOCH, refused()));
        events
    }

    #[test]
    fn a_reader_that_comes_back_gets_exactly_what_it_missed() {
        let stream = events(5).since(Some(3));
        assert_eq!(stream.replay.iter().map(|event| event.revision).collect::<Vec<_>>(), [4, 5]);
        assert!(!stream.missed);
        assert!(events(5).since(None).replay.is_empty());
    }

    #[test]
    fn a_reader_that_was_away_too_long_or_comes_from_another_process_is_told_so() {
        let many = u64::try_from(KEPT_EVENTS).expect("small") + 10;
        assert!(events(many).since(Some(3)).missed);
        assert!(events(5).since(Some(99)).missed);
    }

    #[test]
    fn the_data_of_an_event_names_time_revision_and_the_facts() {
        let stream = events(1).since(Some(0));
        let json = serde_json::to_value(&*stream.replay[0]).expect("JSON");
        assert_eq!(json["revision"], 1);
        assert_eq!(json["time"], "1970-01-01T00:00:00Z");
        assert_eq!(json["channel"], "console-https");
    }
}
