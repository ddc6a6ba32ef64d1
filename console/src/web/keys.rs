//! Named access keys for programs: list, make, delete.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::AppState;
use super::auth::AnyUser;
use super::error::ApiError;
use super::input::{Body, Listed, Name, Page, Parameters, Search};
use super::listener::Peer;
use super::sessions::{owned, readable};
use super::users::role;
use crate::store::keys::KeyView;
use crate::store::users::Role;

/// `POST access-keys`: with `expires_at` or `days`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// What it is for; one of its kind in the whole Console.
    #[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$")]
    name: String,
    /// At most what the caller's role allows.
    #[schema(value_type = Role)]
    role: String,
    /// When it ends, RFC 3339, at most two years from now.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<String>,
    /// In how many days it ends.
    #[schema(minimum = 1, maximum = 731)]
    days: Option<u16>,
}

/// The answer to `POST access-keys`.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeKey {
    /// For `Authorization: Bearer`. It is shown this once only.
    secret: String,
    /// The key.
    #[serde(flatten)]
    key: KeyView,
}

/// Lists the caller's access keys by name; those of all users for administrators and auditors.
#[utoipa::path(get, path = "/access-keys", tag = "keys", params(Search),
    responses((status = 200, description = "A page of them", body = Vec<KeyView>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn list(
    AnyUser(caller): AnyUser,
    Parameters(search): Parameters<Search>,
    State(state): State<AppState>,
) -> Result<Listed<KeyView>, ApiError> {
    let page = Page::parse(search.offset, search.limit)?;
    let needle = search.search.unwrap_or_default().to_lowercase();
    let mut keys = state.access.keys(readable(&caller)).await?;
    keys.retain(|key| {
        let texts = [&key.name, &key.username, key.role.as_str()];
        texts.into_iter().any(|text| text.to_lowercase().contains(&needle))
    });
    Ok(page.of(keys, |a, b| a.name.cmp(&b.name)))
}

/// Makes an access key of the caller for a program. It is used in place of a bearer token, with its own role, and ends
/// when its owner is removed or may no longer do as much.
#[utoipa::path(post, path = "/access-keys", tag = "keys", request_body = NewKey,
    responses((status = 201, description = "The key with its secret", body = MadeKey),
        (status = 409, description = "There is a key of that name, or the caller has too many")))]
pub(super) async fn add(
    AnyUser(caller): AnyUser,
    peer: Peer,
    State(state): State<AppState>,
    Body(body): Body<NewKey>,
) -> Result<(StatusCode, Json<MadeKey>), ApiError> {
    let end = end(body.expires_at.as_deref(), body.days)?;
    let actor = caller.actor(peer.address.ip());
    let (key, secret) = state.access.add_key(&body.name, role(&body.role)?, end, &caller, &actor).await?;
    tracing::info!(user = actor.user, key = key.name, role = key.role.as_str(), "Access key made");
    Ok((StatusCode::CREATED, Json(MadeKey { secret: secret.reveal().to_owned(), key })))
}

/// Deletes an access key, which ends at once: the caller's own, any for administrators.
#[utoipa::path(delete, path = "/access-keys/{name}", tag = "keys", params(("name" = String, Path)),
    responses((status = 204, description = "Deleted"), (status = 404, description = "No such key")))]
pub(super) async fn remove(
    AnyUser(caller): AnyUser,
    peer: Peer,
    Name(name): Name,
    State(state): State<AppState>,
) -> Result<StatusCode, ApiError> {
    let actor = caller.actor(peer.address.ip());
    if !state.access.remove_key(&name, owned(&caller), &actor).await? {
        return Err(ApiError::NotFound("there is no access key of that name"));
    }
    tracing::info!(user = actor.user, key = name, "Access key deleted");
    Ok(StatusCode::NO_CONTENT)
}

fn end(expires_at: Option<&str>, days: Option<u16>) -> Result<OffsetDateTime, ApiError> {
    match (expires_at, days) {
        (Some(text), None) => OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
            let form = "expires_at is a time as in RFC 3339, for example 2027-06-30T12:00:00Z";
            ApiError::BadRequest(form.to_owned())
        }),
        (None, Some(days)) => Ok(OffsetDateTime::now_utc() + time::Duration::days(i64::from(days))),
        _ => Err(ApiError::BadRequest("say when the key ends: either expires_at or days".to_owned())),
    }
}
