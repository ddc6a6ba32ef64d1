//! Lists of Defenders: filtered, sorted, by pages or as CSV; their host names; what the filters can be set to.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::AppState;
use super::auth::AnyUser;
use super::csv::{self, Accept, Cell, Format};
use super::error::ApiError;
use super::input::{Page, Parameters};
use crate::fleet::{DefenderView, Facets, ListOrder, Query, Row, Sort};
use protocol::message::CertificateSource;

/// Parameters of the lists.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those that are connected, or only those that are not.
    pub(super) connected: Option<bool>,
    /// Only those of this version.
    pub(super) version: Option<String>,
    /// Only those whose certificate is from a custom directory, or from the Console.
    #[param(inline)]
    pub(super) source: Option<Source>,
    /// Only those with this operating system.
    pub(super) os: Option<String>,
    /// Only those of this machine architecture.
    pub(super) arch: Option<String>,
    /// Only those of this cluster.
    pub(super) cluster: Option<String>,
    /// Only those whose certificate has ended or ends within this time: a whole number and `s`, `m`, `h` or `d`, for
    /// example `30d`.
    pub(super) expires_within: Option<String>,
    /// Only those whose host name, address, id, version, operating system, kernel, architecture or cluster contains
    /// this text, in upper or lower case; from eight characters on, also those whose fingerprint does.
    pub(super) search: Option<String>,
    /// What to sort by, host name unless told. Where that is equal: by host name, then by id.
    #[param(inline)]
    pub(super) sort: Option<Sort>,
    /// `desc` turns the whole list around.
    #[param(inline)]
    pub(super) order: Option<ListOrder>,
    /// How many items to pass over.
    pub(super) offset: Option<usize>,
    /// How many items to answer with, 50 unless told.
    #[param(maximum = 1000)]
    pub(super) limit: Option<usize>,
    /// `csv` for the whole list as a table, whatever offset and limit; as does `Accept: text/csv`.
    #[param(inline)]
    pub(super) format: Option<Format>,
}

/// Where a certificate is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Source {
    /// Files of the operator.
    Custom,
    /// The Console.
    SelfSigned,
}

/// How many Defenders there are, and what the filters can be set to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Choices {
    /// How many are connected.
    connected: usize,
    /// How many are not.
    disconnected: usize,
    #[serde(flatten)]
    facets: Facets,
}

impl Filter {
    /// The query that the parameters ask for.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn query(&self, now: OffsetDateTime) -> Result<Query, ApiError> {
        let Page { offset, limit } = Page::parse(self.offset, self.limit)?;
        Ok(Query {
            connected: self.connected,
            version: self.version.clone(),
            source: self.source.map(CertificateSource::from),
            os: self.os.clone(),
            arch: self.arch.clone(),
            cluster: self.cluster.clone(),
            expires_before: self
                .expires_within
                .as_deref()
                .map(|within| end("expires_within", within, now))
                .transpose()?,
            search: self.search.clone().unwrap_or_default(),
            sort: self.sort.unwrap_or_default(),
            order: self.order.unwrap_or_default(),
            offset,
            limit,
        })
    }
}

impl From<Source> for CertificateSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Custom => Self::Custom,
            Source::SelfSigned => Self::SelfSigned,
        }
    }
}

/// Lists Defenders, by host name unless told.
#[utoipa::path(get, path = "/defenders", tag = "defenders", params(Filter),
    responses((status = 200, description = "A page of them; all of them as CSV",
        content((Vec<DefenderView> = "application/json"), (String = "text/csv")),
        headers(("Total-Count" = u64, description = "How many there are in all; not with CSV")))))]
pub(super) async fn list(
    _: AnyUser,
    Parameters(filter): Parameters<Filter>,
    accept: Accept,
    State(state): State<AppState>,
) -> Result<Response, ApiError> {
    let query = filter.query(OffsetDateTime::now_utc())?;
    if accept.is_csv(filter.format) {
        let found = state.fleet.query(&Query { offset: 0, limit: usize::MAX, ..query });
        return Ok(csv::answer("defenders", COLUMNS, found.rows.into_iter().map(|row| cells(&row))));
    }
    let found = state.fleet.query(&query);
    let page: Vec<_> = found.rows.iter().map(|row| DefenderView::from(&**row)).collect();
    Ok(Page::ready(page, u64::try_from(found.total).unwrap_or(u64::MAX)).into_response())
}

