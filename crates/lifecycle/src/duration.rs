//! Durations as operators write them: `250ms`, `10s`, `5m`, `24h`, `30d` (contract section 1).

use std::time::Duration;

use thiserror::Error;

/// A text that is no duration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no duration; write a whole number and a unit, for example 250ms, 10s, 5m, 24h or 30d")]
pub struct DurationError(String);

/// Reads a duration: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
///
/// # Errors
/// When it is anything else, or too long to count.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let fault = || DurationError(text.to_owned());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| fault())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60 * 1000),
        "h" => number.checked_mul(60 * 60 * 1000),
        "d" => number.checked_mul(24 * 60 * 60 * 1000),
        _ => None,
    };
    milliseconds.map(Duration::from_millis).ok_or_else(fault)
}

/// A distance in time as people say it, in one or two units: `45 s`, `12 min`, `3 h 12 min`, `5 days`.
#[must_use]
pub fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (2.., _, _) => format!("{days} days"),
        (_, 1.., _) if minutes % 60 == 0 => format!("{hours} h"),
        (_, 1.., _) => format!("{hours} h {} min", minutes % 60),
        (_, _, 1..) => format!("{minutes} min"),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_the_contract_is_read() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("30d", 2_592_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_and_named() {
        for text in
            ["", "10", "s", "-1s", "1.5s", "10 s", "10S", "1w", "1m30s", "99999999999999999999s", "٣s"]
        {
            let error = parse(text).expect_err(text);
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn a_distance_is_said_in_the_units_that_matter() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (7200, "2 h"),
            (11_520, "3 h 12 min"),
            (100_000, "27 h 46 min"),
            (172_800, "2 days"),
        ] {
            assert_eq!(words(Duration::from_secs(seconds)), expected);
        }
    }
}
