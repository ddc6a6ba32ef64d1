//! When a scheduled backup is due. Pure: times in, answer out. All times are UTC.

use serde::{Deserialize, Serialize};
use time::{Date, Duration, OffsetDateTime, Time, Weekday};
use utoipa::ToSchema;

/// How often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Every {
    /// Each day.
    Daily,
    /// On the first day of each month.
    Monthly,
    /// Never.
    #[default]
    Off,
    /// On Sundays.
    Weekly,
}

impl Every {
    /// The newest time at or before `now` that one was due at; `None`: never.
    #[must_use]
    pub fn newest_slot(self, hour: u8, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let at = |date: Date| Time::from_hms(hour, 0, 0).ok().map(|time| date.with_time(time).assume_utc());
        let today = now.date();
        let slots = match self {
            Self::Off => return None,
            Self::Daily => [Some(today), today.previous_day()],
            Self::Weekly => {
                let since = i64::from(today.weekday().number_days_from_sunday());
                let sunday = today.checked_sub(Duration::days(since));
                debug_assert!(sunday.is_none_or(|day| day.weekday() == Weekday::Sunday));
                [sunday, sunday.and_then(|day| day.checked_sub(Duration::days(7)))]
            }
            Self::Monthly => {
                let first = today.replace_day(1).ok();
                let before = first.and_then(Date::previous_day).and_then(|day| day.replace_day(1).ok());
                [first, before]
            }
        };
        slots.into_iter().flatten().filter_map(at).find(|slot| *slot <= now)
    }

    /// Whether one is due: a slot has passed since the newest backup and since the schedule was set.
    #[must_use]
    pub fn is_due(
        self,
        hour: u8,
        now: OffsetDateTime,
        since: OffsetDateTime,
        made: impl Iterator<Item = OffsetDateTime>,
    ) -> bool {
        self.newest_slot(hour, now).is_some_and(|slot| is_missing(slot, now, since, made))
    }
}

/// Whether none was made since `wanted`, which was after the schedule was set. Backups of the future were made while
/// the clock was wrong, and do not count.
#[must_use]
pub fn is_missing(
    wanted: OffsetDateTime,
    now: OffsetDateTime,
    since: OffsetDateTime,
    made: impl Iterator<Item = OffsetDateTime>,
) -> bool {
    let newest = made.filter(|made| *made <= now).max();
    // A schedule that was set while the clock was ahead counts from any time.
    let since = if since > now { OffsetDateTime::UNIX_EPOCH } else { since };
    wanted > since && newest.is_none_or(|made| made < wanted)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_newest_slot_is_the_last_one_that_has_come() {
        let now = datetime!(2026-03-01 01:30 UTC);
        for (every, hour, slot) in [
            (Every::Daily, 1, datetime!(2026-03-01 01:00 UTC)),
            (Every::Daily, 2, datetime!(2026-02-28 02:00 UTC)),
            // 1 March 2026 is a Sunday.
            (Every::Weekly, 1, datetime!(2026-03-01 01:00 UTC)),
            (Every::Weekly, 2, datetime!(2026-02-22 02:00 UTC)),
            (Every::Monthly, 0, datetime!(2026-03-01 00:00 UTC)),
            (Every::Monthly, 2, datetime!(2026-02-01 02:00 UTC)),
        ] {
            assert_eq!(every.newest_slot(hour, now), Some(slot), "{every:?} {hour}");
        }
        assert_eq!(Every::Off.newest_slot(0, now), None);
    }

    #[test]
    fn a_missed_one_is_made_up_once_and_a_schedule_that_was_just_set_waits_for_its_hour() {
        let (now, long_ago) = (datetime!(2026-03-05 12:00 UTC), datetime!(2026-01-01 00:00 UTC));
        let is_due =
            |since, made: &[OffsetDateTime]| Every::Daily.is_due(2, now, since, made.iter().copied());
        assert!(is_due(long_ago, &[datetime!(2026-03-04 02:00 UTC)]), "missed while the Console was down");
        assert!(!is_due(long_ago, &[datetime!(2026-03-05 02:00:30 UTC)]), "made");
        assert!(!is_due(datetime!(2026-03-05 11:00 UTC), &[]), "set after today's hour");
        assert!(is_due(datetime!(2026-03-04 11:00 UTC), &[]), "never made");
    }

    #[test]
    fn a_clock_that_was_wrong_stops_no_backups() {
        let now = datetime!(2026-03-05 12:00 UTC);
        let ahead = datetime!(2036-03-05 12:00 UTC);
        assert!(Every::Daily.is_due(2, now, ahead, std::iter::once(ahead)));
        assert!(!Every::Daily.is_due(2, now, ahead, [ahead, now].into_iter()));
    }
}
