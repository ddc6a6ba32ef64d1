//! Settings of alerts: what is told to whom, and trying it out. The secret is taken and never shown.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::auth::{Administrator, AdministratorOrAuditor};
use super::error::ApiError;
use super::input::{Body, Secret};
use crate::alerts::{self, Channel, SendError, Settings, Transport, Tried};

/// `GET settings/alerts`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::web) struct AlertSettings {
    /// Days before a certificate expires at which it is told of; the expiry itself always is.
    pub(in crate::web) expiry_days: Vec<u16>,
    /// Minutes that a Defender may be disconnected; 0 is for ever.
    pub(in crate::web) disconnected_after_minutes: f64,
    /// Whether pages show open alerts that are warnings or worse.
    pub(in crate::web) banner: bool,
    /// Where messages are posted to; empty is nowhere.
    pub(in crate::web) webhook_url: String,
    /// CA certificates beside those of the system, PEM.
    pub(in crate::web) webhook_ca: String,
    /// Whether messages are signed.
    pub(in crate::web) webhook_secret_set: bool,
    /// `HOST:PORT`; empty is nowhere.
    pub(in crate::web) syslog_address: String,
    /// How messages go there.
    pub(in crate::web) syslog_transport: Transport,
    /// CA certificates beside those of the system, PEM.
    pub(in crate::web) syslog_ca: String,
    /// Facility of messages, 0 to 23.
    pub(in crate::web) syslog_facility: u8,
}

/// `POST settings/alerts`: what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewAlertSettings {
    #[schema(max_items = 10)]
    expiry_days: Option<Vec<u16>>,
    disconnected_after_minutes: Option<f64>,
    banner: Option<bool>,
    webhook_url: Option<String>,
    webhook_ca: Option<String>,
    /// The key that messages are signed with, at most 256 characters; empty removes it.
    #[schema(value_type = Option<String>)]
    webhook_secret: Option<Secret>,
    syslog_address: Option<String>,
    syslog_transport: Option<Transport>,
    syslog_ca: Option<String>,
    syslog_facility: Option<u8>,
}

/// `POST settings/alerts/test`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    channel: TrialChannel,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum TrialChannel {
    Banner,
    Syslog,
    Webhook,
}

/// What came of trying out a channel.
#[derive(Serialize, ToSchema)]
pub(super) struct TrialResult {
    channel: TrialChannel,
    /// Whether it got through.
    ok: bool,
    /// The status that the webhook answered with.
    status: Option<u16>,
    /// How long it took.
    took_ms: u64,
    /// What happened, in a sentence.
    message: String,
    /// What to do about it.
    remedy: Option<String>,
}

/// Shows what is told to whom, for administrators and auditors; the secret is not shown.
#[utoipa::path(get, path = "/settings/alerts", tag = "alerts",
    responses((status = 200, description = "The settings", body = AlertSettings)))]
pub(super) async fn show(_: AdministratorOrAuditor, State(state): State<AppState>) -> Json<AlertSettings> {
    Json(AlertSettings::of(&state.alerts))
}

/// Changes what is told to whom, for administrators: what is left out stays.
#[utoipa::path(post, path = "/settings/alerts", tag = "alerts", request_body = NewAlertSettings,
    responses((status = 200, description = "The settings", body = AlertSettings)))]
pub(super) async fn change(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
    Body(body): Body<NewAlertSettings>,
) -> Result<Json<AlertSettings>, ApiError> {
    let bad = |fault: alerts::SettingsFault| ApiError::BadRequest(fault.to_string());
    let secret = body.webhook_secret.as_ref().map(|secret| alerts::Secret::parse((**secret).clone()));
    let secret = secret.transpose().map_err(bad)?;
    let settings = body.over((*state.alerts.current().0).clone()).judged().map_err(bad)?;
    state.alerts.change(settings, secret, &actor).await?;
    tracing::info!(user = actor.user, "Settings of alerts changed");
    Ok(Json(AlertSettings::of(&state.alerts)))
}

/// Sends a test message to one channel now, or shows a banner for a minute, and says what happened, for
/// administrators. Try out what is saved.
#[utoipa::path(post, path = "/settings/alerts/test", tag = "alerts", request_body = Trial,
    responses((status = 200, description = "What happened", body = TrialResult)))]
pub(super) async fn try_out(
    _: Administrator,
    State(state): State<AppState>,
    Body(trial): Body<Trial>,
) -> Result<Json<TrialResult>, ApiError> {
    let channel = trial.channel;
    let tried = match channel {
        TrialChannel::Banner => {
            state.alerts.try_banner().await?;
            Tried { took: std::time::Duration::ZERO, status: None, error: None }
        }
        TrialChannel::Syslog => state.alerts.try_out(Channel::Syslog).await,
        TrialChannel::Webhook => state.alerts.try_out(Channel::Webhook).await,
    };
    let is_udp = state.alerts.current().0.syslog_transport == Transport::Udp;
    Ok(Json(TrialResult {
        channel,
        ok: tried.error.is_none(),
        status: tried.status,
        took_ms: u64::try_from(tried.took.as_millis()).unwrap_or(u64::MAX),
        message: tried
            .error
            .as_ref()
            .map_or_else(|| arrived(channel, is_udp), |error| lifecycle::logging::error_chain(error)),
        remedy: tried.error.as_ref().map(SendError::remedy),
    }))
}

fn arrived(channel: TrialChannel, is_udp: bool) -> String {
    let text = match channel {
        TrialChannel::Banner => "Every page shows a test banner for a minute.",
        TrialChannel::Syslog if is_udp => {
            "The message was sent. UDP does not tell whether it arrived: look at the log of the server."
        }
        TrialChannel::Syslog => "The server has taken the message.",
        TrialChannel::Webhook => "The receiver has taken the message.",
    };
    text.to_owned()
}

impl AlertSettings {
    /// As they are now.
    pub(in crate::web) fn of(alerts: &alerts::Alerts) -> Self {
        let (settings, secret) = alerts.current();
        let settings = (*settings).clone();
        Self {
            expiry_days: settings.expiry_days,
            disconnected_after_minutes: settings.disconnected_after_minutes,
            banner: settings.banner,
            webhook_url: settings.webhook_url,
            webhook_ca: settings.webhook_ca,
            webhook_secret_set: secret.is_set(),
            syslog_address: settings.syslog_address,
            syslog_transport: settings.syslog_transport,
            syslog_ca: settings.syslog_ca,
            syslog_facility: settings.syslog_facility,
        }
    }
}

impl NewAlertSettings {
    fn over(self, old: Settings) -> Settings {
        Settings {
            expiry_days: self.expiry_days.unwrap_or(old.expiry_days),
            disconnected_after_minutes: self
                .disconnected_after_minutes
                .unwrap_or(old.disconnected_after_minutes),
            banner: self.banner.unwrap_or(old.banner),
            webhook_url: self.webhook_url.unwrap_or(old.webhook_url),
            webhook_ca: self.webhook_ca.unwrap_or(old.webhook_ca),
            syslog_address: self.syslog_address.unwrap_or(old.syslog_address),
            syslog_transport: self.syslog_transport.unwrap_or(old.syslog_transport),
            syslog_ca: self.syslog_ca.unwrap_or(old.syslog_ca),
            syslog_facility: self.syslog_facility.unwrap_or(old.syslog_facility),
        }
    }
}
