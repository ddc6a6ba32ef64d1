//! When to look at the files, and when what was seen counts as settled. Pure: times and fingerprints go in.
//!
//! After an event: when nothing has happened for `quiet`, one look counts. After a poll, or when events do not stop
//! for `busy`: two looks in a row that saw the same, `quiet` apart.

use std::time::Duration;

use tokio::time::Instant;

use crate::fingerprint::Fingerprint;

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// How long it must be quiet after an event.
    pub(crate) quiet: Duration,
    /// After so much time of unbroken events they are no longer waited for.
    pub(crate) busy: Duration,
    /// How long a set that looks half copied must stay the same before it is taken.
    pub(crate) hold: Duration,
    /// How often to look without an event.
    pub(crate) poll: Duration,
}

/// What to make of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is new, and it has settled.
    Changed,
    /// Look again at [`Settle::next_look`].
    NotYet,
    /// It is what was judged before.
    Unchanged,
}

/// The state between looks.
#[derive(Debug)]
pub(crate) struct Settle {
    timing: Timing,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing has happened; look at `next`.
    Idle { next: Instant },
    /// Something happened, first and last at these times.
    Moving { first: Instant, last: Instant },
    /// `seen` must be seen again. Events end this state only if it was not they that led here.
    Confirming { seen: Fingerprint, at: Instant, despite_events: bool },
}

impl Settle {
    /// The first look is due at once.
    pub(crate) fn new(timing: Timing, now: Instant) -> Self {
        Self { timing, state: State::Idle { next: now } }
    }

    /// When to look next.
    pub(crate) fn next_look(&self) -> Instant {
        match self.state {
            State::Idle { next } => next,
            State::Moving { first, last } => (last + self.timing.quiet).min(first + self.timing.busy),
            State::Confirming { at, .. } => at + self.timing.quiet,
        }
    }

    /// Something happened.
    pub(crate) fn event(&mut self, now: Instant) {
        self.state = match self.state {
            State::Moving { first, .. } => State::Moving { first, last: now },
            State::Confirming { despite_events: true, .. } => self.state,
            _ => State::Moving { first: now, last: now },
        };
    }

    /// Asks for a look at `next` at the latest, as a poll.
    pub(crate) fn look_by(&mut self, next: Instant) {
        if let State::Idle { next: due } = &mut self.state {
            *due = next.min(*due);
        }
    }

    /// A look saw `seen`; `judged` is what was seen when the files were last judged; `disturbed` says whether
    /// something happened while looking.
    pub(crate) fn looked(
        &mut self,
        now: Instant,
        seen: Fingerprint,
        judged: Option<Fingerprint>,
        disturbed: bool,
    ) -> Settled {
        let despite_events = match self.state {
            State::Confirming { despite_events, .. } => despite_events,
            State::Moving { first, .. } => now >= first + self.timing.busy,
            State::Idle { .. } => false,
        };
        if disturbed && !despite_events {
            self.event(now);
            return Settled::NotYet;
        }
        let is_settled = match self.state {
            State::Confirming { seen: before, .. } => before == seen,
            State::Moving { last, .. } => now >= last + self.timing.quiet && !disturbed,
            State::Idle { .. } => false,
        };
        if judged == Some(seen) || is_settled {
            self.state = State::Idle { next: now + self.timing.poll };
            return if judged == Some(seen) { Settled::Unchanged } else { Settled::Changed };
        }
        self.state = State::Confirming { seen, at: now, despite_events };
        Settled::NotYet
    }
}

impl Timing {
    /// What the programs use. A poll is neither faster than the quiet nor rarer than daily.
    pub(crate) fn polling(poll: Duration) -> Self {
        Self {
            quiet: QUIET,
            busy: Duration::from_secs(2),
            hold: Duration::from_secs(3),
            poll: poll.clamp(QUIET, DAY),
        }
    }
}

const QUIET: Duration = Duration::from_millis(250);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::{Hasher, Part};

    const MS: Duration = Duration::from_millis(1);

    fn content(text: &str) -> Fingerprint {
        let mut hasher = Hasher::new();
        hasher.add(Part::Content(text.as_bytes()));
        hasher.finish()
    }

    /// A settle that has just judged "a".
    fn idle(start: Instant) -> Settle {
        let mut settle = Settle::new(Timing::polling(10_000 * MS), start);
        assert_eq!(settle.next_look(), start);
        assert_eq!(settle.looked(start, content("a"), Some(content("a")), false), Settled::Unchanged);
        settle
    }

    #[test]
    fn after_an_event_one_look_counts_once_it_is_quiet() {
        let start = Instant::now();
        let mut settle = idle(start);
        assert_eq!(settle.next_look(), start + 10_000 * MS);
        settle.event(start + 100 * MS);
        settle.event(start + 300 * MS);
        assert_eq!(settle.next_look(), start + 550 * MS);
        let settled = settle.looked(start + 550 * MS, content("b"), Some(content("a")), false);
        assert_eq!(settled, Settled::Changed);
        assert_eq!(settle.next_look(), start + 10_550 * MS);
    }

    #[test]
    fn an_event_during_the_look_asks_for_another_quiet() {
        let start = Instant::now();
        let mut settle = idle(start);
        settle.event(start);
        let settled = settle.looked(start + 250 * MS, content("half"), Some(content("a")), true);
        assert_eq!(settled, Settled::NotYet);
        assert_eq!(settle.next_look(), start + 500 * MS);
    }

    #[test]
    fn a_change_found_by_polling_must_be_seen_twice() {
        let start = Instant::now();
        let mut settle = idle(start);
        let poll = settle.next_look();
        assert_eq!(settle.looked(poll, content("b"), Some(content("a")), false), Settled::NotYet);
        assert_eq!(settle.next_look(), poll + 250 * MS);
        let again = poll + 250 * MS;
        assert_eq!(settle.looked(again, content("c"), Some(content("a")), false), Settled::NotYet);
        let again = again + 250 * MS;
        assert_eq!(settle.looked(again, content("c"), Some(content("a")), false), Settled::Changed);
    }

    #[test]
    fn events_without_end_do_not_put_it_off_for_ever() {
        let start = Instant::now();
        let mut settle = idle(start);
        let mut now = start;
        while now < settle.next_look() {
            settle.event(now);
            now += 100 * MS;
        }
        assert_eq!(settle.next_look(), start + 2000 * MS);
        assert_eq!(settle.looked(now, content("b"), Some(content("a")), true), Settled::NotYet);
        settle.event(now + 100 * MS);
        assert_eq!(settle.next_look(), now + 250 * MS);
        assert_eq!(settle.looked(now + 250 * MS, content("b"), Some(content("a")), true), Settled::Changed);
    }

    #[test]
    fn what_was_judged_before_is_not_judged_again() {
        let start = Instant::now();
        let mut settle = idle(start);
        settle.event(start);
        let settled = settle.looked(start + 250 * MS, content("a"), Some(content("a")), false);
        assert_eq!(settled, Settled::Unchanged);
    }

    #[test]
    fn an_early_look_can_be_asked_for() {
        let start = Instant::now();
        let mut settle = idle(start);
        settle.look_by(start + 3000 * MS);
        settle.look_by(start + 5000 * MS);
        assert_eq!(settle.next_look(), start + 3000 * MS);
    }
}
