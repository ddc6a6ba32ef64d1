//! When the next attempt is made, and with what, after one that failed or a session that ended.

use std::time::Duration;

use protocol::close::Next;
use tokio::time::Instant;

use super::parts::Attempt;
use super::{BETTER_AGAIN, HOURLY, State};
use crate::dial::DialError;

impl State {
    /// Offers the next candidate soon when this one was not taken; begins again with the best after all of them.
    pub(super) fn delay_after(&mut self, error: &DialError, next: Next) -> Duration {
        let is_free = self.current.is_none() || self.must_move;
        if is_free && error.is_about_certificates() {
            let count = self.link.candidates(&self.link.certificates.current()).len();
            self.turn = (self.turn + 1) % count.max(1);
            if self.turn != 0 {
                return NEXT_CANDIDATE.mul_f64((self.link.share)());
            }
        }
        let delay = self.delay(next);
        if self.is_spare && !is_free { delay.max(BETTER_AGAIN) } else { delay }
    }

    pub(super) fn delay(&mut self, next: Next) -> Duration {
        let share = (self.link.share)();
        match next {
            Next::BackOff => self.backoff.next(share),
            Next::Hourly => HOURLY,
            Next::Now => {
                self.restarts = self.restarts.saturating_add(1);
                if self.restarts > 1 { RESTART_AGAIN_JITTER } else { RESTART_JITTER }.mul_f64(share)
            }
        }
    }

    /// The next attempt after `delay`, unless one is due earlier.
    pub(super) fn wait(&mut self, delay: Duration) {
        let until = Instant::now() + delay;
        self.attempt = match &self.attempt {
            Attempt::Wait(earlier) if *earlier < until => Attempt::Wait(*earlier),
            _ => Attempt::Wait(until),
        };
    }
}

/// How soon the next candidate is offered, at the latest.
const NEXT_CANDIDATE: Duration = Duration::from_secs(1);

/// A Console that restarts has all its Defenders come at once: a little apart is enough.
pub(super) const RESTART_JITTER: Duration = Duration::from_millis(100);

/// The same, again and again.
pub(super) const RESTART_AGAIN_JITTER: Duration = Duration::from_secs(1);
