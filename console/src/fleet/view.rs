//! A Defender as the API shows it (contract section 5).

use protocol::message::CertificateSummary;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};
use uuid::Uuid;

use super::row::{Row, Twin};

/// One Defender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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
    /// Name of the cluster that it was deployed to; absent where it says none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The certificate that it uses.
    #[schema(schema_with = certificate)]
    pub certificate: CertificateSummary,
    /// How far the clock of its host was ahead of the Console's when it connected, in seconds; negative: behind.
    pub clock_ahead_seconds: Option<i64>,
    /// Another host that comes with the same identity, and is refused.
    pub cloned: Option<Twin>,
}

/// [`CertificateSummary`], which belongs to the protocol.
fn certificate() -> Object {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    ObjectBuilder::new()
        .property("source", text().enum_values(Some(["custom", "self-signed"])))
        .property("not_after", text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))))
        .property("sha256", text().description(Some("Of the leaf, hexadecimal.")))
        .required("source")
        .required("not_after")
        .required("sha256")
        .build()
}

impl From<&Row> for DefenderView {
    fn from(row: &Row) -> Self {
        let defender = &row.record.defender;
        Self {
            id: defender.id,
            hostname: defender.hostname.clone(),
            version: defender.version.clone(),
            connected: row.is_connected(),
            last_seen: row.last_seen(),
            address: row.address(),
            os: defender.os.clone(),
            kernel: defender.kernel.clone(),
            arch: defender.arch.clone(),
            cluster: defender.cluster.clone(),
            certificate: row.record.certificate.clone(),
            clock_ahead_seconds: row.clock_ahead_seconds(),
            cloned: row.twin(),
        }
    }
}
