//! How many Defenders were connected over a day, as paths of an SVG drawing and as a table of hours.

use std::fmt::Write as _;

use time::{Duration, OffsetDateTime};

use super::words::{self, Moment};
use crate::store::history::Sample;

/// The drawing: connected Defenders, the disconnected ones on top of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chart {
    /// The area of the connected ones.
    pub(super) connected: String,
    /// The area of the disconnected ones.
    pub(super) disconnected: String,
    /// The edge of the first area.
    pub(super) edge: String,
    /// The labels of the vertical axis, from the top.
    pub(super) scale: [String; 3],
    /// The fewest and the most that were connected.
    pub(super) lowest: String,
    pub(super) highest: String,
    /// The same as a table, newest first.
    pub(super) lines: Vec<(Moment, String, String)>,
    /// What the drawing spans, `24 hours`, and the labels of the horizontal axis.
    pub(super) span: &'static str,
    pub(super) axis: [&'static str; 5],
    /// Whether there is more than the present moment.
    pub(super) has_past: bool,
}

/// How far back the drawing goes: no further than it must for what was counted.
struct Window {
    minutes: i64,
    /// One point each so many minutes.
    step: i64,
    /// One line of the table each so many minutes.
    line: i64,
    span: &'static str,
    axis: [&'static str; 5],
}

/// A count at its place in the drawing.
struct Point {
    /// Since the beginning of the drawing.
    minute: i64,
    x: i64,
    connected: i64,
    all: i64,
}

impl Chart {
    /// The day that ends `now`, or the part of it that is known, of counts that are newest first.
    pub(super) fn new(samples: &[Sample], now: OffsetDateTime) -> Self {
        let window = Window::of(samples, now);
        let top = samples.iter().map(|sample| sample.connected + sample.disconnected).max().unwrap_or(0);
        let scale = scale(top);
        let mut points: Vec<Point> =
            samples.iter().filter_map(|sample| point(sample, scale, window.minutes, now)).collect();
        points.dedup_by_key(|point| point.minute.div_euclid(window.step));
        points.reverse();
        let label = |part: u64| words::number(usize::try_from(part).unwrap_or(usize::MAX));
        let mut chart = Self {
            scale: [label(scale), label(scale / 2), label(0)],
            lowest: label(samples.iter().map(|sample| sample.connected).min().unwrap_or(0)),
            highest: label(samples.iter().map(|sample| sample.connected).max().unwrap_or(0)),
            lines: lines(samples, window.line),
            span: window.span,
            axis: window.axis,
            has_past: samples.len() > 1,
            ..Self::default()
        };
        // Where nobody counted, the Console did not run: a gap, not a line.
        for run in points.chunk_by(|a, b| b.minute - a.minute <= window.step * 3) {
            chart.draw(run);
        }
        chart
    }

    fn draw(&mut self, run: &[Point]) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        let along = |height: fn(&Point) -> i64| {
            run.iter().fold(String::new(), |mut path, point| {
                let command = if path.is_empty() { 'M' } else { 'L' };
                let _ = write!(path, "{command}{} {}", point.x, height(point));
                path
            })
        };
        let (edge, top) = (along(|point| point.connected), along(|point| point.all));
        let _ = write!(self.connected, "{edge}V{HEIGHT}H{}Z", first.x);
        let _ = write!(self.disconnected, "{top}L{} {}", last.x, last.connected);
        for point in run.iter().rev() {
            let _ = write!(self.disconnected, "L{} {}", point.x, point.connected);
        }
        self.disconnected.push('Z');
        self.edge.push_str(&edge);
    }
}

/// `None` for what is older than the drawing.
fn point(sample: &Sample, scale: u64, minutes: i64, now: OffsetDateTime) -> Option<Point> {
    let minute = minutes - (now - sample.time).whole_minutes();
    let x = minute * WIDTH / minutes;
    let height = |count: u64| {
        let part = u128::from(count) * u128::from(HEIGHT.unsigned_abs()) / u128::from(scale.max(1));
        HEIGHT - i64::try_from(part).unwrap_or(0)
    };
    let all = sample.connected + sample.disconnected;
    (0..=minutes).contains(&minute).then(|| Point {
        minute,
        x,
        connected: height(sample.connected),
        all: height(all),
    })
}

