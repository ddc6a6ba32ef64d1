//! What an alert is.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// Something that a person should see to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Its identity, in events and messages too.
    pub id: Uuid,
    /// What it is about: the same condition has the same text, for example `certificate/SHA256/7`.
    pub condition: String,
    /// What kind of condition.
    pub kind: Kind,
    /// How urgent it is.
    pub severity: Severity,
    /// What is the matter, a sentence.
    pub summary: String,
    /// What to do.
    pub remedy: String,
    /// When it was raised.
    #[serde(with = "time::serde::rfc3339")]
    pub raised_at: OffsetDateTime,
    /// When the condition was over; `null` while it is open.
    #[serde(with = "time::serde::rfc3339::option")]
    pub resolved_at: Option<OffsetDateTime>,
    /// When somebody acknowledged it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub acknowledged_at: Option<OffsetDateTime>,
    /// Who did.
    pub acknowledged_by: Option<String>,
}

/// How urgent an alert is, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be known.
    Info,
    /// Something will break.
    Warning,
    /// Something is broken, or will be within a day.
    Critical,
}

/// What kind of condition an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = AlertKind)]
pub enum Kind {
    /// The audit log is not as it was written.
    AuditBroken,
    /// A backup could not be made.
    BackupFailed,
    /// A certificate expires soon or has expired.
    CertificateExpires,
    /// New certificates were refused.
    CertificatesRefused,
    /// Defenders have been disconnected for long.
    DefenderDisconnected,
    /// Defenders wait for an administrator to let them come back.
    ReturnWaiting,
    /// Somebody tried out whether alerts arrive.
    Test,
}

/// What an alert says of its condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// As in [`Alert::condition`].
    pub key: String,
    /// What kind.
    pub kind: Kind,
    /// How urgent.
    pub severity: Severity,
    /// What is the matter.
    pub summary: String,
    /// What to do.
    pub remedy: String,
}

impl Condition {
    /// Whether it is told of once for all time: each threshold of a certificate.
    #[must_use]
    pub fn is_told_once(&self) -> bool {
        self.key.starts_with("certificate/")
    }
}

impl Alert {
    /// A new one.
    #[must_use]
    pub fn new(condition: Condition, now: OffsetDateTime) -> Self {
        let Condition { key, kind, severity, summary, remedy } = condition;
        Self {
            id: Uuid::new_v4(),
            condition: key,
            kind,
            severity,
            summary,
            remedy,
            raised_at: now,
            resolved_at: None,
            acknowledged_at: None,
            acknowledged_by: None,
        }
    }
}

impl Severity {
    /// As the API and the database write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Of a text that [`Severity::as_str`] made.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Critical].into_iter().find(|one| one.as_str() == text)
    }
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::AuditBroken,
        Self::BackupFailed,
        Self::CertificateExpires,
        Self::CertificatesRefused,
        Self::DefenderDisconnected,
        Self::ReturnWaiting,
        Self::Test,
    ];

    /// As the API and the database write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuditBroken => "audit-broken",
            Self::BackupFailed => "backup-failed",
            Self::CertificateExpires => "certificate-expires",
            Self::CertificatesRefused => "certificates-refused",
            Self::DefenderDisconnected => "defender-disconnected",
            Self::ReturnWaiting => "return-waiting",
            Self::Test => "test",
        }
    }

    /// Of a text that [`Kind::as_str`] made.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}
