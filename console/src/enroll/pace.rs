//! How many certificates are signed a second: neither a fleet that asks at once nor one Defender that never stops may
//! take all processors.

use time::OffsetDateTime;

/// Counts certificates.
#[derive(Debug)]
pub struct Pace {
    /// How many may be signed a second.
    per_second: f64,
    /// How many may be signed at once after a pause.
    burst: f64,
    /// How many may be signed, and since when that is so; `None`: none was signed yet.
    left: Option<(f64, OffsetDateTime)>,
}

impl Pace {
    /// Of all Defenders together.
    pub(super) fn of_fleet() -> Self {
        Self { per_second: 200.0, burst: 400.0, left: None }
    }

    /// Of one connection. A Defender that was refused waits for half a second at least.
    #[must_use]
    pub fn of_session() -> Self {
        Self { per_second: 2.0, burst: 5.0, left: None }
    }

    /// Whether one more may be signed now.
    pub fn take(&mut self, now: OffsetDateTime) -> bool {
        let (left, at) = self.left.unwrap_or((self.burst, now));
        // A clock that was set back neither gives nor takes.
        let gained = (now - at).as_seconds_f64().max(0.0) * self.per_second;
        let left = (left + gained).min(self.burst);
        let may = left >= 1.0;
        self.left = Some((if may { left - 1.0 } else { left }, now));
        may
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_crowd_is_served_at_two_hundred_a_second_after_the_first_four_hundred() {
        let start = datetime!(2026-01-01 00:00 UTC);
        let mut pace = Pace::of_fleet();
        let mut served = |at| (0..10_000).filter(|_| pace.take(start + at)).count();
        assert_eq!(served(Duration::ZERO), 400);
        assert_eq!(served(Duration::SECOND), 200);
        assert_eq!(served(-Duration::HOUR), 0);
        assert_eq!(served(Duration::MINUTE), 400);
    }

    #[test]
    fn a_connection_that_never_stops_gets_two_a_second_and_one_that_waits_as_it_should_is_never_refused() {
        let start = datetime!(2026-01-01 00:00 UTC);
        let mut greedy = Pace::of_session();
        let mut served = |at| (0..10_000).filter(|_| greedy.take(start + at)).count();
        assert_eq!(served(Duration::ZERO), 5);
        assert_eq!(served(Duration::SECOND), 2);
        assert_eq!(served(Duration::MINUTE), 5);
        let mut patient = Pace::of_session();
        assert!((0..10_000).all(|number| patient.take(start + Duration::milliseconds(500) * number)));
    }
}
