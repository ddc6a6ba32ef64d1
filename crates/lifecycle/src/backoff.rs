//! Delays between attempts: exponential, with full jitter, 1 s to 60 s (contract section 4). Pure: the random
//! share is an argument.

use std::time::Duration;

/// Counts failed attempts and says how long to wait before the next.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay after one more failure: `share` (0 to 1) of 1 s, 2 s, 4 s … 60 s.
    pub fn next(&mut self, share: f64) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.failures.min(MAX_DOUBLINGS)).min(LAST);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(share.clamp(0.0, 1.0))
    }

    /// Starts afresh, after a success or when the cause of the failures may be gone.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(60);
const MAX_DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_from_one_second_and_stays_at_sixty() {
        let mut backoff = Backoff::default();
        let ceilings: Vec<u64> = (0..9).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.next(1.0).as_secs(), 1);
    }

    #[test]
    fn the_delay_is_anything_from_nothing_to_the_ceiling() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(0.0), Duration::ZERO);
        assert_eq!(backoff.next(0.5), Duration::from_secs(1));
    }
}
