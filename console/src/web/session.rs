//! Liveness, version, and how callers become known.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::auth::AnyUser;
use super::error::ApiError;
use super::input::{Body, Secret};
use super::listener::Peer;

/// `POST signup`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignUp {
    username: String,
    password: Secret,
    setup_token: Secret,
}

/// `POST authenticate`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    username: String,
    password: Secret,
}

/// The answer to `POST authenticate`.
#[derive(Serialize)]
pub(super) struct Authenticated {
    token: String,
}

pub(super) async fn ping(State(state): State<AppState>) -> Result<Json<&'static str>, ApiError> {
    if state.ready.is_set() { Ok(Json("OK")) } else { Err(ApiError::Unavailable("the Console is starting")) }
}

pub(super) async fn version(_: AnyUser) -> Json<&'static str> {
    Json(env!("CARGO_PKG_VERSION"))
}

pub(super) async fn sign_up(
    State(state): State<AppState>,
    peer: Peer,
    Body(body): Body<SignUp>,
) -> Result<StatusCode, ApiError> {
    let address = peer.address.ip();
    state.access.sign_up(&body.username, &body.password, &body.setup_token, address).await?;
    Ok(StatusCode::CREATED)
}

pub(super) async fn authenticate(
    State(state): State<AppState>,
    peer: Peer,
    Body(body): Body<Credentials>,
) -> Result<Json<Authenticated>, ApiError> {
    let token = state.access.authenticate(&body.username, &body.password, peer.address.ip()).await?;
    Ok(Json(Authenticated { token: token.reveal().to_owned() }))
}
