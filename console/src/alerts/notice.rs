//! What receivers are told: one notice for each alert raised or resolved, the same bytes at each attempt.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::alert::Alert;
use crate::store::alerts::Message;

/// The body of a webhook, and what a syslog line is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notice {
    /// The same at each attempt: receivers drop what they have.
    pub id: Uuid,
    /// What happened.
    pub event: Occasion,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Name of the Console's host.
    pub console: String,
    /// The alert.
    pub alert: Alert,
}

/// What a notice tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Occasion {
    /// A condition has come up.
    #[serde(rename = "alert.raised")]
    Raised,
    /// It is over.
    #[serde(rename = "alert.resolved")]
    Resolved,
    /// Somebody tries out whether notices arrive.
    #[serde(rename = "alert.test")]
    Test,
}

impl Occasion {
    /// As in the notice.
    #[must_use]
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "alert.raised",
            Self::Resolved => "alert.resolved",
            Self::Test => "alert.test",
        }
    }
}

impl Notice {
    /// A new one.
    #[must_use]
    pub(super) fn new(event: Occasion, alert: Alert, console: &str, time: OffsetDateTime) -> Self {
        Self { id: Uuid::new_v4(), event, time, console: console.to_owned(), alert }
    }

    /// The notice as a message of the queue.
    #[must_use]
    pub(super) fn message(&self, channel: &'static str) -> Message {
        // Texts, times and identities can always be written.
        let body = serde_json::to_string(self).unwrap_or_default();
        Message { id: self.id, channel, body, created_at: self.time, attempts: 0 }
    }
}
