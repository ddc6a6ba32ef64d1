//! Sessions of the web UI: list, end, how long they last.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa::ToSchema;

use super::AppState;
use super::auth::{Administrator, AdministratorOrAuditor, AnyUser};
use super::error::ApiError;
use super::input::{Body, Id, Listed, Page, Parameters, Search};
use super::listener::Peer;
use crate::access::{Caller, SessionLimits};
use crate::store::sessions::SessionView;
use crate::store::users::Role;

/// `POST settings/sessions`.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewSessionLimits {
    /// A session ends when nothing was asked with it for so many minutes.
    #[schema(minimum = 5, maximum = 1440)]
    idle_minutes: u16,
    /// A session ends so many hours after the sign-in, however much it is used.
    #[schema(minimum = 1, maximum = 720)]
    life_hours: u16,
}

/// Lists the caller's sessions, newest first; those of all users for administrators and auditors.
#[utoipa::path(get, path = "/sessions", tag = "sessions", params(Search),
    responses((status = 200, description = "A page of them", body = Vec<SessionView>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn list(
    AnyUser(caller): AnyUser,
    Parameters(search): Parameters<Search>,
    State(state): State<AppState>,
) -> Result<Listed<SessionView>, ApiError> {
    let page = Page::parse(search.offset, search.limit)?;
    let needle = search.search.unwrap_or_default().to_lowercase();
    let mut sessions = state.access.sessions(readable(&caller), &caller).await?;
    sessions.retain(|session| {
        let texts = [&session.username, &session.address, &session.user_agent];
        texts.into_iter().any(|text| text.to_lowercase().contains(&needle))
    });
    Ok(page.of(sessions, |a, b| (b.created_at, b.id).cmp(&(a.created_at, a.id))))
}

/// Ends a session: the caller's own, any for administrators.
#[utoipa::path(delete, path = "/sessions/{id}", tag = "sessions", params(("id" = uuid::Uuid, Path)),
    responses((status = 204, description = "Ended"), (status = 404, description = "No such session")))]
pub(super) async fn end(
    AnyUser(caller): AnyUser,
    peer: Peer,
    Id(id): Id,
    State(state): State<AppState>,
) -> Result<StatusCode, ApiError> {
    let actor = caller.actor(peer.address.ip());
    if !state.access.end_session(id, owned(&caller), &actor).await? {
        return Err(ApiError::NotFound("there is no such session, or it has ended already"));
    }
    tracing::info!(user = actor.user, session = id.to_string(), "Session ended");
    Ok(StatusCode::NO_CONTENT)
}

/// Shows how long sessions last, for administrators and auditors.
#[utoipa::path(get, path = "/settings/sessions", tag = "settings",
    responses((status = 200, description = "The settings", body = SessionLimits)))]
pub(super) async fn limits(
    _: AdministratorOrAuditor,
    State(state): State<AppState>,
) -> Result<Json<SessionLimits>, ApiError> {
    Ok(Json(state.access.session_limits().await?))
}

/// Changes how long sessions last, for administrators; it counts for those that there are, too.
#[utoipa::path(post, path = "/settings/sessions", tag = "settings", request_body = NewSessionLimits,
    responses((status = 200, description = "The settings", body = SessionLimits)))]
pub(super) async fn change_limits(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
    Body(body): Body<NewSessionLimits>,
) -> Result<Json<SessionLimits>, ApiError> {
    let limits = SessionLimits { idle_minutes: body.idle_minutes, life_hours: body.life_hours };
    state.access.set_session_limits(limits, &actor).await?;
    let (idle_minutes, life_hours) = (limits.idle_minutes, limits.life_hours);
    tracing::info!(user = actor.user, idle_minutes, life_hours, "Length of sessions changed");
    Ok(Json(limits))
}

/// Whose sessions and keys the caller sees: `None` for those of all users.
pub(super) fn readable(caller: &Caller) -> Option<&str> {
    match caller.role {
        Role::Administrator | Role::Auditor => None,
        Role::DefenderManager | Role::Operator | Role::Viewer => Some(&caller.username),
    }
}

/// Whose sessions and keys the caller may end: `None` for those of all users.
pub(super) fn owned(caller: &Caller) -> Option<&str> {
    (caller.role != Role::Administrator).then_some(caller.username.as_str())
}
