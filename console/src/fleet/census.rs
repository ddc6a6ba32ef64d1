//! How many Defenders there are, by version and state, and how many of their certificates expire soon.

use std::collections::HashMap;

use protocol::Version;
use protocol::message::CertificateSource;
use time::{Duration, OffsetDateTime};

use super::registry::Registry;

/// The count at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// Version, connected, disconnected: the `MOST_VERSIONS` that most Defenders have, the rest as `other`.
    /// Versions are what Defenders say.
    pub versions: Vec<(String, usize, usize)>,
    /// Defenders with a session.
    pub sessions: usize,
    /// Sessions since the start.
    pub sessions_so_far: u64,
    /// Source of certificates of Defenders, when the soonest of them expires.
    pub soonest: Vec<(CertificateSource, OffsetDateTime)>,
    /// Days of `WITHIN_DAYS`, Defenders whose certificate expires within them or has expired.
    pub expiring: Vec<(u16, usize)>,
}

impl Census {
    pub(super) fn of(registry: &Registry, now: OffsetDateTime) -> Self {
        let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
        let mut expiring = WITHIN_DAYS.map(|days| (days, 0));
        let mut soonest: Vec<(CertificateSource, OffsetDateTime)> = Vec::new();
        for entry in registry.live() {
            let certificate = &entry.row.record.certificate;
            let left = certificate.not_after - now;
            let near = expiring.iter_mut().filter(|(days, _)| left <= Duration::days(i64::from(*days)));
            near.for_each(|(_, count)| *count += 1);
            match soonest.iter_mut().find(|(source, _)| *source == certificate.source) {
                Some((_, first)) => *first = certificate.not_after.min(*first),
                None => soonest.push((certificate.source, certificate.not_after)),
            }
            let count = counts.entry(named(&entry.row.record.defender.version)).or_default();
            match entry.session {
                Some(_) => count.0 += 1,
                None => count.1 += 1,
            }
        }
        Self {
            versions: bound(counts),
            sessions: registry.connected(),
            sessions_so_far: registry.sessions_so_far(),
            soonest,
            expiring: expiring.into(),
        }
    }
}

/// What is no version goes under one name.
fn named(version: &str) -> &str {
    let is_version = version.len() <= LONGEST_VERSION && Version::parse(version).is_some();
    if is_version { version } else { OTHER }
}

fn bound(counts: HashMap<&str, (usize, usize)>) -> Vec<(String, usize, usize)> {
    let mut other = (0, 0);
    let mut versions: Vec<_> = counts.into_iter().collect();
    versions.sort_unstable_by_key(|(version, (here, gone))| (std::cmp::Reverse(here + gone), *version));
    let mut kept = Vec::new();
    for (version, (here, gone)) in versions {
        if kept.len() < MOST_VERSIONS && version != OTHER {
            kept.push((version.to_owned(), here, gone));
        } else {
            other = (other.0 + here, other.1 + gone);
        }
    }
    if other != (0, 0) {
        kept.push((OTHER.to_owned(), other.0, other.1));
    }
    kept
}

const MOST_VERSIONS: usize = 20;
const LONGEST_VERSION: usize = 32;

/// Days before the expiry of Defenders' certificates that are told apart; 0 is expired.
const WITHIN_DAYS: [u16; 6] = [0, 1, 7, 14, 30, 60];

const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_versions_do_not_make_more_than_twenty_and_other() {
        let names: Vec<String> = (0..100).map(|number| format!("0.0.{number:02}")).collect();
        let mut counts: HashMap<&str, (usize, usize)> =
            names.iter().map(|name| (name.as_str(), (1, 0))).collect();
        counts.insert("0.1.0", (40, 2));
        counts.insert(OTHER, (50, 50));
        let versions = bound(counts);
        assert_eq!(versions.len(), MOST_VERSIONS + 1);
        assert_eq!(versions[0], ("0.1.0".to_owned(), 40, 2));
        assert_eq!(versions[MOST_VERSIONS], (OTHER.to_owned(), 50 + 81, 50));
        assert!(bound(HashMap::new()).is_empty());
    }
}
