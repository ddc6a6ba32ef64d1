//! Every certificate that will end: of the Console, whose chains are known whole, and of all Defenders, as their
//! last `hello` said. The first to end comes first.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use certs::{CertificateFacts, Channel, Subscriber, hex};
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;
use uuid::Uuid;
use x509_parser::parse_x509_certificate;

use super::AppState;
use super::auth::AnyUser;
use super::csv::{self, Accept, Cell, Format};
use super::error::ApiError;
use super::input::{Page, Parameters};
use super::roster;
use crate::fleet::{Query, Row, Sort};

/// Parameters of the list.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those that have ended or end within this time: a whole number and `s`, `m`, `h` or `d`, for example `30d`.
    pub(super) within: Option<String>,
    /// Only those whose owner, channel, subject or fingerprint contains this text, in upper or lower case; of Defenders
    /// all that the list of Defenders searches.
    pub(super) search: Option<String>,
    /// How many items to pass over.
    pub(super) offset: Option<usize>,
    /// How many items to answer with, 50 unless told.
    #[param(maximum = 1000)]
    pub(super) limit: Option<usize>,
    /// `csv` for the whole list as a table, whatever offset and limit; as does `Accept: text/csv`.
    #[param(inline)]
    pub(super) format: Option<Format>,
}

/// One certificate that will end.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Expiry {
    /// Whose it is: `Console`, or the host name of a Defender.
    pub(super) owner: String,
    /// The Defender; `null` for the Console.
    pub(super) defender: Option<Uuid>,
    /// `console-https`, `console-defender`, `console-ca` for the Console's own CA, or `defender`.
    pub(super) channel: &'static str,
    /// What it is in its channel: `leaf`, `intermediate` or `ca`.
    pub(super) role: &'static str,
    /// Whom it names; Defenders do not tell.
    pub(super) subject: Option<String>,
    /// `custom` or `self-signed`.
    pub(super) source: String,
    /// When it ends.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) not_after: OffsetDateTime,
    /// Whole days until then, negative when it has ended.
    pub(super) days_left: i64,
    /// SHA-256, hexadecimal.
    pub(super) sha256: String,
}

/// Lists the certificates of the Console and of all Defenders, the first to end first.
#[utoipa::path(get, path = "/certificates/expiry", tag = "certificates", operation_id = "expiry", params(Filter),
    responses((status = 200, description = "A page of them; all of them as CSV",
        content((Vec<Expiry> = "application/json"), (String = "text/csv")),
        headers(("Total-Count" = u64, description = "How many there are in all; not with CSV")))))]
pub(super) async fn list(
    _: AnyUser,
    Parameters(filter): Parameters<Filter>,
    accept: Accept,
    State(state): State<AppState>,
) -> Result<Response, ApiError> {
    let now = OffsetDateTime::now_utc();
    let page = Page::parse(filter.offset, filter.limit)?;
    if accept.is_csv(filter.format) {
        let (all, _) = merged(&state, &filter, Page { offset: 0, limit: usize::MAX }, now)?;
        let rows = all.into_iter().map(move |one| cells(one.expiry(now)));
        return Ok(csv::answer("certificates", COLUMNS, rows));
    }
    let (list, total) = find(&state, &filter, page, now)?;
    Ok(Page::ready(list, total).into_response())
}

/// A page of the list, and how long it is.
///
/// # Errors
/// `within` is no time.
pub(super) fn find(
    state: &AppState,
    filter: &Filter,
    page: Page,
    now: OffsetDateTime,
) -> Result<(Vec<Expiry>, u64), ApiError> {
    let (all, total) = merged(state, filter, page, now)?;
    Ok((all.into_iter().map(|one| one.expiry(now)).collect(), u64::try_from(total).unwrap_or(u64::MAX)))
}

/// One of the list, before it is shown.
enum Item {
    Console(Box<Expiry>),
    Defender(Arc<Row>),
}

impl Item {
    fn not_after(&self) -> OffsetDateTime {
        match self {
            Self::Console(one) => one.not_after,
            Self::Defender(row) => row.record.certificate.not_after,
        }
    }

    fn expiry(self, now: OffsetDateTime) -> Expiry {
        match self {
            Self::Console(one) => *one,
            Self::Defender(row) => {
                let certificate = &row.record.certificate;
                Expiry {
                    owner: row.record.defender.hostname.clone(),
                    defender: Some(row.record.defender.id),
                    channel: "defender",
                    role: "leaf",
                    subject: None,
                    source: row.source().to_owned(),
                    not_after: certificate.not_after,
                    days_left: days_left(certificate.not_after, now),
                    sha256: certificate.sha256.clone(),
                }
            }
        }
    }
}