/// The first even number of one digit and zeros that `top` fits under.
fn scale(top: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        let fits =
            [2, 4, 6, 8, 10].into_iter().map(|digit| unit.saturating_mul(digit)).find(|scale| *scale >= top);
        match fits {
            Some(scale) => return scale,
            None => unit = unit.saturating_mul(10),
        }
    }
}

fn lines(samples: &[Sample], minutes: i64) -> Vec<(Moment, String, String)> {
    let mut lines = Vec::new();
    let mut next = None;
    for sample in samples {
        if next.is_none_or(|next| sample.time <= next) {
            let number = |count: u64| words::number(usize::try_from(count).unwrap_or(usize::MAX));
            lines.push((Moment::new(sample.time), number(sample.connected), number(sample.disconnected)));
            next = Some(sample.time - Duration::minutes(minutes));
        }
    }
    lines
}

impl Window {
    fn of(samples: &[Sample], now: OffsetDateTime) -> &'static Self {
        let known = samples.last().map_or(0, |oldest| (now - oldest.time).whole_minutes());
        WINDOWS.iter().find(|window| known <= window.minutes).unwrap_or(&DAY)
    }
}

/// The drawing is stretched to the width of the page.
const WIDTH: i64 = 24 * 60;
const HEIGHT: i64 = 200;

const DAY: Window = Window {
    minutes: 24 * 60,
    step: 5,
    line: 60,
    span: "24 hours",
    axis: ["24 h ago", "18 h", "12 h", "6 h", "now"],
};

const WINDOWS: [Window; 2] = [
    Window {
        minutes: 60,
        step: 1,
        line: 5,
        span: "the last hour",
        axis: ["60 min ago", "45 min", "30 min", "15 min", "now"],
    },
    Window {
        minutes: 8 * 60,
        step: 2,
        line: 30,
        span: "8 hours",
        axis: ["8 h ago", "6 h", "4 h", "2 h", "now"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(minutes_ago: i64, connected: u64, disconnected: u64) -> Sample {
        Sample { time: now() - Duration::minutes(minutes_ago), connected, disconnected }
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::days(20_000)
    }

    #[test]
    fn areas_lie_on_top_of_each_other_and_a_stop_of_the_console_is_a_gap() {
        let samples = [sample(0, 3, 1), sample(5, 4, 0), sample(600, 2, 0), sample(605, 2, 0)];
        let chart = Chart::new(&samples, now());
        assert_eq!(chart.edge, "M835 100L840 100M1435 0L1440 50");
        assert_eq!(chart.connected, "M835 100L840 100V200H835ZM1435 0L1440 50V200H1435Z");
        assert!(
            chart.disconnected.ends_with("M1435 0L1440 0L1440 50L1440 50L1435 0Z"),
            "{}",
            chart.disconnected
        );
        assert_eq!(chart.scale, ["4", "2", "0"]);
        assert_eq!((chart.lowest.as_str(), chart.highest.as_str()), ("2", "4"));
        assert_eq!((chart.lines.len(), chart.span), (2, "24 hours"));
    }

    #[test]
    fn a_young_console_shows_its_first_hour_over_the_whole_width() {
        let chart = Chart::new(&[sample(0, 2, 0), sample(2, 2, 0), sample(3, 1, 1)], now());
        assert_eq!((chart.span, chart.axis[0]), ("the last hour", "60 min ago"));
        assert_eq!(chart.edge, "M1368 100L1392 0L1440 0");
        assert_eq!(Chart::new(&[sample(0, 2, 0), sample(61, 2, 0)], now()).span, "8 hours");
    }

    #[test]
    fn the_axis_ends_at_an_even_round_number() {
        assert_eq!([0, 1, 3, 9, 11, 50_000, 99_999].map(scale), [2, 2, 4, 10, 20, 60_000, 100_000]);
    }

    #[test]
    fn without_counts_there_is_nothing_to_draw() {
        let chart = Chart::new(&[], now());
        assert!(!chart.has_past && chart.edge.is_empty() && chart.lines.is_empty());
    }
}
