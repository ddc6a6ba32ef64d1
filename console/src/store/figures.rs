//! What the writer counts of its work: reports on disk, and how long they took to get there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters of the writer.
#[derive(Debug, Default)]
pub(super) struct Counters {
    stored: AtomicU64,
    in_hand: AtomicU64,
    /// Reports that took no longer than the bound of the same place, but longer than the bound before.
    buckets: [AtomicU64; BOUNDS.len()],
    sum_ms: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Reports stored since the start.
    pub stored: u64,
    /// Reports that wait for the disk now.
    pub waiting: u64,
    /// Upper bounds in seconds as they are written, each with how many reports took no longer from their arrival to
    /// the disk.
    pub delays: Vec<(&'static str, u64)>,
    /// Sum of the delays of all stored reports, in seconds.
    pub delay_seconds: f64,
}

impl Counters {
    /// Reports that were taken from the queue and are not on disk yet.
    pub(super) fn take_in_hand(&self, reports: usize) {
        self.in_hand.store(u64::try_from(reports).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A report that came for the first time is on disk.
    pub(super) fn count(&self, delay: Duration) {
        self.stored.fetch_add(1, Ordering::Relaxed);
        let place = BOUNDS.iter().position(|(bound, _)| delay <= *bound);
        if let Some(bucket) = place.and_then(|place| self.buckets.get(place)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ms.fetch_add(u64::try_from(delay.as_millis()).unwrap_or(0), Ordering::Relaxed);
    }

    /// The counters now; `queued` reports wait before the writer.
    pub(super) fn figures(&self, queued: usize) -> Figures {
        let mut so_far = 0;
        let buckets = self.buckets.iter().zip(BOUNDS);
        Figures {
            stored: self.stored.load(Ordering::Relaxed),
            waiting: self.in_hand.load(Ordering::Relaxed) + u64::try_from(queued).unwrap_or(0),
            delays: buckets
                .map(|(bucket, (_, bound))| {
                    so_far += bucket.load(Ordering::Relaxed);
                    (bound, so_far)
                })
                .collect(),
            delay_seconds: Duration::from_millis(self.sum_ms.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

/// Upper bounds of the buckets, and as they are written in seconds.
const BOUNDS: [(Duration, &str); 9] = [
    (Duration::from_millis(10), "0.01"),
    (Duration::from_millis(25), "0.025"),
    (Duration::from_millis(50), "0.05"),
    (Duration::from_millis(100), "0.1"),
    (Duration::from_millis(250), "0.25"),
    (Duration::from_millis(500), "0.5"),
    (Duration::from_secs(1), "1"),
    (Duration::from_secs(5), "5"),
    (Duration::from_secs(30), "30"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_what_waits_is_what_is_queued_and_in_hand() {
        let counters = Counters::default();
        for milliseconds in [1, 20, 100, 101, 60_000] {
            counters.count(Duration::from_millis(milliseconds));
        }
        counters.take_in_hand(3);
        let figures = counters.figures(4);
        assert_eq!((figures.stored, figures.waiting), (5, 7));
        let count = |le| figures.delays.iter().find(|(bound, _)| *bound == le).map(|(_, count)| *count);
        assert_eq!([count("0.01"), count("0.1"), count("0.25"), count("30")], [1, 3, 4, 4].map(Some));
        assert!((figures.delay_seconds - 60.222).abs() < 1e-9);
    }
}
