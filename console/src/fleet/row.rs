//! One Defender as lists see it: what its last `hello` said, which never changes, beside whether it is here, which
//! changes without anybody taking a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use protocol::message::CertificateSource;
use time::OffsetDateTime;

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
}

impl Presence {
    pub(super) fn new(heard: OffsetDateTime) -> Self {
        Self { is_connected: AtomicBool::new(false), heard: AtomicI64::new(heard.unix_timestamp()) }
    }

    pub(super) fn hear(&self, now: OffsetDateTime) {
        self.heard.store(now.unix_timestamp(), Ordering::Relaxed);
    }

    pub(super) fn heard(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.heard.load(Ordering::Relaxed))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
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
    words.into()
}

/// Shorter texts are found in so many fingerprints that they would find nothing.
const FINGERPRINT_PART: usize = 8;
