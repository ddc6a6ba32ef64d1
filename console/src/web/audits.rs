//! The audit log, newest first, and whether it is as it was written.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime, Time};
use utoipa::ToSchema;

use super::AppState;
use super::auth::AdministratorOrAuditor;
use super::csv::{self, Accept, Format};
use super::error::ApiError;
use super::input::{Page, Parameters};
use crate::store::Store;
use crate::store::audits::{Audit, AuditQuery, Chain};

/// Parameters of the log.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only what this user did, also with access keys (`user/key`).
    pub(super) user: Option<String>,
    /// Only this action, for example `user.added`.
    pub(super) action: Option<String>,
    /// Only what was done at this time or later: RFC 3339, or a day (`2026-11-22`, from its begin in UTC).
    pub(super) since: Option<String>,
    /// Only what was done up to this time: RFC 3339, or a day (to its end in UTC).
    pub(super) until: Option<String>,
    /// Only entries that contain this text, in upper or lower case.
    pub(super) search: Option<String>,
    /// How many items to pass over.
    pub(super) offset: Option<usize>,
    /// How many items to answer with, 50 unless told.
    #[param(maximum = 1000)]
    pub(super) limit: Option<usize>,
    /// `csv` for all entries as a table, whatever offset and limit; as does `Accept: text/csv`.
    #[param(inline)]
    pub(super) format: Option<Format>,
}

/// Whether the log is as it was written.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Proof {
    /// Every hash follows from its entry and the hash before, and the newest entries are there.
    pub(super) unbroken: bool,
    /// How many entries there are.
    pub(super) entries: u64,
    /// Hash of the newest entry, 64 zeros for an empty log. Who keeps it elsewhere can prove later that nothing
    /// before it was changed.
    pub(super) head: String,
    /// Where it is broken.
    pub(super) broken_at: Option<Break>,
}

/// Where the log is broken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Break {
    /// Number of the entry, from 1.
    pub(super) entry: i64,
    /// What is wrong there, and what to do.
    pub(super) detail: String,
}

impl Filter {
    /// The entries that are meant; empty texts, which forms send, mean nothing.
    ///
    /// # Errors
    /// Times that are none.
    pub(super) fn query(&self) -> Result<AuditQuery, ApiError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Ok(AuditQuery {
            user: given(&self.user),
            action: given(&self.action),
            since: given(&self.since).map(|text| moment("since", &text, Duration::ZERO)).transpose()?,
            until: given(&self.until).map(|text| moment("until", &text, Duration::DAY)).transpose()?,
            search: self.search.clone().unwrap_or_default(),
        })
    }
}

impl Proof {
    /// Looks at the whole log.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn of(store: &Store) -> Result<Self, ApiError> {
        let chain = store.verify_audits().await?;
        let (newest, entries) = store.audits(&AuditQuery::default(), 0, 1).await?;
        let head = newest.into_iter().next().map(|audit| audit.hash);
        let head = head.unwrap_or_else(|| crate::store::audits::NO_HASH.to_owned());
        let broken_at = match chain {
            Chain::Broken { entry, .. } => Some(Break {
                entry,
                detail: "this entry does not follow from the one before: one of the two was changed, or one \
                     between them was removed or put in; compare with a backup, and find out who else can write \
                     to the database"
                    .to_owned(),
            }),
            Chain::Short { entry } => Some(Break {
                entry,
                detail: "the entries after this one are missing; compare with a backup, and find out who else can \
                     write to the database"
                    .to_owned(),
            }),
            Chain::Unbroken { .. } => None,
        };
        Ok(Self { unbroken: broken_at.is_none(), entries, head, broken_at })
    }
}

/// Lists who changed what, newest first, for administrators and auditors.
#[utoipa::path(get, path = "/audits", tag = "audit", params(Filter),
    responses((status = 200, description = "A page of them, or all as CSV",
        content((Vec<Audit> = "application/json"), (String = "text/csv")),
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn list(
    _: AdministratorOrAuditor,
    Parameters(filter): Parameters<Filter>,
    accept: Accept,
    State(state): State<AppState>,
) -> Result<Response, ApiError> {
    let query = filter.query()?;
    if accept.is_csv(filter.format) {
        return table(&state.store, &query).await;
    }
    let page = Page::parse(filter.offset, filter.limit)?;
    let (audits, total) = state.store.audits(&query, page.offset, page.limit).await?;
    Ok(Page::ready(audits, total).into_response())
}

/// Looks at the whole log and says whether it is as it was written, for administrators and auditors.
#[utoipa::path(get, path = "/audits/verify", tag = "audit",
    responses((status = 200, description = "The proof, or where the log is broken", body = Proof)))]
pub(super) async fn verify(
    _: AdministratorOrAuditor,
    State(state): State<AppState>,
) -> Result<Json<Proof>, ApiError> {
    Ok(Json(Proof::of(&state.store).await?))
}

async fn table(store: &Store, query: &AuditQuery) -> Result<Response, ApiError> {
    let (audits, total) = store.audits(query, 0, MOST_ROWS).await?;
    if audits.len() < usize::try_from(total).unwrap_or(usize::MAX) {
        let form = format!("these are {total} entries; choose at most {MOST_ROWS} with since and until");
        return Err(ApiError::BadRequest(form));
    }
    let names = ["time", "user", "address", "action", "object", "old", "new", "hash"];
    let rows = audits.into_iter().map(|audit| {
        let time = audit.time.format(&Rfc3339).unwrap_or_default();
        let (old, new) = (audit.old.get().to_owned(), audit.new.get().to_owned());
        [time, audit.user, audit.address, audit.action, audit.object, old, new, audit.hash].map(Into::into)
    });
    Ok(csv::answer("audits", names, rows))
}

/// A time, or the day that begins then and ends `of_day` later.
fn moment(name: &str, text: &str, of_day: Duration) -> Result<OffsetDateTime, ApiError> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"));
    let begin = day.map(|day| day.with_time(Time::MIDNIGHT).assume_utc().saturating_add(of_day));
    begin.or_else(|_| OffsetDateTime::parse(text, &Rfc3339)).map_err(|_| {
        let form = "a time as in RFC 3339 (2026-11-22T17:37:00Z) or a day (2026-11-22)";
        ApiError::BadRequest(format!("{name} is {form}"))
    })
}

/// More would take too much memory at once.
const MOST_ROWS: usize = 100_000;
