//! Which certificate expires next, as pages show it. The list itself is that of the API.

use time::OffsetDateTime;

use super::words::{self, Moment, Validity};
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

/// How many expire within a month, or have expired.
pub(super) fn soon(state: &AppState, now: OffsetDateTime) -> Result<usize, ApiError> {
    let filter = Filter { within: Some(format!("{}d", words::SOON_DAYS)), ..Filter::default() };
    let (_, total) = expiry::find(state, &filter, Page { offset: 0, limit: 0 }, now)?;
    Ok(usize::try_from(total).unwrap_or(usize::MAX))
}

/// The Console's own CA.
pub(super) fn authority(state: &AppState, now: OffsetDateTime) -> Option<Expiring> {
    expiry::authority(state, now).map(|authority| Expiring::new(authority, now))
}

impl Expiring {
    fn new(one: Expiry, now: OffsetDateTime) -> Self {
        let kind = match (one.channel, one.role) {
            ("defender", _) => "Defender",
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
            validity: Validity::new(one.not_after, now),
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