/// The few of the Console among those of the Defenders, which come in order.
fn merged(
    state: &AppState,
    filter: &Filter,
    page: Page,
    now: OffsetDateTime,
) -> Result<(Vec<Item>, usize), ApiError> {
    let before = filter.within.as_deref().map(|within| roster::end("within", within, now)).transpose()?;
    let search = filter.search.clone().unwrap_or_default();
    let needle = search.to_lowercase();
    let mut own = own(state, now);
    own.retain(|one| before.is_none_or(|end| one.not_after <= end) && one.mentions(&needle));
    let end = page.offset.saturating_add(page.limit);
    let query =
        Query { expires_before: before, search, sort: Sort::NotAfter, limit: end, ..Query::default() };
    let found = state.fleet.query(&query);
    let total = found.total + own.len();
    let mut all: Vec<Item> = own.into_iter().map(|one| Item::Console(Box::new(one))).collect();
    all.extend(found.rows.into_iter().map(Item::Defender));
    // Of two that end together, the Console's first: the sort is stable.
    all.sort_by_key(Item::not_after);
    Ok((all.into_iter().skip(page.offset).take(page.limit).collect(), total))
}

/// All of the Console.
pub(super) fn own(state: &AppState, now: OffsetDateTime) -> Vec<Expiry> {
    let authority = authority(state, now);
    let own_ca = authority.as_ref().map(|one| one.sha256.clone());
    let mut all = Vec::from_iter(authority);
    let channels = [(Channel::ConsoleHttps, &state.https), (Channel::ConsoleDefender, &state.defender)];
    for (channel, subscriber) in channels {
        let facts = of_channel(subscriber);
        let foreign = facts.into_iter().filter(|(_, facts)| Some(&facts.sha256) != own_ca.as_ref());
        let source = subscriber.current().source.to_string();
        all.extend(foreign.map(|(role, facts)| Expiry {
            owner: "Console".to_owned(),
            defender: None,
            channel: channel.id(),
            role,
            subject: Some(facts.subject),
            source: source.clone(),
            not_after: facts.not_after,
            days_left: days_left(facts.not_after, now),
            sha256: facts.sha256,
        }));
    }
    all
}

/// Every certificate of a channel with its role: the chain leaf first, then the CAs that clients must come from.
pub(super) fn of_channel(subscriber: &Subscriber<ServerConfig>) -> Vec<(&'static str, CertificateFacts)> {
    let live = subscriber.current();
    let roles = std::iter::once("leaf").chain(std::iter::repeat("intermediate"));
    let chain = roles.zip(live.material.chain_facts().cloned());
    chain.chain(live.material.ca_facts().cloned().map(|facts| ("ca", facts))).collect()
}

/// The Console's own CA.
pub(super) fn authority(state: &AppState, now: OffsetDateTime) -> Option<Expiry> {
    let der = CertificateDer::from_pem_slice(state.enrolment.ca_pem().as_bytes()).ok()?;
    let subject = parse_x509_certificate(&der).ok().map(|(_, parsed)| parsed.subject().to_string());
    let not_after = state.names.ca_expiration();
    Some(Expiry {
        owner: "Console".to_owned(),
        defender: None,
        channel: "console-ca",
        role: "ca",
        subject,
        source: "self-signed".to_owned(),
        not_after,
        days_left: days_left(not_after, now),
        sha256: hex::encode(digest(&SHA256, &der)),
    })
}

impl Expiry {
    fn mentions(&self, needle: &str) -> bool {
        let subject = self.subject.as_deref().unwrap_or_default();
        let texts = [&self.owner, self.channel, self.role, subject, &self.source, &self.sha256];
        texts.into_iter().any(|text| text.to_lowercase().contains(needle))
    }
}

/// Whole days, rounded down, so that what ends today has 0 and what ended has less.
pub(super) fn days_left(not_after: OffsetDateTime, now: OffsetDateTime) -> i64 {
    let days = (not_after - now).whole_nanoseconds().div_euclid(time::Duration::DAY.whole_nanoseconds());
    i64::try_from(days).unwrap_or(i64::MAX)
}

fn cells(one: Expiry) -> [Cell; 9] {
    [
        one.owner.into(),
        one.defender.map(|id| id.to_string()).into(),
        one.channel.into(),
        one.role.into(),
        one.subject.into(),
        one.source.into(),
        one.not_after.format(&Rfc3339).unwrap_or_default().into(),
        one.days_left.into(),
        one.sha256.into(),
    ]
}

const COLUMNS: [&str; 9] =
    ["owner", "defender", "channel", "role", "subject", "source", "not_after", "days_left", "sha256"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_down_to_the_last_second() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let left = |seconds| days_left(now + time::Duration::seconds(seconds), now);
        assert_eq!([left(86_400), left(86_399), left(0), left(-1), left(-86_401)], [1, 0, 0, -1, -2]);
    }
}
