//! Basic credentials that were right a moment ago, so that a client which sends them with each call does not pay
//! Argon2 each time. What is kept is a keyed digest; the key is random and dies with the process.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;

use super::Caller;

/// The credentials; at most [`MOST`].
pub(super) struct Known {
    key: hmac::Key,
    callers: HashMap<Digest, (Caller, Instant)>,
}

/// Stands for one pair of name and password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Digest(Box<[u8]>);

impl Known {
    pub(super) fn new() -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &lifecycle::random::bytes::<32>());
        Self { key, callers: HashMap::new() }
    }

    pub(super) fn key(&self, username: &str, password: &str) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        // The length keeps `ab`, `c` and `a`, `bc` apart.
        context.update(&username.len().to_be_bytes());
        context.update(username.as_bytes());
        context.update(password.as_bytes());
        Digest(context.sign().as_ref().into())
    }

    pub(super) fn find(&self, key: &Digest, now: Instant) -> Option<Caller> {
        let (caller, since) = self.callers.get(key)?;
        (now.saturating_duration_since(*since) < LIFE).then(|| caller.clone())
    }

    pub(super) fn keep(&mut self, key: Digest, caller: Caller, now: Instant) {
        if self.callers.len() >= MOST {
            self.callers.retain(|_, (_, since)| now.saturating_duration_since(*since) < LIFE);
        }
        // When all are fresh, this one pays again next time.
        if self.callers.len() < MOST {
            self.callers.insert(key, (caller, now));
        }
    }

    /// Forgets all, after any change to users.
    pub(super) fn clear(&mut self) {
        self.callers.clear();
    }
}

const LIFE: Duration = Duration::from_secs(60);
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::users::Role;

    fn caller() -> Caller {
        Caller { username: "admin".to_owned(), role: Role::Administrator }
    }

    #[test]
    fn credentials_are_known_for_a_minute_and_only_as_they_were() {
        let mut known = Known::new();
        let now = Instant::now();
        known.keep(known.key("admin", "secret"), caller(), now);
        assert_eq!(known.find(&known.key("admin", "secret"), now + Duration::from_secs(59)), Some(caller()));
        assert_eq!(known.find(&known.key("admin", "secret"), now + LIFE), None);
        assert_eq!(known.find(&known.key("adminsecret", ""), now), None);
        assert_eq!(known.find(&known.key("admin", "Secret"), now), None);
        known.clear();
        assert_eq!(known.find(&known.key("admin", "secret"), now), None);
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let mut known = Known::new();
        let now = Instant::now();
        (0..MOST + 10).for_each(|n| known.keep(known.key("admin", &n.to_string()), caller(), now));
        assert_eq!(known.callers.len(), MOST);
        known.keep(known.key("admin", "later"), caller(), now + LIFE);
        assert_eq!(known.callers.len(), 1);
    }
}
