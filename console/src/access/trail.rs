//! Which sign-ins are worth an entry in the audit log. Pure: the time is an argument.
//!
//! Each token is one. Basic credentials come with every call: one entry an hour for a user at an address. Failures:
//! one entry when a burst of them begins, and at most [`MOST_BURSTS`] an hour in all, however many names and addresses
//! are tried; the next entry after that says how many bursts went without one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What was noted of late.
#[derive(Debug)]
pub(super) struct Trail {
    /// Users at addresses, at most [`MOST_USERS`].
    seen: HashMap<(Box<str>, IpAddr), Instant>,
    hour: Instant,
    bursts: u32,
    unnoted: u64,
}

impl Trail {
    pub(super) fn new(now: Instant) -> Self {
        Self { seen: HashMap::new(), hour: now, bursts: 0, unnoted: 0 }
    }

    /// Whether a sign-in with Basic credentials is to be noted.
    pub(super) fn notes_user(&mut self, username: &str, address: IpAddr, now: Instant) -> bool {
        let is_fresh = |since: &Instant| now.saturating_duration_since(*since) < HOUR;
        if self.seen.len() >= MOST_USERS {
            self.seen.retain(|_, since| is_fresh(since));
        }
        if self.seen.len() >= MOST_USERS {
            // Too many to remember: better noted twice than not at all.
            self.seen.clear();
        }
        let key = (username.into(), address);
        let is_known = self.seen.get(&key).is_some_and(is_fresh);
        if !is_known {
            self.seen.insert(key, now);
        }
        !is_known
    }

    /// Whether a burst of failures is to be noted, and how many were not since the last one that was.
    pub(super) fn notes_burst(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.hour) >= HOUR {
            (self.hour, self.bursts) = (now, 0);
        }
        if self.bursts >= MOST_BURSTS {
            self.unnoted += 1;
            return None;
        }
        self.bursts += 1;
        Some(std::mem::take(&mut self.unnoted))
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const MOST_BURSTS: u32 = 100;
const MOST_USERS: usize = 1024;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_user_at_an_address_is_noted_once_an_hour_and_memory_is_bounded() {
        let (here, there) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
        let now = Instant::now();
        let mut trail = Trail::new(now);
        let noted =
            [("eve", here, 0), ("eve", here, 3599), ("eve", there, 0), ("bob", here, 0), ("eve", here, 3600)]
                .map(|(name, address, later)| {
                    trail.notes_user(name, address, now + Duration::from_secs(later))
                });
        assert_eq!(noted, [true, false, true, true, true]);
        (0..3 * MOST_USERS).for_each(|n| assert!(trail.notes_user(&format!("user-{n}"), here, now)));
        assert!(trail.seen.len() <= MOST_USERS);
    }

    #[test]
    fn of_a_flood_of_bursts_a_hundred_an_hour_are_noted_and_the_rest_counted() {
        let now = Instant::now();
        let mut trail = Trail::new(now);
        let noted = (0..250).filter(|_| trail.notes_burst(now) == Some(0)).count();
        assert_eq!(noted, 100);
        assert_eq!(trail.notes_burst(now + HOUR), Some(150));
        assert_eq!(trail.notes_burst(now + HOUR), Some(0));
    }
}
