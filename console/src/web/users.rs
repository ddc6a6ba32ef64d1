//! Local users: list, add, change, remove.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::AppState;
use super::auth::{Administrator, AdministratorOrAuditor};
use super::error::ApiError;
use super::input::{Body, Listed, Page, Parameters, Search, Secret, Username};
use crate::store::users::{Role, UserView};

/// `POST users`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    #[schema(pattern = "^[A-Za-z0-9_@+][A-Za-z0-9._@+-]{0,63}$")]
    username: String,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    password: Secret,
    #[schema(value_type = Role)]
    role: String,
}

/// `PUT users/{username}`: what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedUser {
    /// As in the path, for callers that send back all of a user.
    username: Option<String>,
    #[schema(value_type = Option<String>, format = Password, min_length = 8, max_length = 1024)]
    password: Option<Secret>,
    #[schema(value_type = Option<Role>)]
    role: Option<String>,
}

/// Lists users by name, for administrators and auditors.
#[utoipa::path(get, path = "/users", tag = "users", params(Search),
    responses((status = 200, description = "A page of them", body = Vec<UserView>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn list(
    _: AdministratorOrAuditor,
    Parameters(search): Parameters<Search>,
    State(state): State<AppState>,
) -> Result<Listed<UserView>, ApiError> {
    let page = Page::parse(search.offset, search.limit)?;
    let needle = search.search.unwrap_or_default().to_lowercase();
    let mut users = state.access.users().await?;
    users.retain(|user| {
        user.username.to_lowercase().contains(&needle) || user.role.as_str().contains(&needle)
    });
    Ok(page.of(users, |a, b| a.username.cmp(&b.username)))
}

/// Adds a user, for administrators.
#[utoipa::path(post, path = "/users", tag = "users", request_body = NewUser,
    responses((status = 201, description = "The user", body = UserView),
        (status = 409, description = "There is a user of that name")))]
pub(super) async fn add(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
    Body(body): Body<NewUser>,
) -> Result<(StatusCode, Json<UserView>), ApiError> {
    let user = state.access.add_user(&body.username, &body.password, role(&body.role)?, &actor).await?;
    tracing::info!(user = actor.user, added = user.username, role = user.role.as_str(), "User added");
    Ok((StatusCode::CREATED, Json(user)))
}

/// Gives a user another password, another role, or both, for administrators. It counts at once: the
/// user's sessions end, with a new password also the tokens, with a lesser role also the access keys that may do more.
#[utoipa::path(put, path = "/users/{username}", tag = "users", params(("username" = String, Path)),
    request_body = ChangedUser,
    responses((status = 200, description = "The user", body = UserView),
        (status = 404, description = "No such user"), (status = 409, description = "The last administrator")))]
pub(super) async fn change(
    Administrator(actor): Administrator,
    Username(username): Username,
    State(state): State<AppState>,
    Body(body): Body<ChangedUser>,
) -> Result<Json<UserView>, ApiError> {
    if body.username.is_some_and(|name| name != username) {
        return Err(ApiError::BadRequest("username is that of the path: a user keeps its name".to_owned()));
    }
    if body.password.is_none() && body.role.is_none() {
        return Err(ApiError::BadRequest("give a new password, a new role, or both".to_owned()));
    }
    let role = body.role.as_deref().map(role).transpose()?;
    let user = state.access.change_user(&username, body.password.as_deref(), role, &actor).await?;
    tracing::info!(
        user = actor.user,
        changed = user.username,
        role = user.role.as_str(),
        password = if body.password.is_some() { "changed" } else { "as before" },
        "User changed"
    );
    Ok(Json(user))
}

/// Removes a user with all tokens, sessions and access keys, for administrators.
#[utoipa::path(delete, path = "/users/{username}", tag = "users", params(("username" = String, Path)),
    responses((status = 204, description = "Removed"), (status = 404, description = "No such user"),
        (status = 409, description = "The last administrator")))]
pub(super) async fn remove(
    Administrator(actor): Administrator,
    Username(username): Username,
    State(state): State<AppState>,
) -> Result<StatusCode, ApiError> {
    state.access.remove_user(&username, &actor).await?;
    tracing::info!(user = actor.user, removed = username, "User removed");
    Ok(StatusCode::NO_CONTENT)
}

/// The role that a caller means.
pub(super) fn role(text: &str) -> Result<Role, ApiError> {
    text.parse().map_err(|_| {
        let roles = Role::ALL.map(Role::as_str).join(", ");
        ApiError::BadRequest(format!("role is one of {roles}"))
    })
}
