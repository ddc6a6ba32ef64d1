//! How far this host's clock is from the Console's, by the `Date` of the Console's answers; and saying so.

use std::time::Duration;

use lifecycle::duration;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// How far the Console's clock is ahead of ours, in seconds, when it answers with `date` at `now`.
pub(crate) fn ahead_seconds(date: &str, now: OffsetDateTime) -> Option<i64> {
    let date = PrimitiveDateTime::parse(date.trim(), DATE).ok()?;
    Some((date.assume_utc() - now).whole_seconds())
}

/// Whether clocks that are so far apart may count as equal.
pub(crate) fn is_tolerable(ahead_seconds: i64) -> bool {
    ahead_seconds.abs() <= TOLERATED_SECONDS
}

/// Which clock is where, given how far the Console's is ahead.
pub(crate) fn words(ahead_seconds: i64) -> String {
    let direction = if ahead_seconds > 0 { "behind" } else { "ahead of" };
    let distance = duration::words(Duration::from_secs(ahead_seconds.unsigned_abs()));
    format!("this host's clock is {distance} {direction} the Console's")
}

/// Tells once that a clock is wrong, and once that it is right again.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    was_wrong: bool,
}

impl Clock {
    /// A Console has answered with its time.
    pub(crate) fn compare(&mut self, ahead_seconds: Option<i64>) {
        let Some(ahead) = ahead_seconds else { return };
        let is_wrong = !is_tolerable(ahead);
        if is_wrong && !self.was_wrong {
            tracing::warn!(
                ahead_seconds = ahead,
                remedy = SET_CLOCK,
                "The clocks disagree: {}",
                words(ahead)
            );
        } else if self.was_wrong && !is_wrong {
            tracing::info!("This host's clock agrees with the Console's again");
        }
        self.was_wrong = is_wrong;
    }
}

/// What to do about a wrong clock.
pub(crate) const SET_CLOCK: &str = "set the clock of the host that is wrong, and keep it by NTP";

/// A loaded Console answers late, and `Date` has whole seconds.
const TOLERATED_SECONDS: i64 = 60;

/// RFC 9110 section 5.6.7.
const DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_said_in_words() {
        let now = datetime!(2026-11-22 12:00:00 UTC);
        let ahead = ahead_seconds("Sun, 22 Nov 2026 15:12:04 GMT", now).expect("a date");
        assert_eq!(words(ahead), "this host's clock is 3 h 12 min behind the Console's");
        assert_eq!(words(-61), "this host's clock is 1 min ahead of the Console's");
        assert!(is_tolerable(-60) && is_tolerable(0) && !is_tolerable(61));
        assert_eq!(ahead_seconds("today", now), None);
    }
}
