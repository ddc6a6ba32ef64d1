//! Who was refused at the Defender listener, and why: what the Refused list and `defender.refused` show.
//!
//! ```text
//! cause.rs   every cause, in words
//! book.rs    who was refused, of late: bounded, pure
//! mod.rs     the log line, the event and the count of each refusal
//! ```
//!
//! Anybody can make a connection, so nothing here grows with what strangers do: the book has an end, and a burst of
//! refusals is logged and told in part.

mod book;
mod cause;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use certs::CertificateFacts;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

pub use book::{Refused, Shown};
pub use cause::Cause;

use crate::fleet::{EventKind, Fleet, RefusedFacts};
use crate::metrics::Metrics;
use book::Book;

/// The refusals. Clones share them.
#[derive(Debug, Clone)]
pub struct Refusals {
    book: Arc<Mutex<Book>>,
    fleet: Fleet,
    metrics: Metrics,
}

/// What is known of who was refused.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The identity in `hello`, or in the certificate.
    pub defender: Option<Uuid>,
    /// The name in `hello`.
    pub hostname: Option<String>,
    /// What it has shown.
    pub certificate: Option<CertificateFacts>,
}

impl Refusals {
    /// None yet.
    #[must_use]
    pub fn new(fleet: Fleet, metrics: Metrics) -> Self {
        Self { book: Arc::default(), fleet, metrics }
    }

    /// Notes, counts, logs and tells that a peer was refused.
    pub fn note(&self, cause: Cause, detail: &str, address: IpAddr, mut peer: Peer, now: OffsetDateTime) {
        self.metrics.refusal(cause);
        // A name that nobody has proved, but what it was known by.
        peer.hostname = peer.hostname.or_else(|| self.fleet.hostname(peer.defender?));
        let is_news = self.book().note(cause, detail, address, &peer, now);
        let defender = peer.defender.map(|id| id.to_string());
        let (peer_address, hostname) = (address.to_canonical().to_string(), peer.hostname.clone());
        let subject = peer.certificate.as_ref().map(|leaf| leaf.subject.clone());
        if !is_news || cause.is_quiet() {
            tracing::debug!(
                defender,
                hostname,
                peer = peer_address,
                reason = cause.as_str(),
                cause = detail,
                "Defender refused again"
            );
            return;
        }
        tracing::warn!(
            defender,
            hostname,
            peer = peer_address,
            certificate = subject,
            reason = cause.as_str(),
            cause = detail,
            remedy = cause.remedy(),
            "Defender refused"
        );
        self.fleet.announce(
            now,
            EventKind::DefenderRefused(RefusedFacts {
                id: peer.defender,
                hostname,
                address: peer_address,
                cause: cause.as_str(),
                detail: detail.to_owned(),
                remedy: cause.remedy(),
            }),
        );
    }

    /// Forgets what is over: this Defender was taken in.
    pub fn forget(&self, defender: Uuid, address: IpAddr) {
        self.book().forget(defender, address);
    }

    /// Who was refused within the last day, in no order.
    #[must_use]
    pub fn list(&self, now: OffsetDateTime) -> Vec<Refused> {
        self.book().list(now - KEPT)
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a refusal is shown.
const KEPT: Duration = Duration::DAY;
