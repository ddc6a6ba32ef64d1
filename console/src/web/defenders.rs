//! One Defender: facts, decommission; the install bundle for a new one. Lists are in `roster.rs`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use manifests::HostPort;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::AppState;
use super::auth::{AnyUser, DefenderManagement};
use super::error::ApiError;
use super::input::{Id, Parameters};
use crate::enroll::BundleOrder;
use crate::fleet::DefenderView;

/// Parameters of `install-bundle`.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BundleFor {
    /// Name or address that the Defender reaches the Console by, `HOST` or `HOST:PORT`.
    consoleaddr: String,
    /// How long Defenders may enrol with it, for example `24h` or `365d`: one minute to two years, 24 hours unless
    /// told.
    life: Option<String>,
    /// How many Defenders may enrol with it; any number unless told.
    #[param(minimum = 1)]
    uses: Option<u64>,
}

/// What a Defender last reported of its host.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HostReport {
    /// When the Console got it.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) received_at: OffsetDateTime,
    /// As the Defender sent it.
    #[schema(value_type = Object)]
    pub(super) report: Value,
}

/// The answer of `install-bundle`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstallBundle {
    /// Base64 of a JSON object of three files by name. Holds a private key.
    install_bundle: String,
    /// What the Defender dials.
    ws_address: String,
}

impl HostReport {
    /// The newest of one Defender; `None` when it has sent none.
    pub(super) async fn newest(state: &AppState, id: Uuid) -> Result<Option<Self>, ApiError> {
        let newest = state.store.newest_report(id, "host").await?;
        Ok(newest.map(|(report, received_at)| Self {
            received_at,
            // It was JSON when it came.
            report: serde_json::from_str(&report).unwrap_or_default(),
        }))
    }
}

/// Shows one Defender.
#[utoipa::path(get, path = "/defenders/{id}", tag = "defenders", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The Defender", body = DefenderView),
        (status = 404, description = "No such Defender, or decommissioned")))]
pub(super) async fn one(
    _: AnyUser,
    Id(id): Id,
    State(state): State<AppState>,
) -> Result<Json<DefenderView>, ApiError> {
    state.fleet.get(id).map(Json).ok_or(UNKNOWN)
}

/// Shows the newest host report of a Defender: facts of the host, and the state of its custom directory.
#[utoipa::path(get, path = "/defenders/{id}/host", tag = "defenders", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The report, and when it came", body = HostReport),
        (status = 404, description = "No such Defender, decommissioned, or it has sent none yet")))]
pub(super) async fn host(
    _: AnyUser,
    Id(id): Id,
    State(state): State<AppState>,
) -> Result<Json<HostReport>, ApiError> {
    state.fleet.get(id).ok_or(UNKNOWN)?;
    Ok(Json(HostReport::newest(&state, id).await?.ok_or(NO_REPORT)?))
}

/// Decommissions a Defender, for administrators, operators and defender-managers: closes its connection and refuses it
/// from then on.
#[utoipa::path(delete, path = "/defenders/{id}", tag = "defenders", params(("id" = uuid::Uuid, Path)),
    responses((status = 204, description = "Refused from now on"),
        (status = 404, description = "No such Defender, or decommissioned already")))]
pub(super) async fn decommission(
    DefenderManagement(actor): DefenderManagement,
    Id(id): Id,
    State(state): State<AppState>,
) -> Result<StatusCode, ApiError> {
    let user = actor.user.clone();
    if !state.fleet.decommission(id, actor, OffsetDateTime::now_utc()).await? {
        return Err(UNKNOWN);
    }
    state.enrolment.forget_return(id);
    tracing::info!(defender = id.to_string(), user, "Defender decommissioned");
    Ok(StatusCode::NO_CONTENT)
}

/// Issues what a new Defender needs, for administrators, operators and defender-managers.
#[utoipa::path(get, path = "/defenders/install-bundle", tag = "defenders", params(BundleFor),
    responses((status = 200, description = "The bundle", body = InstallBundle),
        (status = 409, description = "Custom certificates secure the Defender listener: issue from their CA")))]
pub(super) async fn install_bundle(
    DefenderManagement(actor): DefenderManagement,
    Parameters(BundleFor { consoleaddr, life, uses }): Parameters<BundleFor>,
    State(state): State<AppState>,
) -> Result<Json<InstallBundle>, ApiError> {
    let bad = |cause: String| ApiError::BadRequest(format!("consoleaddr: {cause}"));
    let address: HostPort = consoleaddr.parse().map_err(bad)?;
    let order = bundle_order(life.as_deref(), uses)?;
    let ws_address = format!("wss://{}", address.authority(state.defender_port));
    let bundle =
        state.enrolment.install_bundle(order, &actor, &ws_address, OffsetDateTime::now_utc()).await?;
    state.meeting.exported(&ws_address, order.life).await;
    tracing::info!(user = actor.user, console = ws_address, "Install bundle issued");
    Ok(Json(InstallBundle { install_bundle: bundle.to_string(), ws_address }))
}

/// What the bundle is to be good for.
fn bundle_order(life: Option<&str>, max_uses: Option<u64>) -> Result<BundleOrder, ApiError> {
    let bad = |text: String| ApiError::BadRequest(text);
    let mut order = BundleOrder { max_uses, ..BundleOrder::default() };
    if max_uses == Some(0) {
        return Err(bad("uses is 1 or more".to_owned()));
    }
    if let Some(life) = life {
        order.life = lifecycle::duration::parse(life).map_err(|error| bad(format!("life: {error}")))?;
        if !(SHORTEST_LIFE..=LONGEST_LIFE).contains(&order.life) {
            return Err(bad("life is between 1m and 730d".to_owned()));
        }
    }
    Ok(order)
}

const SHORTEST_LIFE: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(730 * 24 * 60 * 60);

const NO_REPORT: ApiError = ApiError::NotFound(
    "this Defender has sent no report of its host yet; it does so within seconds of its first connection",
);

/// Answers an id that no Defender has.
pub(super) const UNKNOWN: ApiError = ApiError::NotFound("no Defender has this id, or it was decommissioned");
