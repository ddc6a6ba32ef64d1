//! Which certificate expires next, as pages show it. The list itself is that of the API.

use protocol::message::CertificateSource;
use time::{Duration, OffsetDateTime};

use super::words::{self, Moment, Validity};
use crate::fleet::{Query, Row, Sort};
use crate::web::AppState;
use crate::web::error::ApiError;
use crate::web::expiry::{self, Expiry, Filter};
use crate::web::input::Page;

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expiring {
    /// Whose it is, and its page.
    pub(super) name: String,
    pub(super) url: String,
    /// What it is for.
    pub(super) kind: &'static str,
    pub(super) source: String,
    pub(super) sha256: String,
    pub(super) end: Moment,
    pub(super) validity: Validity,
}

/// A page of the certificates, the first to expire first, and how many there are in all.
pub(super) fn page(
    state: &AppState,
    now: OffsetDateTime,
    offset: usize,
    limit: usize,
) -> Result<(Vec<Expiring>, usize), ApiError> {
    let (list, total) = expiry::find(state, &Filter::default(), Page { offset, limit }, now)?;
    let list = list.into_iter().map(|one| Expiring::new(one, now)).collect();
    Ok((list, usize::try_from(total).unwrap_or(usize::MAX)))
}

/// The first `limit` certificates that somebody must renew, and how many of them end within a month. What renews itself
/// is among them only when it is late.
pub(super) fn due(state: &AppState, now: OffsetDateTime, limit: usize) -> (Vec<Expiring>, usize) {
    let end_of = |days| now + Duration::days(days);
    let own = expiry::own(state, now);
    let mut soon = own.iter().filter(|one| one.not_after <= end_of(words::SOON_DAYS)).count();
    let mut all: Vec<_> = own.into_iter().map(|one| (one.not_after, Expiring::new(one, now))).collect();
    let custom =
        Query { source: Some(CertificateSource::Custom), sort: Sort::NotAfter, limit, ..Query::default() };
    let late = Query {
        source: Some(CertificateSource::SelfSigned),
        expires_before: Some(end_of(words::LATE_DAYS)),
        ..custom.clone()
    };
    let custom_soon = Query { expires_before: Some(end_of(words::SOON_DAYS)), limit: 0, ..custom.clone() };
    let late = state.fleet.query(&late);
    soon += late.total + state.fleet.query(&custom_soon).total;
    let rows = state.fleet.query(&custom).rows.into_iter().chain(late.rows);
    all.extend(rows.map(|row| (row.record.certificate.not_after, Expiring::defender(&row, now))));
    all.sort_by_key(|(end, _)| *end);
    (all.into_iter().take(limit).map(|(_, one)| one).collect(), soon)
}

/// The Console's own CA.
pub(super) fn authority(state: &AppState, now: OffsetDateTime) -> Option<Expiring> {
    expiry::authority(state, now).map(|authority| Expiring::new(authority, now))
}

impl Expiring {
    fn new(one: Expiry, now: OffsetDateTime) -> Self {
        let is_own = one.source == "self-signed";
        let kind = match (one.channel, one.role) {
            ("defender", _) => DEFENDER,
            ("console-ca", _) => "The Console's own CA",
            (_, "leaf") => "Server certificate",
            (_, "ca") => "CA of Defenders",
            _ => "Issuer in the chain",
        };
        let (name, url) = match one.defender {
            Some(id) => (one.owner, format!("/defenders/{id}")),
            None => (own_name(one.channel, one.role, one.subject), format!("/certificates#{}", one.channel)),
        };
        Self {
            name,
            url,
            kind,
            source: one.source,
            sha256: one.sha256,
            end: Moment::new(one.not_after),
            validity: match (kind, is_own) {
                (DEFENDER, true) => Validity::renewing(one.not_after, now),
                _ => Validity::new(one.not_after, now),
            },
        }
    }

    fn defender(row: &Row, now: OffsetDateTime) -> Self {
        let (defender, certificate) = (&row.record.defender, &row.record.certificate);
        Self {
            name: defender.hostname.clone(),
            url: format!("/defenders/{}", defender.id),
            kind: DEFENDER,
            source: row.source().to_owned(),
            sha256: certificate.sha256.clone(),
            end: Moment::new(certificate.not_after),
            validity: Validity::of_defender(certificate, now),
        }
    }

    /// The beginning of the fingerprint, enough to tell certificates apart.
    pub(super) fn short(&self) -> &str {
        self.sha256.get(..16).unwrap_or(&self.sha256)
    }
}

fn own_name(channel: &str, role: &str, subject: Option<String>) -> String {
    let known = certs::Channel::ALL.into_iter().find(|known| known.id() == channel);
    match known.filter(|_| role == "leaf") {
        Some(known) => words::channel_title(known).to_owned(),
        None => subject.unwrap_or_else(|| channel.to_owned()),
    }
}

const DEFENDER: &str = "Defender";
