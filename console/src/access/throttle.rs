//! Slows down guessing: each user name from each address has five free failures, then a wait that doubles with
//! each further one. Pure: the time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Counts failures; holds at most [`MOST_KEYS`].
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: HashMap<Key, Failures>,
}

/// Who is guessing: a user name from an address. Names that cannot be users share one key, as do the addresses
/// of one IPv6 network, which one host can have all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    username: Box<str>,
    address: IpAddr,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Key {
    pub(super) fn new(username: &str, address: IpAddr) -> Self {
        let username = if crate::config::username(username).is_ok() { username } else { "" };
        Self { username: username.into(), address: crate::network::of(address) }
    }
}

impl Throttle {
    /// Whether one may try now.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn check(&self, key: &Key, now: Instant) -> Result<(), Duration> {
        let Some(failures) = self.failures.get(key) else { return Ok(()) };
        match (failures.last + failures.wait()).checked_duration_since(now) {
            Some(left) if !left.is_zero() => Err(left),
            _ => Ok(()),
        }
    }

    /// Counts a failure. Whether it is the one that makes a burst of them: the first after which one has to wait.
    pub(super) fn failed(&mut self, key: Key, now: Instant) -> bool {
        if self.failures.len() >= MOST_KEYS && !self.failures.contains_key(&key) {
            self.make_room(now);
        }
        let failures = self.failures.entry(key).or_insert(Failures { count: 0, last: now });
        if failures.is_forgotten(now) {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        failures.count == FREE
    }

    /// Forgets the failures.
    pub(super) fn succeeded(&mut self, key: &Key) {
        self.failures.remove(key);
    }

    /// Drops what is forgotten; if all are fresh, the half with the fewest failures: a flood of new names does
    /// not wash away the wait of one that is being guessed.
    fn make_room(&mut self, now: Instant) {
        self.failures.retain(|_, failures| !failures.is_forgotten(now));
        if self.failures.len() >= MOST_KEYS {
            let mut counts: Vec<u32> = self.failures.values().map(|failures| failures.count).collect();
            let middle = counts.len() / 2;
            let (_, &mut median, _) = counts.select_nth_unstable(middle);
            let mut left = middle;
            self.failures.retain(|_, failures| {
                let goes = left > 0 && failures.count <= median;
                left -= usize::from(goes);
                !goes
            });
        }
    }
}

impl Failures {
    /// The wait after the last failure: none for the first four, 1 s after the fifth, then 2 s, 4 s … 30 s.
    fn wait(&self) -> Duration {
        match self.count.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(further) => Duration::from_secs(1_u64 << further.min(5)).min(LONGEST),
        }
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > MEMORY
    }
}

/// Failures before one has to wait.
pub(super) const FREE: u32 = 5;
const LONGEST: Duration = Duration::from_secs(30);
const MEMORY: Duration = Duration::from_secs(15 * 60);
const MOST_KEYS: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn key(username: &str) -> Key {
        Key::new(username, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)))
    }

    #[test]
    fn five_failures_are_free_then_the_wait_doubles_up_to_thirty_seconds() {
        let mut throttle = Throttle::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(throttle.check(&key("admin"), now), Ok(()));
            let is_burst = throttle.failed(key("admin"), now);
            assert_eq!(is_burst, waits.len() == 4, "once");
            let wait = throttle.check(&key("admin"), now).err().unwrap_or_default();
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(throttle.check(&key("other"), now), Ok(()), "another user is not held up");
    }

    #[test]
    fn a_success_and_a_quarter_of_an_hour_forgive() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        (0..6).for_each(|_| {
            throttle.failed(key("admin"), now);
        });
        assert!(throttle.check(&key("admin"), now).is_err());
        throttle.succeeded(&key("admin"));
        assert_eq!(throttle.check(&key("admin"), now), Ok(()));
        (0..6).for_each(|_| {
            throttle.failed(key("admin"), now);
        });
        let later = now + MEMORY + Duration::from_secs(1);
        throttle.failed(key("admin"), later);
        assert_eq!(throttle.check(&key("admin"), later), Ok(()), "counted afresh");
    }

    #[test]
    fn a_flood_of_names_neither_grows_without_bound_nor_washes_a_wait_away() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        (0..6).for_each(|_| {
            throttle.failed(key("admin"), now);
        });
        (0..3 * MOST_KEYS).for_each(|number| {
            throttle.failed(key(&format!("user-{number}")), now);
        });
        assert!(throttle.failures.len() <= MOST_KEYS);
        assert!(throttle.check(&key("admin"), now).is_err());
    }

    #[test]
    fn odd_names_and_neighbouring_addresses_share_a_key() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(key("a b"), key(&"x".repeat(1_000_000)));
        assert_eq!(Key::new("a", address("2001:db8::1")), Key::new("a", address("2001:db8::2")));
        assert_ne!(Key::new("a", address("2001:db8::1")), Key::new("a", address("2001:db8:0:1::1")));
        assert_eq!(Key::new("a", address("::ffff:192.0.2.7")), key("a"));
    }
}
