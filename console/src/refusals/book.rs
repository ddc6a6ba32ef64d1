//! Who was refused, of late: one entry for each peer and cause, as many as there is room for. Pure.

use std::collections::HashMap;
use std::net::IpAddr;

use certs::CertificateFacts;
use serde::Serialize;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Cause, Peer};

/// One that was refused.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Refused {
    /// Why.
    pub cause: Cause,
    /// Why, in one sentence.
    pub detail: String,
    /// What to do about it.
    pub next_step: &'static str,
    /// Where it came from last.
    pub address: String,
    /// The identity that it claims, or that is in its certificate.
    pub defender: Option<Uuid>,
    /// The name of its host, as it says or as it was known.
    pub hostname: Option<String>,
    /// The certificate that it has shown; nobody has proved yet that it is its own.
    pub certificate: Option<Shown>,
    /// When it was refused first.
    #[serde(with = "time::serde::rfc3339")]
    pub first_seen: OffsetDateTime,
    /// When it was refused last.
    #[serde(with = "time::serde::rfc3339")]
    pub last_seen: OffsetDateTime,
    /// How often.
    pub times: u64,
}

/// A certificate that was shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Shown {
    /// Whom it names.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// When it begins to be valid.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// When it expires.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// The entries.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: HashMap<(Who, Cause), Entry>,
    /// Tells that may still be told; refills with time.
    told: Tokens,
}

#[derive(Debug)]
struct Entry {
    refused: Refused,
    told_at: Option<OffsetDateTime>,
}

/// The best that is known of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Address(IpAddr),
    Certificate(String),
    Defender(Uuid),
}

#[derive(Debug)]
struct Tokens {
    left: u32,
    at: Option<OffsetDateTime>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { left: BURST, at: None }
    }
}

impl Book {
    /// Notes a refusal; whether people are to hear of it now.
    pub(super) fn note(
        &mut self,
        cause: Cause,
        detail: &str,
        address: IpAddr,
        peer: &Peer,
        now: OffsetDateTime,
    ) -> bool {
        let who = Who::of(peer, address);
        let key = (who, cause);
        if self.entries.len() >= MOST && !self.entries.contains_key(&key) {
            self.make_room();
        }
        let entry = self
            .entries
            .entry(key)
            .or_insert_with(|| Entry { refused: Refused::new(cause, now), told_at: None });
        let refused = &mut entry.refused;
        refused.times = refused.times.saturating_add(1);
        refused.last_seen = now;
        detail.clone_into(&mut refused.detail);
        refused.address = address.to_canonical().to_string();
        refused.defender = peer.defender;
        refused.hostname.clone_from(&peer.hostname);
        refused.certificate = peer.certificate.as_ref().map(Shown::from);
        let is_due = entry.told_at.is_none_or(|at| now - at >= TELL_AGAIN || now < at);
        let is_told = is_due && self.told.take(now);
        if is_told {
            entry.told_at = Some(now);
        }
        is_told
    }

    /// Removes what is known of a Defender and of where it comes from.
    pub(super) fn forget(&mut self, defender: Uuid, address: IpAddr) {
        if self.entries.is_empty() {
            return;
        }
        for cause in Cause::ALL {
            self.entries.remove(&(Who::Defender(defender), cause));
            self.entries.remove(&(Who::Address(address), cause));
        }
    }

    /// Those that were refused after `since`; the others are dropped.
    pub(super) fn list(&mut self, since: OffsetDateTime) -> Vec<Refused> {
        self.entries.retain(|_, entry| entry.refused.last_seen > since);
        self.entries.values().map(|entry| entry.refused.clone()).collect()
    }

    /// Drops the tenth that was refused the longest ago.
    fn make_room(&mut self) {
        let mut times: Vec<_> = self.entries.values().map(|entry| entry.refused.last_seen).collect();
        let place = times.len() / 10;
        let (_, limit, _) = times.select_nth_unstable(place);
        let limit = *limit;
        self.entries.retain(|_, entry| entry.refused.last_seen > limit);
    }
}

impl Who {
    fn of(peer: &Peer, address: IpAddr) -> Self {
        match (peer.defender, &peer.certificate) {
            (Some(id), _) => Self::Defender(id),
            (None, Some(leaf)) => Self::Certificate(leaf.sha256.clone()),
            (None, None) => Self::Address(address),
        }
    }
}

impl Refused {
    fn new(cause: Cause, now: OffsetDateTime) -> Self {
        Self {
            cause,
            detail: String::new(),
            next_step: cause.remedy(),
            address: String::new(),
            defender: None,
            hostname: None,
            certificate: None,
            first_seen: now,
            last_seen: now,
            times: 0,
        }
    }
}

impl From<&CertificateFacts> for Shown {
    fn from(leaf: &CertificateFacts) -> Self {
        Self {
            subject: leaf.subject.chars().take(LONGEST_NAME).collect(),
            issuer: leaf.issuer.chars().take(LONGEST_NAME).collect(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            sha256: leaf.sha256.clone(),
        }
    }
}

impl Tokens {
    /// One a second in the long run, [`BURST`] at once.
    fn take(&mut self, now: OffsetDateTime) -> bool {
        let at = *self.at.get_or_insert(now);
        let seconds = (now - at).whole_seconds();
        if seconds != 0 {
            self.left = self.left.saturating_add(u32::try_from(seconds).unwrap_or(0)).min(BURST);
            self.at = Some(now);
        }
        let has = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has
    }
}

/// Entries that there is room for.
const MOST: usize = 1000;

/// A certificate's name may be as long as it likes.
const LONGEST_NAME: usize = 256;

/// How soon people hear of the same again.
const TELL_AGAIN: Duration = Duration::minutes(5);

/// How many are told at once.
const BURST: u32 = 50;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    fn defender(number: u128) -> Peer {
        Peer { defender: Some(Uuid::from_u128(number)), ..Peer::default() }
    }

    #[test]
    fn one_peer_is_one_entry_for_each_cause_and_is_told_of_now_and_then() {
        let mut book = Book::default();
        let one = defender(1);
        assert!(book.note(Cause::TooOld, "it is old", address(1), &one, NOW));
        assert!(!book.note(Cause::TooOld, "it is old", address(2), &one, NOW + Duration::minutes(1)));
        assert!(book.note(Cause::Expired, "it has expired", address(2), &one, NOW));
        assert!(book.note(Cause::TooOld, "it is older", address(2), &one, NOW + Duration::minutes(5)));
        let all = book.list(NOW - Duration::DAY);
        let old = all.iter().find(|one| one.cause == Cause::TooOld).expect("listed");
        assert_eq!((old.times, old.address.as_str(), old.detail.as_str()), (3, "0.0.0.2", "it is older"));
        assert_eq!(all.len(), 2);
        book.forget(Uuid::from_u128(1), address(2));
        assert!(book.list(NOW - Duration::DAY).is_empty());
    }

    #[test]
    fn strangers_without_end_cost_no_more_than_there_is_room_for_and_are_told_of_in_part() {
        let mut book = Book::default();
        let told = (0..100_000_u32).filter(|number| {
            let now = NOW + Duration::milliseconds(i64::from(*number));
            book.note(Cause::NotTrusted, "", address(*number), &Peer::default(), now)
        });
        assert!((50..=200).contains(&told.count()));
        assert!(book.entries.len() <= MOST);
        let newest = book.list(NOW).iter().map(|one| one.last_seen).max();
        assert_eq!(newest, Some(NOW + Duration::milliseconds(99_999)));
        assert!(book.list(NOW + Duration::DAY).is_empty(), "a day later");
    }
}
