//! Alerts: the open and the recent ones, and that somebody has seen one.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::AppState;
use super::auth::{AdministratorOrOperator, AnyUser};
use super::error::ApiError;
use super::input::{Id, Listed, Page, Parameters};
use crate::alerts::Alert;

/// Parameters of the list.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those that are open, or only those that are over.
    open: Option<bool>,
    /// Only alerts that contain this text, in upper or lower case.
    search: Option<String>,
    /// How many items to pass over.
    offset: Option<usize>,
    /// How many items to answer with, 50 unless told.
    #[param(maximum = 1000)]
    limit: Option<usize>,
}

/// Lists alerts: open ones first, then the newest. What is over is kept for 400 days.
#[utoipa::path(get, path = "/alerts", tag = "alerts", params(Filter),
    responses((status = 200, description = "Open ones first, then the newest", body = Vec<Alert>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn list(
    _: AnyUser,
    Parameters(filter): Parameters<Filter>,
    State(state): State<AppState>,
) -> Result<Listed<Alert>, ApiError> {
    let page = Page::parse(filter.offset, filter.limit)?;
    let search = filter.search.unwrap_or_default().to_lowercase();
    let (alerts, total) = state.store.alerts(filter.open, &search, page.offset, page.limit).await?;
    Ok(Page::ready(alerts, total))
}

/// Notes that somebody has seen an alert, for administrators and operators: no page shows it as a banner any more.
#[utoipa::path(post, path = "/alerts/{id}/acknowledge", tag = "alerts",
    params(("id" = uuid::Uuid, Path, description = "Identity of the alert")),
    responses((status = 200, description = "The alert", body = Alert), (status = 404, description = "No such alert")))]
pub(super) async fn acknowledge(
    AdministratorOrOperator(actor): AdministratorOrOperator,
    Id(id): Id,
    State(state): State<AppState>,
) -> Result<Json<Alert>, ApiError> {
    let alert = state.alerts.acknowledge(id, &actor).await?;
    let alert = alert.ok_or(ApiError::NotFound("there is no alert with this id"))?;
    tracing::info!(user = actor.user, alert = id.to_string(), "Alert acknowledged");
    Ok(Json(alert))
}
