//! How pages say things: names of channels, days left, times. One wording for all of them.

use certs::Channel;
use protocol::message::{CertificateSource, CertificateSummary};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

/// How long something is still valid, as `ui.html` draws it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Validity {
    /// Its end.
    pub(in crate::web) end: Moment,
    /// `42 days`, or that it has expired.
    pub(in crate::web) text: String,
    /// The class of its colour; empty while all is well.
    pub(in crate::web) tone: &'static str,
    /// The icon beside it; empty while all is well.
    pub(in crate::web) icon: &'static str,
    /// Length of the bar, of [`BAR_DAYS`].
    pub(in crate::web) bar: i64,
}

/// A point in time, for machines and for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::web) struct Moment {
    /// RFC 3339.
    pub(in crate::web) exact: String,
    /// `2026-11-22 12:40 UTC`.
    pub(in crate::web) text: String,
}

impl Validity {
    /// Of what ends at `end`, and somebody must renew.
    pub(in crate::web) fn new(end: OffsetDateTime, now: OffsetDateTime) -> Self {
        Self::by(end, now, SOON_DAYS, URGENT_DAYS, 1)
    }

    /// Of what is renewed without anybody's doing, long before its end: only what was not is worth a word.
    pub(in crate::web) fn renewing(end: OffsetDateTime, now: OffsetDateTime) -> Self {
        Self::by(end, now, LATE_DAYS, 1, BAR_DAYS / SOON_DAYS)
    }

    /// Of the certificate of a Defender: those that the Console issues are renewed over the connection.
    pub(in crate::web) fn of_defender(certificate: &CertificateSummary, now: OffsetDateTime) -> Self {
        match certificate.source {
            CertificateSource::Custom => Self::new(certificate.not_after, now),
            CertificateSource::SelfSigned => Self::renewing(certificate.not_after, now),
        }
    }

    fn by(end: OffsetDateTime, now: OffsetDateTime, soon: i64, urgent: i64, stretch: i64) -> Self {
        let left = end - now;
        let days = left.whole_days();
        let text = match left {
            left if left <= Duration::ZERO => format!("Expired {} ago", span(-left)),
            left if days <= soon => format!("{}, expiring", span(left)),
            left => span(left),
        };
        let (tone, icon) = if left <= Duration::ZERO {
            ("bad", "expired")
        } else if days <= urgent {
            ("bad", "warning")
        } else if days <= soon {
            ("warn", "warning")
        } else {
            ("", "")
        };
        Self { end: Moment::new(end), text, tone, icon, bar: days.saturating_mul(stretch).clamp(0, BAR_DAYS) }
    }

    /// Whether it ends within a month, or has ended.
    pub(in crate::web) fn is_urgent(&self) -> bool {
        !self.tone.is_empty()
    }
}

impl Moment {
    /// For pages.
    pub(in crate::web) fn new(time: OffsetDateTime) -> Self {
        let time = time.to_offset(time::UtcOffset::UTC);
        let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
        Self {
            exact: time.format(&Rfc3339).unwrap_or_default(),
            text: time.format(&format).unwrap_or_default(),
        }
    }
}

/// What people call a channel.
pub(in crate::web) fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::ConsoleDefender => "the Defender WebSocket",
        Channel::ConsoleHttps => "the Console's HTTPS",
        Channel::Defender => "the Defender",
    }
}

/// The heading of a channel.
pub(in crate::web) fn channel_title(channel: Channel) -> &'static str {
    match channel {
        Channel::ConsoleDefender => "Defender WebSocket",
        Channel::ConsoleHttps => "Console HTTPS",
        Channel::Defender => "Defender",
    }
}

/// Who meets a channel's certificate.
pub(in crate::web) fn channel_about(channel: Channel) -> &'static str {
    match channel {
        Channel::ConsoleDefender => "What Defenders see when they connect, and whose Defenders may.",
        Channel::ConsoleHttps => "What browsers and programs see: this page and the API.",
        Channel::Defender => "What a Defender shows to the Console.",
    }
}

