//! Basic credentials that were right a moment ago, so that a client which sends them with each call does not pay
//! Argon2 each time. What is kept is a keyed digest; the key is random and dies with the process.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;

/// The credentials; at most [`MOST`].
pub(super) struct Known {
    key: hmac::Key,
    right: HashMap<Digest, Instant>,
}

/// Stands for a name, a password and its hash.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Digest(Box<[u8]>);

impl Known {
    pub(super) fn new() -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &lifecycle::random::bytes::<32>());
        Self { key, right: HashMap::new() }
    }

    /// `hash` is that of the user's password as stored now: with another password they are no longer known.
    pub(super) fn key(&self, username: &str, password: &str, hash: &str) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        // The lengths keep `ab`, `c` and `a`, `bc` apart.
        for text in [username, hash, password] {
            context.update(&text.len().to_be_bytes());
            context.update(text.as_bytes());
        }
        Digest(context.sign().as_ref().into())
    }

    pub(super) fn has(&self, key: &Digest, now: Instant) -> bool {
        self.right.get(key).is_some_and(|since| now.saturating_duration_since(*since) < LIFE)
    }

    pub(super) fn keep(&mut self, key: Digest, now: Instant) {
        if self.right.len() >= MOST {
            self.right.retain(|_, since| now.saturating_duration_since(*since) < LIFE);
        }
        // When all are fresh, this one pays again next time.
        if self.right.len() < MOST {
            self.right.insert(key, now);
        }
    }
}

const LIFE: Duration = Duration::from_secs(60);
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_for_a_minute_and_only_as_they_were() {
        let mut known = Known::new();
        let now = Instant::now();
        known.keep(known.key("admin", "secret", "$hash"), now);
        assert!(known.has(&known.key("admin", "secret", "$hash"), now + Duration::from_secs(59)));
        assert!(!known.has(&known.key("admin", "secret", "$hash"), now + LIFE));
        for (name, password, hash) in
            [("adminsecret", "", "$hash"), ("admin", "Secret", "$hash"), ("admin", "secret", "$other")]
        {
            assert!(!known.has(&known.key(name, password, hash), now), "{name} {password} {hash}");
        }
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let mut known = Known::new();
        let now = Instant::now();
        (0..MOST + 10).for_each(|n| known.keep(known.key("admin", &n.to_string(), ""), now));
        assert_eq!(known.right.len(), MOST);
        known.keep(known.key("admin", "later", ""), now + LIFE);
        assert_eq!(known.right.len(), 1);
    }
}
