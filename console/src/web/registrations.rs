//! Registrations: what install bundles hold, who enrolled with them, and their revocation.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::AppState;
use super::auth::{AnyUser, DefenderManagement};
use super::error::ApiError;
use super::input::{Id, Listed, Page, Parameters, Search};
use crate::enroll::Registration;

/// One registration.
#[derive(Serialize, ToSchema)]
pub(super) struct Shown {
    /// Its name; the certificate has it as `urn:garrison:registration:ID`.
    id: Uuid,
    /// Who issued it; empty: the Console itself.
    created_by: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    /// How many Defenders may enrol with it; `null`: any number.
    max_uses: Option<u64>,
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
    /// Of the certificate, hexadecimal.
    sha256: String,
    /// The Defenders that enrolled with it.
    uses: Vec<ShownUse>,
}

/// One enrolment.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownUse {
    /// Who.
    defender: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
    /// From where.
    address: String,
}

/// Lists registrations, the newest first; expired ones for 30 days.
#[utoipa::path(get, path = "/registrations", tag = "registrations", params(Search),
    responses((status = 200, description = "A page of them", body = Vec<Shown>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn list(
    _: AnyUser,
    Parameters(search): Parameters<Search>,
    State(state): State<AppState>,
) -> Result<Listed<Shown>, ApiError> {
    let page = Page::parse(search.offset, search.limit)?;
    let needle = search.search.unwrap_or_default().to_lowercase();
    let mut registrations: Vec<Shown> =
        state.enrolment.registrations().into_iter().map(Shown::from).collect();
    registrations.retain(|one| {
        let texts = [one.id.to_string(), one.created_by.to_lowercase(), one.sha256.clone()];
        let uses = one.uses.iter().flat_map(|one| [one.defender.to_string(), one.address.clone()]);
        texts.into_iter().chain(uses).any(|text| text.contains(&needle))
    });
    Ok(page.of(registrations, |a, b| (b.created_at, b.id).cmp(&(a.created_at, a.id))))
}

/// Revokes a registration, for those who manage Defenders: no Defender enrols with it any more. Those that have
/// enrolled go on.
#[utoipa::path(delete, path = "/registrations/{id}", tag = "registrations", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Refused from now on"),
        (status = 404, description = "No such registration, or revoked already")))]
pub(super) async fn revoke(
    DefenderManagement(actor): DefenderManagement,
    Id(id): Id,
    State(state): State<AppState>,
) -> Result<StatusCode, ApiError> {
    let user = actor.user.clone();
    if !state.enrolment.revoke(id, actor, OffsetDateTime::now_utc()).await? {
        return Err(ApiError::NotFound("no registration has this id, or it was revoked"));
    }
    tracing::info!(registration = id.to_string(), user, "Registration revoked");
    Ok(StatusCode::NO_CONTENT)
}

impl From<Registration> for Shown {
    fn from(one: Registration) -> Self {
        let uses = one.uses.iter().map(|(defender, one)| ShownUse {
            defender: *defender,
            time: one.at,
            address: one.address.to_canonical().to_string(),
        });
        Self {
            uses: uses.collect(),
            id: one.id,
            created_by: one.created_by,
            created_at: one.created_at,
            expires_at: one.expires_at,
            max_uses: one.max_uses,
            revoked_at: one.revoked_at,
            sha256: one.sha256,
        }
    }
}