/// A text as one word of a shell.
pub(in crate::web) fn shell(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-:@".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Bytes with the unit that fits.
pub(in crate::web) fn bytes(count: u64) -> String {
    let mut unit = "B";
    let (mut whole, mut tenths) = (count, 0);
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if whole < 1024 {
            break;
        }
        (tenths, whole, unit) = (whole % 1024 * 10 / 1024, whole / 1024, larger);
    }
    if tenths == 0 || whole >= 100 { format!("{whole} {unit}") } else { format!("{whole}.{tenths} {unit}") }
}

/// A number with its thousands apart, as people read it.
pub(in crate::web) fn number(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1–50 of 200`: which part of a list is shown.
pub(in crate::web) fn range(offset: usize, limit: usize, total: usize) -> String {
    if offset >= total {
        return format!("none of {}", number(total));
    }
    let end = offset.saturating_add(limit).min(total);
    format!("{}–{} of {}", number(offset + 1), number(end), number(total))
}

/// `1 day`, `3 days`, and less than a day in hours, minutes or seconds.
pub(in crate::web) fn span(time: Duration) -> String {
    let some = |count: i64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    match time.whole_days() {
        0 if time.whole_minutes() == 0 => some(time.whole_seconds(), "second"),
        0 if time.whole_hours() == 0 => some(time.whole_minutes(), "minute"),
        0 => some(time.whole_hours(), "hour"),
        days => some(days, "day"),
    }
}

/// What the whole bar stands for: beyond that nobody needs to compare.
pub(in crate::web) const BAR_DAYS: i64 = 90;

/// From how many days on it is said that something expires, and that it is urgent.
pub(in crate::web) const SOON_DAYS: i64 = 30;
const URGENT_DAYS: i64 = 7;

/// What renews itself and has no more than this is late.
pub(in crate::web) const LATE_DAYS: i64 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_left_are_said_with_a_word_and_not_by_colour_alone() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let hour = Duration::HOUR;
        for (left, text, tone) in [
            (hour * 24 * 400, "400 days", ""),
            (hour * 24 * 31, "31 days", ""),
            (hour * 24 * 30, "30 days, expiring", "warn"),
            (hour * 24 * 7, "7 days, expiring", "bad"),
            (hour * 25, "1 day, expiring", "bad"),
            (hour * 2, "2 hours, expiring", "bad"),
            (Duration::MINUTE, "1 minute, expiring", "bad"),
            (Duration::ZERO, "Expired 0 seconds ago", "bad"),
            (-hour * 50, "Expired 2 days ago", "bad"),
        ] {
            let validity = Validity::new(now + left, now);
            assert_eq!((validity.text.as_str(), validity.tone), (text, tone));
            assert_eq!(validity.icon.is_empty(), tone.is_empty());
            assert!((0..=BAR_DAYS).contains(&validity.bar));
        }
    }

    #[test]
    fn what_renews_itself_is_worth_a_word_only_when_it_is_late() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let tone = |days| Validity::renewing(now + Duration::days(days), now).tone;
        assert_eq!([29, 8, 7, 1, 0].map(tone), ["", "", "warn", "bad", "bad"]);
        assert_eq!(Validity::renewing(now + Duration::days(29), now).text, "29 days");
    }

    #[test]
    fn a_path_stays_one_word_in_a_shell() {
        assert_eq!(shell("/var/lib/x-1"), "/var/lib/x-1");
        assert_eq!(shell("/my dir/$(id)"), "'/my dir/$(id)'");
        assert_eq!(shell("it's"), r"'it'\''s'");
    }

    #[test]
    fn figures_are_written_as_people_read_them() {
        assert_eq!(
            [0, 999, 50_000, 1_234_567].map(number),
            ["0", "999", "50\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
        assert_eq!(
            [0, 1023, 1024, 1536, 8_250_736_640].map(bytes),
            ["0 B", "1023 B", "1 KiB", "1.5 KiB", "7.6 GiB"]
        );
        let moment = Moment::new(OffsetDateTime::UNIX_EPOCH);
        assert_eq!(
            (moment.exact.as_str(), moment.text.as_str()),
            ("1970-01-01T00:00:00Z", "1970-01-01 00:00 UTC")
        );
    }
}
