//! The Console's own authority: its CAs, the rotation with its progress, and Defenders that wait to come back.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::AppState;
use super::auth::{Administrator, AnyUser};
use super::error::ApiError;
use super::input::{Body, Id, Listed, Page, Parameters, Search};
use crate::authority::{Behind, RotationError, Step};
use crate::fleet::{DefenderFacts, EventKind};
use crate::store::audits::Actor;

/// The authority and its rotation.
#[derive(Serialize, ToSchema)]
pub(super) struct Authority {
    /// `settled`: no rotation; `trust`: everybody learns to trust the next CA; `sign`: the next CA signs.
    stage: &'static str,
    /// Since when.
    #[serde(with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
    /// Whether it began because the CA ends, and goes on by itself.
    automatic: bool,
    /// Every CA that Defenders are to trust, the present one first.
    authorities: Vec<Ca>,
    /// Defenders that use certificates of the Console.
    defenders: usize,
    /// How many of them trust the last of the CAs.
    trust: usize,
    /// How many of them have a certificate of it.
    moved: usize,
    /// Those that have not, at most 1000 of them.
    behind: Vec<Behind>,
}

/// One CA.
#[derive(Serialize, ToSchema)]
pub(super) struct Ca {
    subject: String,
    /// Hexadecimal.
    sha256: String,
    #[serde(with = "time::serde::rfc3339")]
    not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    /// Whether it signs for Defenders now.
    signs: bool,
}

/// `POST authority/rotation/retire`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retire {
    /// Defenders to leave behind.
    #[serde(default)]
    except: Vec<Uuid>,
}

/// A Defender that waits to come back.
#[derive(Serialize, ToSchema)]
pub(super) struct Waiting {
    id: Uuid,
    /// When it asked last.
    #[serde(with = "time::serde::rfc3339")]
    asked_at: OffsetDateTime,
    /// Name of its host, as it says.
    hostname: String,
    /// From where.
    address: String,
    /// Why it is not let in.
    why: String,
}

/// Shows the Console's own CAs, and how far their rotation is.
#[utoipa::path(get, path = "/authority", tag = "authority",
    responses((status = 200, description = "The authority", body = Authority)))]
pub(super) async fn show(_: AnyUser, State(state): State<AppState>) -> Json<Authority> {
    shown(&state)
}

/// Begins to rotate the CA, for administrators: the next one is made, and everybody learns to trust it.
#[utoipa::path(post, path = "/authority/rotation", tag = "authority",
    responses((status = 200, description = "Begun", body = Authority),
        (status = 409, description = "A rotation is under way")))]
pub(super) async fn begin(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
) -> Result<Json<Authority>, ApiError> {
    step(&state, Step::Begin, &actor).await
}

/// Has the next CA sign, for administrators: Defenders get certificates of it.
#[utoipa::path(post, path = "/authority/rotation/advance", tag = "authority",
    responses((status = 200, description = "It signs", body = Authority),
        (status = 409, description = "No rotation is in the stage `trust`")))]
pub(super) async fn advance(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
) -> Result<Json<Authority>, ApiError> {
    step(&state, Step::Sign, &actor).await
}

/// Goes one stage back, for administrators.
#[utoipa::path(post, path = "/authority/rotation/rollback", tag = "authority",
    responses((status = 200, description = "Back", body = Authority),
        (status = 409, description = "No rotation is under way")))]
pub(super) async fn roll_back(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
) -> Result<Json<Authority>, ApiError> {
    step(&state, Step::RollBack, &actor).await
}

/// Ends the rotation, for administrators: the old CA is dropped. Refused while Defenders have not moved that are not
/// named.
#[utoipa::path(post, path = "/authority/rotation/retire", tag = "authority", request_body = Retire,
    responses((status = 200, description = "Dropped", body = Authority),
        (status = 409, description = "Not in the stage `sign`, or Defenders would be left behind")))]
pub(super) async fn retire(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
    Body(Retire { except }): Body<Retire>,
) -> Result<Json<Authority>, ApiError> {
    step(&state, Step::Retire(except), &actor).await
}

/// Lists Defenders that want to come back with nothing that speaks for them any more, the newest first.
#[utoipa::path(get, path = "/returns", tag = "authority", params(Search),
    responses((status = 200, description = "A page of them", body = Vec<Waiting>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn returns(
    _: AnyUser,
    Parameters(search): Parameters<Search>,
    State(state): State<AppState>,
) -> Result<Listed<Waiting>, ApiError> {
    let page = Page::parse(search.offset, search.limit)?;
    let needle = search.search.unwrap_or_default().to_lowercase();
    let waiting = state.enrolment.returns().into_iter().map(|(id, one)| Waiting {
        id,
        asked_at: one.asked_at,
        address: one.address.to_canonical().to_string(),
        hostname: one.hostname,
        why: one.why.to_string(),
    });
    let fits = |one: &Waiting| {
        let texts = [one.id.to_string(), one.address.clone(), one.hostname.to_lowercase()];
        texts.iter().any(|text| text.contains(&needle))
    };
    Ok(page.of(waiting.filter(fits).collect(), |a, b| (b.asked_at, b.id).cmp(&(a.asked_at, a.id))))
}

/// Lets a Defender come back within a day, for administrators.
#[utoipa::path(post, path = "/returns/{id}/approve", tag = "authority", params(("id" = Uuid, Path)),
    responses((status = 204, description = "It is let in when it asks next, within a minute"),
        (status = 404, description = "No such Defender waits")))]
pub(super) async fn approve(
    Administrator(actor): Administrator,
    Id(id): Id,
    State(state): State<AppState>,
) -> Result<StatusCode, ApiError> {
    let (user, now) = (actor.user.clone(), OffsetDateTime::now_utc());
    let Some(one) = state.enrolment.approve(id, actor, now).await? else {
        return Err(ApiError::NotFound("no Defender with this id waits to come back"));
    };
    let address = one.address.to_canonical().to_string();
    state
        .fleet
        .announce(now, EventKind::ReturnApproved(DefenderFacts { id, hostname: one.hostname, address }));
    tracing::info!(defender = id.to_string(), user, "The return of a Defender was approved");
    Ok(StatusCode::NO_CONTENT)
}

async fn step(state: &AppState, step: Step, actor: &Actor) -> Result<Json<Authority>, ApiError> {
    state.authority.step(step, actor, OffsetDateTime::now_utc()).await?;
    Ok(shown(state))
}

fn shown(state: &AppState) -> Json<Authority> {
    let (phase, cas) = state.authority.state();
    let mut progress = state.authority.progress();
    progress.behind.sort_by(|a, b| (&a.hostname, a.id).cmp(&(&b.hostname, b.id)));
    progress.behind.truncate(MOST_SHOWN);
    let cas = cas.into_iter().map(|ca| Ca {
        subject: ca.facts.subject,
        sha256: ca.facts.sha256,
        not_before: ca.facts.not_before,
        not_after: ca.facts.not_after,
        signs: ca.signs,
    });
    Json(Authority {
        stage: state.authority.stage(),
        since: phase.map(|phase| phase.since),
        automatic: phase.is_some_and(|phase| phase.automatic),
        authorities: cas.collect(),
        defenders: progress.defenders,
        trust: progress.trust,
        moved: progress.moved,
        behind: progress.behind,
    })
}

impl From<RotationError> for ApiError {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Behind { .. } | RotationError::Step(certs::StepError::NotNow(_)) => {
                Self::Conflict(error.to_string())
            }
            error => Self::Internal(lifecycle::logging::error_chain(&error)),
        }
    }
}

const MOST_SHOWN: usize = 1000;
