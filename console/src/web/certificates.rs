//! What the Console's listeners run on, and its own CA.

use axum::Json;
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
#[utoipa::path(get, path = "/certificates", tag = "certificates",
    responses((status = 200, description = "HTTPS, then Defender WebSocket", body = Vec<Certificate>)))]
pub(super) async fn list(_: AnyUser, State(state): State<AppState>) -> Json<[Certificate; 2]> {
    Json([
        certificate(Channel::ConsoleHttps, &state.https),
        certificate(Channel::ConsoleDefender, &state.defender),
    ])
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
