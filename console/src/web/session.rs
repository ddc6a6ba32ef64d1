//! Liveness, version, and how callers become known.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::AnyUser;
use super::error::ApiError;
use super::input::{Body, Secret};
use super::listener::Peer;
use super::stray::NoParameters;
use super::{AppState, cookie};
use crate::store::users::UserView;

/// `POST signup`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignUp {
    #[schema(pattern = "^[A-Za-z0-9_@+][A-Za-z0-9._@+-]{0,63}$")]
    username: String,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    password: Secret,
    /// The Console logs it at its start while there is no user.
    #[schema(value_type = String)]
    setup_token: Secret,
}

/// `POST authenticate`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    username: String,
    #[schema(value_type = String, format = Password)]
    password: Secret,
}

/// `POST password`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    #[schema(value_type = String, format = Password)]
    old: Secret,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    new: Secret,
}

/// The answer to `POST authenticate`.
#[derive(Serialize, ToSchema)]
pub(super) struct Authenticated {
    /// For `Authorization: Bearer`, good for 30 minutes.
    token: String,
}

/// Whether the Console is ready to serve.
#[utoipa::path(get, path = "/_ping", tag = "console", security(()),
    responses((status = 200, description = "It is", body = String, content_type = "application/json",
        example = json!("OK"))))]
pub(super) async fn ping(
    _: NoParameters,
    State(state): State<AppState>,
) -> Result<Json<&'static str>, ApiError> {
    if state.ready.is_set() { Ok(Json("OK")) } else { Err(ApiError::Unavailable("the Console is starting")) }
}

/// The version of the Console.
#[utoipa::path(get, path = "/version", tag = "console",
    responses((status = 200, description = "X.Y.Z", body = String, content_type = "application/json")))]
pub(super) async fn version(_: AnyUser) -> Json<&'static str> {
    Json(env!("CARGO_PKG_VERSION"))
}

/// Makes the first administrator, while there is no user.
#[utoipa::path(post, path = "/signup", tag = "access", request_body = SignUp, security(()),
    responses((status = 201, description = "The user", body = UserView),
        (status = 403, description = "Another setup token"),
        (status = 409, description = "There is a user already")))]
pub(super) async fn sign_up(
    _: NoParameters,
    State(state): State<AppState>,
    peer: Peer,
    Body(body): Body<SignUp>,
) -> Result<(StatusCode, Json<UserView>), ApiError> {
    let address = peer.address.ip();
    let user = state.access.sign_up(&body.username, &body.password, &body.setup_token, address).await?;
    Ok((StatusCode::CREATED, Json(user)))
}

/// Gives a token for a user name and a password. Slows down on repeated failure.
#[utoipa::path(post, path = "/authenticate", tag = "access", request_body = Credentials, security(()),
    responses((status = 200, description = "The token", body = Authenticated),
        (status = 401, description = "Wrong user name or password"),
        (status = 429, description = "Too many failed sign-ins; see Retry-After")))]
pub(super) async fn authenticate(
    _: NoParameters,
    State(state): State<AppState>,
    peer: Peer,
    Body(body): Body<Credentials>,
) -> Result<Json<Authenticated>, ApiError> {
    let token = state.access.authenticate(&body.username, &body.password, peer.address.ip()).await?;
    Ok(Json(Authenticated { token: token.reveal().to_owned() }))
}

/// Changes the caller's own password. All tokens and sessions of the user end but the session of this call, which gets
/// a new cookie. Slows down on repeated failure.
#[utoipa::path(post, path = "/password", tag = "access", request_body = NewPassword,
    responses((status = 204, description = "Changed"),
        (status = 403, description = "The old password is another one")))]
pub(super) async fn change_password(
    AnyUser(caller): AnyUser,
    peer: Peer,
    State(state): State<AppState>,
    Body(body): Body<NewPassword>,
) -> Result<Response, ApiError> {
    let address = peer.address.ip();
    let token = state.access.change_own_password(&caller, &body.old, &body.new, address).await?;
    tracing::info!(user = caller.username, "Password changed by its user");
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = token.and_then(|token| cookie::set(token.reveal())) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}
