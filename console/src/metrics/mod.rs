//! What the Console counts while it runs. What can be looked up at the moment of asking is not kept here: the page is
//! put together in `web/metrics.rs`.
//!
//! ```text
//! mod.rs       counters
//! http.rs      calls of the API by route, with a histogram
//! text.rs      the Prometheus text format
//! process.rs   memory, descriptors and processor time of this process
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use certs::{Channel, Outcome};
use time::OffsetDateTime;

pub use http::{Call, Calls};
pub use text::Text;

use crate::refusals::Cause;

mod http;
pub mod process;
mod text;

/// The counters. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: OffsetDateTime,
    calls: Calls,
    handshakes: [AtomicU64; Handshake::ALL.len()],
    rotations: [AtomicU64; CHANNELS.len()],
    refusals: [AtomicU64; CHANNELS.len()],
    refused: [AtomicU64; Cause::ALL.len()],
}

/// How a connection to the Defender listener went, up to its `welcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// The Defender was away for too long: an administrator is to approve.
    ApprovalNeeded,
    /// Another host with the same identity is connected.
    Cloned,
    /// The Defender was decommissioned.
    Decommissioned,
    /// The certificate was issued for another identity.
    IdentityMismatch,
    /// The peer went away.
    Left,
    /// `hello` could not be read or came out of turn.
    Malformed,
    /// The registration was revoked or is used up.
    Registration,
    /// The peer sent nothing.
    Silent,
    /// A step took too long.
    TimedOut,
    /// The TLS handshake failed.
    Tls,
    /// The Defender is too old.
    TooOld,
    /// The upgrade to WebSocket failed.
    Upgrade,
    /// The Defender was welcomed.
    Welcomed,
}

impl Metrics {
    /// All counters at zero.
    #[must_use]
    pub fn new(started: OffsetDateTime) -> Self {
        Self(Arc::new(Inner {
            started,
            calls: Calls::default(),
            handshakes: Default::default(),
            rotations: Default::default(),
            refusals: Default::default(),
            refused: Default::default(),
        }))
    }

    /// Counts a connection to the Defender listener.
    pub fn handshake(&self, outcome: Handshake) {
        let place = Handshake::ALL.iter().position(|one| *one == outcome);
        count(&self.0.handshakes, place);
    }

    /// Counts a Defender that was refused.
    pub fn refusal(&self, cause: Cause) {
        count(&self.0.refused, Cause::ALL.iter().position(|one| *one == cause));
    }

    /// Counts a rotation or a refusal.
    pub fn certificates(&self, outcome: &Outcome) {
        let (counters, channel) = match outcome {
            Outcome::Refused { channel, .. } => (&self.0.refusals, channel),
            Outcome::Rotated { channel, .. } => (&self.0.rotations, channel),
        };
        count(counters, CHANNELS.iter().position(|one| one == channel));
    }

    /// The calls of the API.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.0.calls
    }

    /// When the Console started.
    #[must_use]
    pub fn started(&self) -> OffsetDateTime {
        self.0.started
    }

    /// Writes the counters.
    pub fn write(&self, text: &mut Text) {
        let help =
            "Connections to the Defender listener since the start, by how they went up to the welcome.";
        text.family("garrison_defender_handshakes_total", "counter", help);
        for (outcome, counter) in Handshake::ALL.iter().zip(&self.0.handshakes) {
            text.sample("", &[("outcome", outcome.as_str())], counter.load(Ordering::Relaxed));
        }
        let help = "Peers that were refused at the Defender listener since the start, by cause.";
        text.family("garrison_defender_refusals_total", "counter", help);
        for (cause, counter) in Cause::ALL.iter().zip(&self.0.refused) {
            text.sample("", &[("cause", cause.as_str())], counter.load(Ordering::Relaxed));
        }
        for (name, help, counters) in [
            (
                "garrison_certificate_rotations_total",
                "Changes of a channel's certificates since the start.",
                &self.0.rotations,
            ),
            (
                "garrison_certificate_refusals_total",
                "Certificates that were refused since the start.",
                &self.0.refusals,
            ),
        ] {
            text.family(name, "counter", help);
            for (channel, counter) in CHANNELS.iter().zip(counters) {
                text.sample("", &[("channel", channel.id())], counter.load(Ordering::Relaxed));
            }
        }
        self.0.calls.write(text);
    }
}

