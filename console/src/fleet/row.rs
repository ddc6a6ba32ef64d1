//! One Defender as lists see it: what its last `hello` said, which never changes, beside whether it is here, which
//! changes without anybody taking a lock.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::message::CertificateSource;
use serde::Serialize;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::registry::Record;

/// One Defender. Another `hello` of it makes another row; both share the presence.
#[derive(Debug)]
pub struct Row {
    /// What its last `hello` said. The last contact and the last report number in it are those of that time.
    pub record: Record,
    presence: Arc<Presence>,
    /// What a search looks at, in lower case.
    words: Box<str>,
    /// Whether another row has taken its place, or the Defender was decommissioned.
    is_retired: AtomicBool,
}

/// Whether a Defender is here, and when it was last heard.
#[derive(Debug)]
pub(super) struct Presence {
    is_connected: AtomicBool,
    /// Seconds since 1970.
    heard: AtomicI64,
    /// How far the clock of its host is ahead of ours, in seconds; `UNKNOWN`: it has not said.
    clock_ahead: AtomicI64,
    /// Another process with the same identity.
    twin: Mutex<Option<Box<Twin>>>,
}

/// Another process with the identity of a Defender: its host is a copy of the other's, mostly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Twin {
    /// Name of its host.
    pub hostname: String,
    /// Where it comes from.
    pub address: String,
    /// When it was noticed.
    #[serde(with = "time::serde::rfc3339")]
    pub first_seen: OffsetDateTime,
    /// When it came last.
    #[serde(with = "time::serde::rfc3339")]
    pub last_seen: OffsetDateTime,
}

impl Presence {
    pub(super) fn new(heard: OffsetDateTime) -> Self {
        Self {
            is_connected: AtomicBool::new(false),
            heard: AtomicI64::new(heard.unix_timestamp()),
            clock_ahead: AtomicI64::new(UNKNOWN),
            twin: Mutex::default(),
        }
    }

    pub(super) fn hear(&self, now: OffsetDateTime) {
        self.heard.store(now.unix_timestamp(), Ordering::Relaxed);
    }

    pub(super) fn heard(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.heard.load(Ordering::Relaxed))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// The other process with this identity, if one has come of late.
    pub(super) fn twin(&self, now: OffsetDateTime) -> Option<Twin> {
        let twin = self.twin.lock().unwrap_or_else(PoisonError::into_inner);
        twin.as_deref().filter(|twin| now - twin.last_seen < TWIN_FOR).cloned()
    }

    pub(super) fn set_twin(&self, twin: Twin) {
        *self.twin.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(twin));
    }

    pub(super) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Release);
    }
}

impl Row {
    pub(super) fn new(record: Record, presence: Arc<Presence>) -> Self {
        let words = words(&record);
        Self { record, presence, words, is_retired: AtomicBool::new(false) }
    }

    /// Whether it is connected now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.presence.is_connected.load(Ordering::Acquire)
    }

    /// How far the clock of its host was ahead of ours when it connected, in seconds.
    #[must_use]
    pub fn clock_ahead_seconds(&self) -> Option<i64> {
        Some(self.presence.clock_ahead.load(Ordering::Relaxed)).filter(|ahead| *ahead != UNKNOWN)
    }

    /// Notes how far the clock of its host is ahead.
    pub(super) fn note_clock(&self, ahead_seconds: Option<i64>) {
        self.presence.clock_ahead.store(ahead_seconds.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// Another process with its identity that has come within the last minutes.
    #[must_use]
    pub fn twin(&self) -> Option<Twin> {
        self.presence.twin(OffsetDateTime::now_utc())
    }

    /// When it was last heard, to the second.
    #[must_use]
    pub fn last_seen(&self) -> OffsetDateTime {
        self.presence.heard()
    }

    /// IP address that it last connected from.
    #[must_use]
    pub fn address(&self) -> String {
        self.record.address.to_canonical().to_string()
    }

    /// `custom` or `self-signed`.
    #[must_use]
    pub fn source(&self) -> &'static str {
        source_name(self.record.certificate.source)
    }

    pub(super) fn presence(&self) -> &Arc<Presence> {
        &self.presence
    }

    pub(super) fn last_seen_seconds(&self) -> i64 {
        self.presence.heard.load(Ordering::Relaxed)
    }

    /// Whether a search for `needle`, in lower case, finds it.
    pub(super) fn mentions(&self, needle: &str) -> bool {
        self.words.contains(needle)
            || (needle.len() >= FINGERPRINT_PART && self.record.certificate.sha256.contains(needle))
    }

    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }
}

/// The name that the API and the store give to a source.
#[must_use]
pub fn source_name(source: CertificateSource) -> &'static str {
    match source {
        CertificateSource::Custom => "custom",
        CertificateSource::SelfSigned => "self-signed",
    }
}

/// A line each, so that no search finds the end of one and the beginning of the next.
fn words(record: &Record) -> Box<str> {
    let identity = &record.defender;
    let (id, address) = (identity.id.to_string(), record.address.to_canonical().to_string());
    let parts = [&identity.hostname, &id, &address, &identity.version, &identity.os, &identity.kernel];
    let mut words = parts.map(|part| part.to_lowercase()).join("\n");
    words.push('\n');
    words.push_str(&identity.arch.to_lowercase());
    if let Some(cluster) = &identity.cluster {
        words.push('\n');
        words.push_str(&cluster.to_lowercase());
    }
    words.into()
}

/// No clock is so far ahead.
const UNKNOWN: i64 = i64::MIN;

/// How long a copy counts that does not come again; a Defender asks every minute.
const TWIN_FOR: Duration = Duration::minutes(10);

/// Shorter texts are found in so many fingerprints that they would find nothing.
const FINGERPRINT_PART: usize = 8;
