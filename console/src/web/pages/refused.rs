//! The Refused list on the page of Defenders.

use time::OffsetDateTime;

use super::words::Moment;
use crate::refusals::{Cause, Refused};
use crate::web::AppState;
use crate::web::refused::newest_first;

/// One that was refused.
pub(super) struct RefusedView {
    /// The name of its host, else that in its certificate; empty where neither is known.
    pub(super) name: String,
    pub(super) address: String,
    /// Its page; empty where it has none.
    pub(super) url: String,
    pub(super) cause: &'static str,
    pub(super) detail: String,
    pub(super) next_step: &'static str,
    pub(super) last: Moment,
    pub(super) times: u64,
}

/// The newest ones, and how many there are.
pub(super) fn newest(state: &AppState, now: OffsetDateTime) -> (Vec<RefusedView>, usize) {
    let mut all = state.refusals.list(now);
    let count = all.len();
    all.sort_unstable_by(newest_first);
    all.truncate(SHOWN);
    (all.into_iter().map(|one| RefusedView::new(one, state)).collect(), count)
}

impl RefusedView {
    fn new(one: Refused, state: &AppState) -> Self {
        let known = one.defender.filter(|id| state.fleet.get(*id).is_some());
        Self {
            name: one.hostname.or(one.certificate.map(|leaf| leaf.subject)).unwrap_or_default(),
            address: one.address,
            url: known.map(|id| format!("/defenders/{id}")).unwrap_or_default(),
            cause: title(one.cause),
            detail: one.detail,
            next_step: one.next_step,
            last: Moment::new(one.last_seen),
            times: one.times,
        }
    }
}

/// A cause in two or three words.
fn title(cause: Cause) -> &'static str {
    match cause {
        Cause::ApprovalNeeded => "Approval needed",
        Cause::Cloned => "Copy of another host",
        Cause::ConsoleNotTrusted => "Does not trust this Console",
        Cause::Decommissioned => "Decommissioned",
        Cause::Expired => "Certificate expired",
        Cause::IdentityMismatch => "Wrong identity",
        Cause::NoCertificate => "No certificate",
        Cause::NotTrusted => "Certificate not trusted",
        Cause::NotYetValid => "Certificate not valid yet",
        Cause::RegistrationRefused => "Install bundle refused",
        Cause::Revoked => "Certificate revoked",
        Cause::TooOld => "Too old",
        Cause::UnusableCertificate => "Certificate unusable",
    }
}

/// More are in the API.
const SHOWN: usize = 25;
