//! Local users: list, add, change, remove.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::AppState;
use super::auth::{Administrator, AdministratorOrAuditor};
use super::error::ApiError;
use super::input::{Body, Listed, Page, Parameters, Search, Secret};
use crate::store::users::{Role, UserView};

/// `POST users`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    username: String,
    password: Secret,
    role: String,
}

/// `PUT users/{username}`: what is absent stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedUser {
    password: Option<Secret>,
    role: Option<String>,
}

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

pub(super) async fn add(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
    Body(body): Body<NewUser>,
) -> Result<(StatusCode, Json<UserView>), ApiError> {
    let user = state.access.add_user(&body.username, &body.password, role(&body.role)?, &actor).await?;
    tracing::info!(user = actor.user, added = user.username, role = user.role.as_str(), "User added");
    Ok((StatusCode::CREATED, Json(user)))
}

pub(super) async fn change(
    Administrator(actor): Administrator,
    Path(username): Path<String>,
    State(state): State<AppState>,
    Body(body): Body<ChangedUser>,
) -> Result<Json<UserView>, ApiError> {
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

pub(super) async fn remove(
    Administrator(actor): Administrator,
    Path(username): Path<String>,
    State(state): State<AppState>,
) -> Result<StatusCode, ApiError> {
    state.access.remove_user(&username, &actor).await?;
    tracing::info!(user = actor.user, removed = username, "User removed");
    Ok(StatusCode::NO_CONTENT)
}

fn role(text: &str) -> Result<Role, ApiError> {
    text.parse().map_err(|_| {
        ApiError::BadRequest("role is one of administrator, operator, auditor, viewer".to_owned())
    })
}
