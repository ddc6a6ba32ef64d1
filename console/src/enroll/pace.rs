//! How many certificates are signed a second: a fleet that asks at once must not take all processors.

use time::OffsetDateTime;

/// Counts certificates.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// How many may be signed, and since when that is so; `None`: none was signed yet.
    left: Option<(f64, OffsetDateTime)>,
}

impl Pace {
    /// Whether one more may be signed now.
    pub(super) fn take(&mut self, now: OffsetDateTime) -> bool {
        let (left, at) = self.left.unwrap_or((BURST, now));
        // A clock that was set back neither gives nor takes.
        let gained = (now - at).as_seconds_f64().max(0.0) * PER_SECOND;
        let left = (left + gained).min(BURST);
        let may = left >= 1.0;
        self.left = Some((if may { left - 1.0 } else { left }, now));
        may
    }
}

const PER_SECOND: f64 = 200.0;
const BURST: f64 = 400.0;

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_crowd_is_served_at_two_hundred_a_second_after_the_first_four_hundred() {
        let start = datetime!(2026-01-01 00:00 UTC);
        let mut pace = Pace::default();
        let mut served = |at| (0..10_000).filter(|_| pace.take(start + at)).count();
        assert_eq!(served(Duration::ZERO), 400);
        assert_eq!(served(Duration::SECOND), 200);
        assert_eq!(served(-Duration::HOUR), 0);
        assert_eq!(served(Duration::MINUTE), 400);
    }
}
