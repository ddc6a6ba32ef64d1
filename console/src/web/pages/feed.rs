//! Things that happened, as pages tell of them: live events, rotations and refusals, connections.

use super::words::{self, Moment};
use crate::fleet::{EventKind, Fleet, FleetEvent};
use crate::refusals::Cause;
use crate::store::history::{CertificateChange, Connection};

/// One thing that happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Happening {
    /// Its id in the page.
    pub(super) id: String,
    /// `good`, `bad`, `warn` or `quiet`.
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    /// What it is about, if that has a page: its name and URL.
    pub(super) subject: Option<(String, String)>,
    /// What happened, in words.
    pub(super) text: String,
    /// More of it; empty where there is no more.
    pub(super) detail: String,
    /// What to do about it; empty where nothing is to be done.
    pub(super) remedy: String,
    pub(super) at: Moment,
}

impl Happening {
    /// The newest events of this process, newest first.
    pub(super) fn newest(fleet: &Fleet, count: u64) -> Vec<Self> {
        let revision = fleet.events_since(None).revision;
        let events = fleet.events_since(Some(revision.saturating_sub(count))).replay;
        events.iter().rev().map(|event| Self::event(event)).collect()
    }

    fn event(event: &FleetEvent) -> Self {
        let mut happening = match &event.kind {
            EventKind::AlertRaised(alert) => {
                let tone = if alert.severity == "critical" { "bad" } else { "warn" };
                Self::plain(tone, "warning", None, &alert.summary, String::new())
            }
            EventKind::AlertResolved(alert) => {
                Self::plain("good", "info", None, &format!("Over: {}", alert.summary), String::new())
            }
            EventKind::AuthorityProgress { defenders, trust, moved } => {
                let subject = Some(("The next CA".to_owned(), "/authority".to_owned()));
                let text =
                    format!("is trusted by {trust} of {defenders} Defenders, {moved} have moved to it");
                Self::plain("quiet", "rotate", subject, &text, String::new())
            }
            EventKind::AuthorityRotated { stage } => {
                let subject = Some(("The Console's own CA".to_owned(), "/authority".to_owned()));
                Self::plain("quiet", "connected", subject, "took a step", format!("to the stage {stage}"))
            }
            EventKind::CertificatesRefused { channel, error, remedy } => refused(channel, error, remedy),
            EventKind::CertificatesRotated { channel, source, sha256, .. } => {
                rotated(channel, source, sha256)
            }
            EventKind::DefenderCloned { defender, other_hostname, other_address } => {
                let subject = subject(&defender.hostname, &defender.id.to_string());
                let detail = format!("{other_hostname} at {other_address} comes with its identity too");
                let mut happening = Self::plain("bad", "warning", subject, "has a copy", detail);
                Cause::Cloned.remedy().clone_into(&mut happening.remedy);
                happening
            }
            EventKind::DefenderConnected(defender) => {
                let subject = subject(&defender.hostname, &defender.id.to_string());
                Self::plain("good", "connected", subject, "connected", format!("from {}", defender.address))
            }
            EventKind::DefenderDisconnected { defender, cause } => {
                let subject = subject(&defender.hostname, &defender.id.to_string());
                Self::plain("quiet", "disconnected", subject, "disconnected", cause.clone())
            }
            EventKind::DefenderRefused(peer) => {
                let name = peer.hostname.clone().unwrap_or_else(|| peer.address.clone());
                let subject = Some((name, "/defenders#refused".to_owned()));
                let mut happening =
                    Self::plain("warn", "refused", subject, "was refused", peer.detail.clone());
                peer.remedy.clone_into(&mut happening.remedy);
                happening
            }
            EventKind::ReturnApproved(defender) => {
                let subject = subject(&defender.hostname, &defender.id.to_string());
                Self::plain("good", "connected", subject, "may come back", String::new())
            }
            EventKind::ReturnWaiting(defender) => {
                let subject = Some((defender.hostname.clone(), "/authority#returns".to_owned()));
                let from = format!("from {}", defender.address);
                Self::plain("warn", "warning", subject, "waits to come back", from)
            }
            EventKind::DefenderDecommissioned(defender) => {
                let subject = Some((defender.hostname.clone(), String::new()));
                Self::plain("quiet", "trash", subject, "was decommissioned", String::new())
            }
        };
        happening.id = format!("event-{}", event.revision);
        happening.at = Moment::new(event.time);
        happening
    }

    /// A rotation or a refusal of the past.
    pub(super) fn change(change: &CertificateChange) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut happening = match change.outcome.as_str() {
            "refused" => refused(&change.channel, &text(&change.error), &text(&change.remedy)),
            _ => rotated(&change.channel, &text(&change.source), &text(&change.sha256)),
        };
        let milliseconds = change.time.unix_timestamp_nanos() / 1_000_000;
        happening.id = format!("change-{}-{}-{milliseconds}", change.channel, change.outcome);
        happening.at = Moment::new(change.time);
        happening
    }

    fn plain(
        tone: &'static str,
        icon: &'static str,
        subject: Option<(String, String)>,
        text: &str,
        detail: String,
    ) -> Self {
        let (text, at) = (text.to_owned(), Moment::default());
        Self { id: String::new(), tone, icon, subject, text, detail, remedy: String::new(), at }
    }
}

/// One connection of a Defender.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConnectionView {
    pub(super) begin: Moment,
    pub(super) end: Option<Moment>,
    pub(super) lasted: String,
    pub(super) cause: String,
    pub(super) address: String,
}

impl ConnectionView {
    pub(super) fn new(connection: Connection, now: time::OffsetDateTime) -> Self {
        let end = connection.disconnected_at;
        Self {
            begin: Moment::new(connection.connected_at),
            end: end.map(Moment::new),
            lasted: words::span(end.unwrap_or(now) - connection.connected_at),
            cause: connection.cause.unwrap_or_default(),
            address: connection.address,
        }
    }
}

fn subject(hostname: &str, id: &str) -> Option<(String, String)> {
    Some((hostname.to_owned(), format!("/defenders/{id}")))
}

fn channel(id: &str) -> Option<(String, String)> {
    let known = certs::Channel::ALL.into_iter().find(|channel| channel.id() == id);
    let name = known.map_or_else(|| id.to_owned(), |channel| words::channel_title(channel).to_owned());
    Some((name, format!("/certificates#{id}")))
}

fn refused(id: &str, error: &str, remedy: &str) -> Happening {
    let mut happening =
        Happening::plain("bad", "refused", channel(id), "refused new files", error.to_owned());
    remedy.clone_into(&mut happening.remedy);
    happening
}

fn rotated(id: &str, source: &str, sha256: &str) -> Happening {
    let start = sha256.get(..16).unwrap_or(sha256);
    let detail = format!("SHA-256 {start}…");
    Happening::plain("good", "rotate", channel(id), &format!("moved to a {source} certificate"), detail)
}
