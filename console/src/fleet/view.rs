//! A Defender as the API shows it (contract section 5).

use protocol::message::CertificateSummary;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::registry::Entry;

/// One Defender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefenderView {
    /// Its identity for life.
    pub id: Uuid,
    /// Name of its host; not unique.
    pub hostname: String,
    /// Its version, `X.Y.Z`.
    pub version: String,
    /// Whether it is connected now.
    pub connected: bool,
    /// When it was last heard.
    #[serde(with = "time::serde::rfc3339")]
    pub last_seen: OffsetDateTime,
    /// IP address that it last connected from.
    pub address: String,
    /// Operating system.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture.
    pub arch: String,
    /// The certificate that it uses.
    pub certificate: CertificateSummary,
}

impl From<&Entry> for DefenderView {
    fn from(entry: &Entry) -> Self {
        let Entry { record, session } = entry;
        Self {
            id: record.defender.id,
            hostname: record.defender.hostname.clone(),
            version: record.defender.version.clone(),
            connected: session.is_some(),
            last_seen: session.as_ref().map_or(record.last_seen, |session| session.heard()),
            address: record.address.to_canonical().to_string(),
            os: record.defender.os.clone(),
            kernel: record.defender.kernel.clone(),
            arch: record.defender.arch.clone(),
            certificate: record.certificate.clone(),
        }
    }
}
