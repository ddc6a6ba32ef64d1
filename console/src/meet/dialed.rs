//! By which name each Defender has reached this Console since it started.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::config::San;

/// The names of Defenders' last connections.
#[derive(Debug, Default)]
pub(super) struct Dialed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by: HashMap<Uuid, Arc<str>>,
    /// Each name once, however many Defenders use it.
    names: HashSet<Arc<str>>,
}

impl Dialed {
    /// Notes by which name a Defender has come. Names beyond the first thousand are not told apart from none.
    pub(super) fn note(&self, id: Uuid, name: &str) {
        let mut state = self.lock();
        let known = state.names.get(name).cloned();
        let known = known.or_else(|| {
            let new: Arc<str> = name.into();
            (state.names.len() < MOST_NAMES && state.names.insert(Arc::clone(&new))).then_some(new)
        });
        if let Some(name) = known {
            state.by.insert(id, name);
        }
    }

    /// The names of which `is_wanted`, and how many Defenders use each.
    pub(super) fn count(
        &self,
        is_wanted: impl Fn(&str) -> bool,
        is_known: impl Fn(Uuid) -> bool,
    ) -> BTreeMap<String, u64> {
        let users: Vec<(Uuid, Arc<str>)> = {
            let state = self.lock();
            let wanted: HashSet<&Arc<str>> = state.names.iter().filter(|name| is_wanted(name)).collect();
            let users = state.by.iter().filter(|(_, name)| wanted.contains(name));
            users.map(|(id, name)| (*id, Arc::clone(name))).collect()
        };
        let mut counts = BTreeMap::new();
        for (_, name) in users.into_iter().filter(|(id, _)| is_known(*id)) {
            *counts.entry(name.to_string()).or_default() += 1;
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name that a Defender expects in the Console's certificate: that of the handshake, and where there is none, as
/// with an IP address, the host of the request.
pub fn dialed_name(server_name: Option<&str>, host: Option<&str>) -> Option<String> {
    server_name.and_then(plain).or_else(|| plain(host_of(host?)))
}

/// The host of `HOST[:PORT]`, an IPv6 address without brackets.
pub(super) fn host_of(authority: &str) -> &str {
    if let Some((host, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host;
    }
    match authority.split_once(':') {
        // More than one colon: an IPv6 address.
        Some((host, port)) if !port.contains(':') => host,
        _ => authority,
    }
}

/// Lower case, no dot at the end; `None` for what is neither a name nor an address.
pub(super) fn plain(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.parse::<San>().ok().map(|name| name.to_string())
}

/// More names than a Console has.
const MOST_NAMES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_handshake_counts_and_then_the_host_of_the_request() {
        for (server_name, host, expected) in [
            (Some("Console.Example"), Some("10.0.0.1:8084"), Some("console.example")),
            (None, Some("10.0.0.1:8084"), Some("10.0.0.1")),
            (None, Some("[2001:DB8::7]:8084"), Some("2001:db8::7")),
            (None, Some("2001:db8::7"), Some("2001:db8::7")),
            (None, Some("console.example."), Some("console.example")),
            (None, Some("a b"), None),
            (None, Some("\u{1b}[31m"), None),
            (None, None, None),
        ] {
            assert_eq!(dialed_name(server_name, host).as_deref(), expected, "{server_name:?} {host:?}");
        }
    }

    #[test]
    fn each_defender_counts_once_by_the_name_that_it_used_last() {
        let dialed = Dialed::default();
        let id = Uuid::from_u128;
        for (number, name) in [(1, "a"), (2, "a"), (2, "b"), (3, "b"), (4, "c"), (5, "b")] {
            dialed.note(id(number), name);
        }
        let counts = dialed.count(|name| name != "c", |one| one != id(5));
        assert_eq!(counts, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    }

    #[test]
    fn endless_names_do_not_fill_the_memory() {
        let dialed = Dialed::default();
        (0..3000_u128).for_each(|number| dialed.note(Uuid::from_u128(number), &format!("name-{number}")));
        assert_eq!(dialed.count(|_| true, |_| true).len(), MOST_NAMES);
        dialed.note(Uuid::from_u128(5000), "name-1");
        assert_eq!(dialed.count(|name| name == "name-1", |_| true)["name-1"], 2);
    }
}
