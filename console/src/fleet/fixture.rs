//! A `hello` as a Defender says it, for tests.

use protocol::message::{CertificateSource, CertificateSummary, DefenderIdentity, Hello};
use time::OffsetDateTime;
use uuid::Uuid;

/// Of this Defender, always from the same process of it.
pub(crate) fn hello(id: Uuid) -> Hello {
    Hello {
        defender: DefenderIdentity {
            id,
            hostname: "web-1".to_owned(),
            version: "0.1.0".to_owned(),
            os: "Debian".to_owned(),
            kernel: "6.1".to_owned(),
            arch: "x86_64".to_owned(),
            cluster: None,
        },
        boot: Uuid::from_u128(7),
        certificate: CertificateSummary {
            source: CertificateSource::SelfSigned,
            not_after: OffsetDateTime::UNIX_EPOCH,
            sha256: "00".repeat(32),
        },
        authorities: Vec::new(),
        time: None,
    }
}
