//! The open alerts as the overview lists them (`overview/alerts.html`).

use super::words::Moment;
use crate::alerts::{Alerts, Severity};

/// One open alert.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AlertItem {
    pub(super) id: String,
    /// `bad`, `warn` or `quiet`.
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) summary: String,
    pub(super) remedy: String,
    /// Who has seen it.
    pub(super) acknowledged_by: Option<String>,
    pub(super) at: Moment,
}

impl AlertItem {
    /// The open alerts, the most urgent first, then the newest.
    pub(super) fn all(alerts: &Alerts) -> Vec<Self> {
        let mut open = alerts.all_open();
        open.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), std::cmp::Reverse(alert.raised_at)));
        let items = open.into_iter().map(|alert| {
            let (tone, icon) = match alert.severity {
                Severity::Critical => ("bad", "warning"),
                Severity::Warning => ("warn", "warning"),
                Severity::Info => ("quiet", "info"),
            };
            Self {
                id: alert.id.to_string(),
                tone,
                icon,
                summary: alert.summary,
                remedy: alert.remedy,
                acknowledged_by: alert.acknowledged_by,
                at: Moment::new(alert.raised_at),
            }
        });
        items.take(MOST).collect()
    }
}

/// A storm is grouped before it comes here.
const MOST: usize = 50;