impl Handshake {
    const ALL: [Self; 13] = [
        Self::ApprovalNeeded,
        Self::Cloned,
        Self::Decommissioned,
        Self::IdentityMismatch,
        Self::Left,
        Self::Malformed,
        Self::Registration,
        Self::Silent,
        Self::TimedOut,
        Self::Tls,
        Self::TooOld,
        Self::Upgrade,
        Self::Welcomed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalNeeded => "approval_needed",
            Self::Cloned => "cloned",
            Self::Decommissioned => "decommissioned",
            Self::IdentityMismatch => "identity_mismatch",
            Self::Left => "left",
            Self::Malformed => "malformed",
            Self::Registration => "registration_refused",
            Self::Silent => "silent",
            Self::TimedOut => "timed_out",
            Self::Tls => "tls",
            Self::TooOld => "too_old",
            Self::Upgrade => "upgrade",
            Self::Welcomed => "welcomed",
        }
    }
}

fn count(counters: &[AtomicU64], place: Option<usize>) {
    if let Some(counter) = place.and_then(|place| counters.get(place)) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

const CHANNELS: [Channel; 2] = [Channel::ConsoleHttps, Channel::ConsoleDefender];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_counted_under_its_own_name() {
        let metrics = Metrics::new(OffsetDateTime::UNIX_EPOCH);
        Handshake::ALL.into_iter().for_each(|outcome| metrics.handshake(outcome));
        metrics.handshake(Handshake::Welcomed);
        let refused =
            Outcome::Refused { channel: Channel::ConsoleHttps, error: "e".into(), remedy: "r".into() };
        metrics.certificates(&refused);
        let mut text = Text::default();
        metrics.write(&mut text);
        let text = text.finish();
        assert!(text.contains("garrison_defender_handshakes_total{outcome=\"welcomed\"} 2\n"), "{text}");
        assert_eq!(text.matches("outcome=").count(), Handshake::ALL.len());
        assert_eq!(
            text.matches("} 1\n").count(),
            Handshake::ALL.len(),
            "all outcomes but one and the refusal: {text}"
        );
        assert!(text.contains("garrison_certificate_refusals_total{channel=\"console-https\"} 1\n"));
        assert!(text.contains("garrison_certificate_rotations_total{channel=\"console-defender\"} 0\n"));
    }

    #[test]
    fn every_outcome_is_documented_and_every_refusal_counts_for_the_alert() {
        let pages = include_str!("../../../docs/metrics.md");
        let rules = include_str!("../../../deploy/monitoring/garrison.rules.yaml");
        let row = pages.lines().find(|line| line.contains("garrison_defender_handshakes_total"));
        let row = row.expect("a row of the table");
        let sums: Vec<Vec<_>> = rules
            .split("garrison_defender_handshakes_total{outcome=~\"")
            .skip(1)
            .filter_map(|rest| rest.split_once('"'))
            .map(|(outcomes, _)| outcomes.split('|').collect())
            .collect();
        assert_eq!(sums.len(), 2, "the alert compares two sums: {sums:?}");
        // Nobody has to act on these.
        let unalarming = [Handshake::Decommissioned, Handshake::Left, Handshake::Silent, Handshake::Welcomed];
        for outcome in Handshake::ALL {
            let name = outcome.as_str();
            assert!(row.contains(&format!("`{name}`")), "{name}: {row}");
            for sum in &sums {
                assert_eq!(sum.contains(&name), !unalarming.contains(&outcome), "{name}: {sum:?}");
            }
        }
    }
}