/// Lists host names of Defenders, each once.
#[utoipa::path(get, path = "/defenders/names", tag = "defenders", params(Filter),
    responses((status = 200, description = "A page of them, in order; all of them as CSV",
        content((Vec<String> = "application/json"), (String = "text/csv")),
        headers(("Total-Count" = u64, description = "How many there are in all; not with CSV")))))]
pub(super) async fn names(
    _: AnyUser,
    Parameters(filter): Parameters<Filter>,
    accept: Accept,
    State(state): State<AppState>,
) -> Result<Response, ApiError> {
    let query = filter.query(OffsetDateTime::now_utc())?;
    let by_name = Query { sort: Sort::Hostname, offset: 0, limit: usize::MAX, ..query.clone() };
    let mut rows = state.fleet.query(&by_name).rows;
    rows.dedup_by(|a, b| a.record.defender.hostname == b.record.defender.hostname);
    let name = |row: &Row| row.record.defender.hostname.clone();
    if accept.is_csv(filter.format) {
        return Ok(csv::answer("names", ["hostname"], rows.into_iter().map(move |row| [name(&row).into()])));
    }
    let total = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let page: Vec<_> = rows.iter().skip(query.offset).take(query.limit).map(|row| name(row)).collect();
    Ok(Page::ready(page, total).into_response())
}

/// Counts Defenders, and tells what the filters of their list can be set to: for each the most frequent, at most 100.
#[utoipa::path(get, path = "/defenders/facets", tag = "defenders",
    responses((status = 200, description = "Of all Defenders", body = Choices)))]
pub(super) async fn facets(_: AnyUser, State(state): State<AppState>) -> Json<Choices> {
    Json(Choices::of(&state))
}

impl Choices {
    /// As the fleet is now.
    pub(super) fn of(state: &AppState) -> Self {
        let (connected, known) = (state.fleet.connected(), state.fleet.known());
        let facets = state.fleet.facets();
        Self { connected, disconnected: known.saturating_sub(connected), facets: (*facets).clone() }
    }
}

/// The time that is `within` from `now`, a parameter of the name `name`.
///
/// # Errors
/// It is no time.
pub(super) fn end(name: &str, within: &str, now: OffsetDateTime) -> Result<OffsetDateTime, ApiError> {
    let form = |error: lifecycle::duration::DurationError| ApiError::BadRequest(format!("{name}: {error}"));
    let within = lifecycle::duration::parse(within).map_err(form)?;
    let end = time::Duration::try_from(within).ok().and_then(|within| now.checked_add(within));
    // Further away than any certificate ends.
    Ok(end.unwrap_or(now + time::Duration::days(365 * 1000)))
}

fn cells(row: &Row) -> [Cell; 13] {
    let (defender, certificate) = (&row.record.defender, &row.record.certificate);
    let time = |time: OffsetDateTime| Cell::from(time.format(&Rfc3339).unwrap_or_default());
    [
        defender.id.to_string().into(),
        defender.hostname.as_str().into(),
        defender.version.as_str().into(),
        if row.is_connected() { "true" } else { "false" }.into(),
        time(row.last_seen()),
        row.address().into(),
        defender.os.as_str().into(),
        defender.kernel.as_str().into(),
        defender.arch.as_str().into(),
        row.source().into(),
        time(certificate.not_after),
        certificate.sha256.as_str().into(),
        defender.cluster.as_deref().unwrap_or_default().into(),
    ]
}

const COLUMNS: [&str; 13] = [
    "id",
    "hostname",
    "version",
    "connected",
    "last_seen",
    "address",
    "os",
    "kernel",
    "arch",
    "certificate_source",
    "certificate_not_after",
    "certificate_sha256",
    "cluster",
];
