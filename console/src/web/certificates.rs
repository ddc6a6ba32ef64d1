//! What the Console's listeners run on, and its own CA.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use certs::{Channel, Subscriber};
use rustls::ServerConfig;
use serde::Serialize;
use time::OffsetDateTime;

use super::AppState;
use super::auth::AnyUser;

/// The certificate of one listener.
#[derive(Serialize)]
pub(super) struct Certificate {
    channel: &'static str,
    source: String,
    subject: String,
    issuer: String,
    sans: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    sha256: String,
    #[serde(with = "time::serde::rfc3339")]
    rotated_at: OffsetDateTime,
    last_error: Option<String>,
}

pub(super) async fn list(_: AnyUser, State(state): State<AppState>) -> Json<[Certificate; 2]> {
    Json([
        certificate(Channel::ConsoleHttps, &state.https),
        certificate(Channel::ConsoleDefender, &state.defender),
    ])
}

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
