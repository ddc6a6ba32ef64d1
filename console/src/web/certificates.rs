//! What the Console's listeners run on, and its own CA.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use certs::{Channel, Subscriber};
use rustls::ServerConfig;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::AppState;
use super::auth::AnyUser;
use super::error::ApiError;
use super::input::{Listed, Page, Parameters, Search};

/// The certificate of one listener.
#[derive(Serialize, ToSchema)]
pub(super) struct Certificate {
    /// `console-https` or `console-defender`.
    channel: &'static str,
    /// `custom` or `self-signed`.
    source: String,
    subject: String,
    issuer: String,
    sans: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    /// Of the leaf, hexadecimal.
    sha256: String,
    #[serde(with = "time::serde::rfc3339")]
    rotated_at: OffsetDateTime,
    /// Why the last set of custom files was refused.
    last_error: Option<String>,
}

/// Shows what the two listeners run on.
#[utoipa::path(get, path = "/certificates", tag = "certificates", params(Search),
    responses((status = 200, description = "HTTPS, then Defender WebSocket", body = Vec<Certificate>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn list(
    _: AnyUser,
    Parameters(search): Parameters<Search>,
    State(state): State<AppState>,
) -> Result<Listed<Certificate>, ApiError> {
    let page = Page::parse(search.offset, search.limit)?;
    let needle = search.search.unwrap_or_default().to_lowercase();
    let mut certificates = vec![
        certificate(Channel::ConsoleHttps, &state.https),
        certificate(Channel::ConsoleDefender, &state.defender),
    ];
    certificates.retain(|certificate| certificate.contains(&needle));
    Ok(page.of(certificates, |a, b| b.channel.cmp(a.channel)))
}

impl Certificate {
    fn contains(&self, needle: &str) -> bool {
        let named = [self.channel, &self.source, &self.subject, &self.issuer, &self.sha256];
        let mut texts = named.into_iter().chain(self.sans.iter().map(String::as_str));
        texts.any(|text| text.to_lowercase().contains(needle))
    }
}

/// The Console's own certificate authority, PEM.
#[utoipa::path(get, path = "/certs/ca.pem", tag = "certificates", security(()),
    responses((status = 200, description = "One certificate", body = String,
        content_type = "application/x-pem-file")))]
pub(super) async fn ca(State(state): State<AppState>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/x-pem-file")], state.ca_pem.to_string())
}

fn certificate(channel: Channel, subscriber: &Subscriber<ServerConfig>) -> Certificate {
    let live = subscriber.current();
    let leaf = live.material.leaf();
    Certificate {
        channel: channel.id(),
        source: live.source.to_string(),
        subject: leaf.subject.clone(),
        issuer: leaf.issuer.clone(),
        sans: leaf.sans.clone(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        sha256: leaf.sha256.clone(),
        rotated_at: live.rotated_at,
        last_error: subscriber.last_error(),
    }
}
