//! How many certificates are signed a second: a fleet that asks at once must not take all processors.

use tokio::time::Instant;

/// Counts certificates.
#[derive(Debug)]
pub(super) struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    /// Whether one more may be signed now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * PER_SECOND;
        (self.left, self.at) = ((self.left + gained).min(BURST), now);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

const PER_SECOND: f64 = 200.0;
const BURST: f64 = 400.0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_crowd_is_served_at_two_hundred_a_second_after_the_first_four_hundred() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut served = |at| (0..10_000).filter(|_| pace.take(start + at)).count();
        assert_eq!(served(Duration::ZERO), 400);
        assert_eq!(served(Duration::from_secs(1)), 200);
        assert_eq!(served(Duration::from_secs(60)), 400);
    }
}
