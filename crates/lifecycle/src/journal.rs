//! The newest log lines of this process, in memory: for who asks from afar. `logging.rs` writes each line here beside
//! standard error.
//!
//! Lines are numbered from 1. When there is no more room the oldest go; who reads on from one of those is told how
//! many are gone.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Log lines up to a size. Clones share them.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    ring: Mutex<Ring>,
    /// Number of the newest line.
    newest: watch::Sender<u64>,
}

struct Ring {
    lines: VecDeque<Box<str>>,
    /// Number of the line before the oldest kept one.
    before: u64,
    bytes: usize,
    limit_bytes: usize,
}

/// Some lines in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The number of each line, and its text.
    pub lines: Vec<(u64, String)>,
    /// How many lines before them are not kept any more.
    pub dropped: u64,
    /// Number of the newest line there is.
    pub newest: u64,
}

impl Journal {
    /// An empty one that keeps about `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        let ring = Ring { lines: VecDeque::new(), before: 0, bytes: 0, limit_bytes };
        Self { inner: Arc::new(Inner { ring: Mutex::new(ring), newest: watch::Sender::new(0) }) }
    }

    /// Keeps a line; a very long one is cut.
    pub fn add(&self, line: &str) {
        let newest = self.ring().add(line);
        self.inner.newest.send_replace(newest);
    }

    /// Number of the newest line; 0 when there is none.
    #[must_use]
    pub fn newest(&self) -> u64 {
        *self.inner.newest.borrow()
    }

    /// The lines that follow line number `after`, as many as `most_bytes` hold, but one at the least.
    #[must_use]
    pub fn after(&self, after: u64, most_bytes: usize) -> Excerpt {
        self.ring().after(after, most_bytes)
    }

    /// Returns once there is a line that follows number `after`. Cancel-safe.
    pub async fn beyond(&self, after: u64) {
        // The sender lives as long as this call.
        let _ = self.inner.newest.subscribe().wait_for(|newest| *newest > after).await;
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.inner.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("newest", &self.newest()).finish_non_exhaustive()
    }
}

impl Ring {
    /// The number of the new line.
    fn add(&mut self, line: &str) -> u64 {
        let line: Box<str> = shortened(line).into();
        self.bytes += cost(&line);
        self.lines.push_back(line);
        while self.bytes > self.limit_bytes
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= cost(&oldest);
            self.before += 1;
        }
        self.newest()
    }

    fn newest(&self) -> u64 {
        self.before + u64::try_from(self.lines.len()).unwrap_or(u64::MAX)
    }

    fn after(&self, after: u64, most_bytes: usize) -> Excerpt {
        let newest = self.newest();
        let dropped = self.before.saturating_sub(after);
        let skipped = usize::try_from(after.saturating_sub(self.before)).unwrap_or(usize::MAX);
        let mut room = most_bytes;
        let mut lines = Vec::new();
        for (number, line) in (self.before + 1..).zip(&self.lines).skip(skipped) {
            if cost(line) > room && !lines.is_empty() {
                break;
            }
            room = room.saturating_sub(cost(line));
            lines.push((number, line.to_string()));
        }
        Excerpt { lines, dropped, newest }
    }
}

fn shortened(line: &str) -> String {
    if line.len() <= LONGEST_LINE_BYTES {
        return line.to_owned();
    }
    let end = line.floor_char_boundary(LONGEST_LINE_BYTES);
    format!("{}…", line.get(..end).unwrap_or_default())
}

/// A line and what keeping it takes beside.
fn cost(line: &str) -> usize {
    line.len() + 16
}

/// Enough for any line of ours; a page of one message holds several of them.
const LONGEST_LINE_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(excerpt: &Excerpt) -> Vec<&str> {
        excerpt.lines.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn keeps_the_newest_lines_and_says_how_many_are_gone() {
        let journal = Journal::new(3 * cost("line 1"));
        (1..=5).for_each(|n| journal.add(&format!("line {n}")));
        let all = journal.after(0, usize::MAX);
        assert_eq!(texts(&all), ["line 3", "line 4", "line 5"]);
        assert_eq!((all.dropped, all.newest, all.lines[0].0), (2, 5, 3));
        let later = journal.after(4, usize::MAX);
        assert_eq!((texts(&later), later.dropped), (vec!["line 5"], 0));
        for beyond in [5, 6, u64::MAX] {
            assert!(journal.after(beyond, usize::MAX).lines.is_empty());
        }
    }

    #[test]
    fn an_excerpt_is_bounded_and_never_empty_while_there_is_a_line() {
        let journal = Journal::new(1 << 20);
        (1..=9).for_each(|n| journal.add(&n.to_string()));
        assert_eq!(texts(&journal.after(2, 2 * cost("x"))), ["3", "4"]);
        assert_eq!(texts(&journal.after(2, 0)), ["3"]);
    }

    #[test]
    fn a_huge_line_is_cut_between_characters() {
        let journal = Journal::new(1 << 20);
        journal.add(&format!("x{}", "ä".repeat(LONGEST_LINE_BYTES)));
        let kept = journal.after(0, usize::MAX);
        let line = &kept.lines[0].1;
        assert!(line.len() <= LONGEST_LINE_BYTES + 3 && line.ends_with("ä…"), "{}", line.len());
    }

    #[tokio::test]
    async fn a_waiting_reader_wakes_with_the_next_line() {
        let journal = Journal::new(1 << 20);
        journal.add("first");
        journal.beyond(0).await;
        let waiting = journal.beyond(1);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            () = &mut waiting => panic!("there is no second line yet"),
            () = tokio::task::yield_now() => {}
        }
        journal.add("second");
        waiting.await;
    }
}
