//! The audit log, newest first.

use axum::extract::State;

use super::AppState;
use super::auth::AdministratorOrAuditor;
use super::error::ApiError;
use super::input::{Listed, Page, Parameters, Search};
use crate::store::audits::Audit;

/// Lists who changed what, newest first, for administrators and auditors.
#[utoipa::path(get, path = "/audits", tag = "audit", params(Search),
    responses((status = 200, description = "A page of them", body = Vec<Audit>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn list(
    _: AdministratorOrAuditor,
    Parameters(search): Parameters<Search>,
    State(state): State<AppState>,
) -> Result<Listed<Audit>, ApiError> {
    let page = Page::parse(search.offset, search.limit)?;
    let needle = search.search.unwrap_or_default();
    let (audits, total) = state.store.audits(&needle, page.offset, page.limit).await?;
    Ok(Page::ready(audits, total))
}
