//! How many Defenders there are, by version and state.

use std::collections::HashMap;

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
}

impl Census {
    pub(super) fn of(registry: &Registry) -> Self {
        let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
        for entry in registry.live() {
            let count = counts.entry(&entry.row.record.defender.version).or_default();
            match entry.session {
                Some(_) => count.0 += 1,
                None => count.1 += 1,
            }
        }
        Self {
            versions: bound(counts),
            sessions: registry.connected(),
            sessions_so_far: registry.sessions_so_far(),
        }
    }
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
