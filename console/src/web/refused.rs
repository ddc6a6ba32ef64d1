//! Who was refused at the Defender listener of late, and why.

use axum::extract::State;
use time::OffsetDateTime;

use super::AppState;
use super::auth::AnyUser;
use super::error::ApiError;
use super::input::{Listed, Page, Parameters, Search};
use crate::refusals::Refused;

/// Lists who was refused at the Defender listener within a day, the newest first: one entry for each peer and cause.
/// A Defender that is taken in is no longer listed.
#[utoipa::path(get, path = "/defenders/refused", tag = "defenders", params(Search),
    responses((status = 200, description = "A page of them", body = Vec<Refused>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn refusals(
    _: AnyUser,
    Parameters(search): Parameters<Search>,
    State(state): State<AppState>,
) -> Result<Listed<Refused>, ApiError> {
    let page = Page::parse(search.offset, search.limit)?;
    let needle = search.search.unwrap_or_default().to_lowercase();
    let mut refused = state.refusals.list(OffsetDateTime::now_utc());
    refused.retain(|one| mentions(one, &needle));
    Ok(page.of(refused, newest_first))
}

/// The order of lists.
pub(super) fn newest_first(a: &Refused, b: &Refused) -> std::cmp::Ordering {
    (b.last_seen, &a.address, a.cause.as_str()).cmp(&(a.last_seen, &b.address, b.cause.as_str()))
}

fn mentions(one: &Refused, needle: &str) -> bool {
    let id = one.defender.map(|id| id.to_string()).unwrap_or_default();
    let hostname = one.hostname.as_deref().unwrap_or_default();
    let certificate = one.certificate.iter().flat_map(|leaf| [&leaf.subject, &leaf.issuer, &leaf.sha256]);
    let texts = [one.cause.as_str(), &one.detail, &one.address, &id, hostname];
    texts.into_iter().chain(certificate.map(String::as_str)).any(|text| text.to_lowercase().contains(needle))
}
