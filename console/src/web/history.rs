//! What was: connections of a Defender, how many were connected, rotations and refusals. Newest first.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::AppState;
use super::auth::AnyUser;
use super::csv::{self, Accept, Cell, Format};
use super::error::ApiError;
use super::input::{Id, Page, Parameters};
use crate::store::history::{CertificateChange, Connection, Sample};

/// Parameters of the lists.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// Only items that contain this text, in upper or lower case.
    search: Option<String>,
    /// How many items to pass over.
    offset: Option<usize>,
    /// How many items to answer with, 50 unless told.
    #[param(maximum = 1000)]
    limit: Option<usize>,
    /// `csv` for the whole list as a table, whatever offset and limit; as does `Accept: text/csv`.
    #[param(inline)]
    format: Option<Format>,
}

/// Parameters of the counts.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// How far back, 24 hours unless told.
    #[param(minimum = 1, maximum = 192)]
    hours: Option<u32>,
    /// One count of each so many minutes; unless told as many as make 288 counts at most.
    #[param(minimum = 1, maximum = 1440)]
    step_minutes: Option<u32>,
    /// How many items to pass over.
    offset: Option<usize>,
    /// How many items to answer with, 50 unless told.
    #[param(maximum = 1000)]
    limit: Option<usize>,
    /// `csv` for the whole list as a table, whatever offset and limit; as does `Accept: text/csv`.
    #[param(inline)]
    format: Option<Format>,
}

/// Lists the connections of a Defender, newest first. About the last 100 are kept, for 90 days.
#[utoipa::path(get, path = "/defenders/{id}/connections", tag = "defenders",
    params(("id" = uuid::Uuid, Path), Search),
    responses((status = 200, description = "A page of them; all of them as CSV",
        content((Vec<Connection> = "application/json"), (String = "text/csv")),
        headers(("Total-Count" = u64, description = "How many there are in all; not with CSV"))),
        (status = 404, description = "No such Defender, or decommissioned")))]
pub(super) async fn connections(
    _: AnyUser,
    Id(id): Id,
    Parameters(search): Parameters<Search>,
    accept: Accept,
    State(state): State<AppState>,
) -> Result<Response, ApiError> {
    let page = search.page(accept)?;
    let unknown = ApiError::NotFound("no Defender has this id, or it was decommissioned");
    state.fleet.get(id).ok_or(unknown)?;
    state.fleet.settle_history().await;
    let (connections, total) = state.store.connections(id, search.needle(), page.offset, page.limit).await?;
    if accept.is_csv(search.format) {
        let names = ["connected_at", "disconnected_at", "cause", "address"];
        let cells = |one: Connection| {
            [
                time(one.connected_at),
                one.disconnected_at.map_or("".into(), time),
                one.cause.into(),
                one.address.into(),
            ]
        };
        return Ok(csv::answer("connections", names, connections.into_iter().map(cells)));
    }
    Ok(Page::ready(connections, total).into_response())
}

/// Lists rotations and refusals of the Console's certificates, newest first.
#[utoipa::path(get, path = "/certificates/history", tag = "certificates", operation_id = "history",
    params(Search),
    responses((status = 200, description = "A page of them; all of them as CSV",
        content((Vec<CertificateChange> = "application/json"), (String = "text/csv")),
        headers(("Total-Count" = u64, description = "How many there are in all; not with CSV")))))]
pub(super) async fn certificates(
    _: AnyUser,
    Parameters(search): Parameters<Search>,
    accept: Accept,
    State(state): State<AppState>,
) -> Result<Response, ApiError> {
    let page = search.page(accept)?;
    state.fleet.settle_history().await;
    let (changes, total) = state.store.certificate_changes(search.needle(), page.offset, page.limit).await?;
    if accept.is_csv(search.format) {
        let names = ["time", "channel", "outcome", "source", "not_after", "sha256", "error", "remedy"];
        let cells = |one: CertificateChange| {
            [
                time(one.time),
                one.channel.into(),
                one.outcome.into(),
                one.source.into(),
                one.not_after.map_or("".into(), time),
                one.sha256.into(),
                one.error.into(),
                one.remedy.into(),
            ]
        };
        return Ok(csv::answer("certificates", names, changes.into_iter().map(cells)));
    }
    Ok(Page::ready(changes, total).into_response())
}

/// Tells how many Defenders were connected and disconnected, newest first. Counted every minute, kept for 8 days.
#[utoipa::path(get, path = "/fleet/history", tag = "defenders", operation_id = "history", params(Span),
    responses((status = 200, description = "A page of counts; all of them as CSV",
        content((Vec<Sample> = "application/json"), (String = "text/csv")),
        headers(("Total-Count" = u64, description = "How many there are in all; not with CSV")))))]
pub(super) async fn fleet(
    _: AnyUser,
    Parameters(span): Parameters<Span>,
    accept: Accept,
    State(state): State<AppState>,
) -> Result<Response, ApiError> {
    let page = Page::parse(span.offset, span.limit)?;
    let samples = samples(&state, span.hours, span.step_minutes).await?;
    if accept.is_csv(span.format) {
        let names = ["time", "connected", "disconnected"];
        let number = |number| Cell::from(i64::try_from(number).unwrap_or(i64::MAX));
        let cells = move |one: Sample| [time(one.time), number(one.connected), number(one.disconnected)];
        return Ok(csv::answer("fleet", names, samples.into_iter().map(cells)));
    }
    let total = u64::try_from(samples.len()).unwrap_or(u64::MAX);
    let samples: Vec<_> = samples.into_iter().skip(page.offset).take(page.limit).collect();
    Ok(Page::ready(samples, total).into_response())
}

/// The counts of the last `hours`, one of each step, newest first.
///
/// # Errors
/// Hours or steps out of bounds; the store.
pub(super) async fn samples(
    state: &AppState,
    hours: Option<u32>,
    step_minutes: Option<u32>,
) -> Result<Vec<Sample>, ApiError> {
    let hours = hours.unwrap_or(24);
    let step = step_minutes.unwrap_or_else(|| (hours.saturating_mul(60)).div_ceil(MOST_POINTS));
    if !(1..=MOST_HOURS).contains(&hours) || !(1..=MOST_STEP).contains(&step) {
        let form = format!("hours are 1 to {MOST_HOURS}, step_minutes 1 to {MOST_STEP}");
        return Err(ApiError::BadRequest(form));
    }
    state.fleet.settle_history().await;
    let since = OffsetDateTime::now_utc() - time::Duration::hours(hours.into());
    Ok(state.store.samples(since, time::Duration::minutes(step.into())).await?)
}

impl Search {
    /// The page asked for; everything for CSV.
    fn page(&self, accept: Accept) -> Result<Page, ApiError> {
        let page = Page::parse(self.offset, self.limit)?;
        Ok(if accept.is_csv(self.format) { Page { offset: 0, limit: MOST_ROWS } } else { page })
    }

    fn needle(&self) -> &str {
        self.search.as_deref().unwrap_or_default()
    }
}

fn time(time: OffsetDateTime) -> Cell {
    Cell::from(time.format(&Rfc3339).unwrap_or_default())
}

/// What is kept.
const MOST_HOURS: u32 = 8 * 24;

/// A day.
const MOST_STEP: u32 = 24 * 60;

/// What a chart can show.
const MOST_POINTS: u32 = 288;

/// Lines of a table of things that people do.
const MOST_ROWS: usize = 1_000_000;
