//! The open alerts as the overview lists them (`overview/alerts.html`), and their settings
//! (`parts/alert_settings.html`).

use super::words::Moment;
use crate::alerts::{Alerts, Severity, Transport};
use crate::web::AppState;
use crate::web::alert_settings::AlertSettings;

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

/// The settings as their form shows them.
pub(super) struct AlertForm {
    pub(super) settings: AlertSettings,
    /// As the API takes them.
    pub(super) days: String,
    pub(super) transport: &'static str,
}

impl AlertForm {
    /// As they are now.
    pub(super) fn of(state: &AppState) -> Self {
        let settings = AlertSettings::of(&state.alerts);
        let transport = match settings.syslog_transport {
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Udp => "udp",
        };
        Self { days: format!("{:?}", settings.expiry_days), transport, settings }
    }
}

/// A storm is grouped before it comes here.
const MOST: usize = 50;
