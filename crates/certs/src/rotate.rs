//! One loop per channel: wait, look, settle, judge. What a look means, and what is logged and published, is decided
//! in `judge.rs`; when to look in `settle.rs`; what wakes the loop in `folders.rs`.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::channel::Channel;
use crate::custom::CustomDir;
use crate::disk::Look;
use crate::error::CertError;
use crate::gate::Gate;
use crate::judge::{Judge, Judgement};
use crate::material::Material;
use crate::publish::Subscriber;
use crate::settle::{Settle, Settled, Timing};
use crate::source::Source;
use crate::storage::{Meanwhile, patiently};

/// What came of a change, for events and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The new files were refused; what runs goes on.
    Refused {
        /// Whose files.
        channel: Channel,
        /// Why: the CAUSE of the log line.
        error: String,
        /// What to do about it.
        remedy: String,
    },
    /// The channel uses another set now.
    Rotated {
        /// Which channel.
        channel: Channel,
        /// Where the set comes from.
        source: Source,
        /// Its number, see [`crate::Live::generation`].
        generation: u64,
        /// When its leaf expires.
        not_after: OffsetDateTime,
        /// SHA-256 of its leaf, in hexadecimal.
        sha256: String,
    },
}

/// The loop of one channel. It alone publishes.
#[derive(Debug)]
pub struct Rotation<T> {
    dir: CustomDir,
    judge: Judge<T>,
    settle: Settle,
    timing: Timing,
    fallback: watch::Receiver<Arc<Material>>,
    /// Whether somebody can still change the fallback.
    is_fallback_open: bool,
    /// Counts events; `None` where nothing is watched.
    events: Option<watch::Receiver<u64>>,
    /// Whether it was told that the directory takes its time.
    is_slow: bool,
    /// When to ask next whether the material that runs is within its dates.
    next_fitness: Instant,
}

/// Why the loop woke up.
enum Wake {
    Event,
    Fallback,
    Fitness,
    Gate,
    Look,
}

impl<T: Send + Sync + 'static> Rotation<T> {
    /// Publishes the first value: `custom`, else the fallback. `fallback` is the self-signed or bundle material; while
    /// the channel runs on it, a new value of it is published as well.
    ///
    /// # Errors
    /// `build` refuses the first value.
    pub fn start(
        channel: Channel,
        dir: &CustomDir,
        custom: Option<Material>,
        mut fallback: watch::Receiver<Arc<Material>>,
        build: impl Fn(&Material) -> Result<T, CertError> + Send + Sync + 'static,
    ) -> Result<(Subscriber<T>, Self), CertError> {
        let (source, material) = match custom {
            Some(custom) => (Source::Custom, Arc::new(custom)),
            None => (Source::SelfSigned, Arc::clone(&fallback.borrow_and_update())),
        };
        let (judge, subscriber) = Judge::start(channel, source, material, build)?;
        let now = Instant::now();
        let timing = Timing::polling(dir.poll());
        let rotation = Self {
            dir: dir.clone(),
            judge,
            settle: Settle::new(timing, now),
            timing,
            fallback,
            is_fallback_open: true,
            events: dir.folders().map(|folders| folders.events()),
            is_slow: false,
            next_fitness: now,
        };
        Ok((subscriber, rotation))
    }

    /// With somebody who may hold back a changed set that was judged good.
    #[must_use]
    pub fn gated(mut self, gate: Gate) -> Self {
        self.judge.set_gate(gate);
        self
    }

    /// Runs until `shutdown`, and sends each outcome; while `outcomes` is full, the next change waits. The first look
    /// is made at once, so nothing that changed since the start is lost.
    pub async fn run(mut self, outcomes: mpsc::Sender<Outcome>, shutdown: CancellationToken) {
        // Everything is safe to drop half way: the program stops.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.follow(outcomes) => {}
        }
    }

    async fn follow(&mut self, outcomes: mpsc::Sender<Outcome>) {
        loop {
            let outcome = match self.wake().await {
                Wake::Event => {
                    self.note_event().await;
                    None
                }
                Wake::Fallback => self.follow_fallback(),
                Wake::Fitness => {
                    self.check_fitness();
                    None
                }
                Wake::Gate => self.judge.knock(Instant::now(), OffsetDateTime::now_utc()),
                Wake::Look => self.look().await,
            };
            if let Some(outcome) = outcome {
                self.next_fitness = Instant::now();
                // Nobody may be listening; the swap is done either way.
                let _ = outcomes.send(outcome).await;
            }
        }
    }

    /// Waits for the next thing to do. Cancel-safe: what it waits for is kept in `self`.
    async fn wake(&mut self) -> Wake {
        let next_look = self.settle.next_look();
        let is_watched = self.events.is_some();
        let knock_at = self.judge.knock_at();
        let event = async {
            match &mut self.events {
                Some(events) => events.changed().await.is_ok(),
                None => future::pending().await,
            }
        };
        tokio::select! {
            // The sender lives as long as `self.dir`.
            _ = event => Wake::Event,
            changed = self.fallback.changed(), if self.is_fallback_open => {
                self.is_fallback_open = changed.is_ok();
                Wake::Fallback
            }
            () = sleep_until(next_look), if is_watched => Wake::Look,
            () = sleep_until(self.next_fitness) => Wake::Fitness,
            () = self.judge.answered() => Wake::Gate,
            () = sleep_until(knock_at.unwrap_or(next_look)), if knock_at.is_some() => Wake::Gate,
        }
    }

    /// Restarts the quiet, and watches what the event has brought at once: a directory that was just replaced must
    /// not fill up unseen.
    async fn note_event(&mut self) {
        self.settle.event(Instant::now());
        let Some(folders) = self.dir.folders().cloned() else { return };
        let dir = self.dir.path().to_owned();
        let arm = patiently(dir.display(), Meanwhile::GoesOn, &mut self.is_slow, move || folders.arm());
        if arm.await.unwrap_or(false) {
            self.settle.event(Instant::now());
        }
    }

    /// Looks once, and judges what was seen if it is new and has settled.
    async fn look(&mut self) -> Option<Outcome> {
        let folders = self.dir.folders().cloned()?;
        // What happened while this look was falling due may put it off.
        if self.has_new_event() {
            self.settle.event(Instant::now());
            if self.settle.next_look() > Instant::now() {
                return None;
            }
        }
        let (channel, path) = (self.judge.channel(), self.dir.path().to_owned());
        let dir = path.clone();
        let work = move || {
            folders.arm();
            Look::take(channel, &path)
        };
        let look = patiently(dir.display(), Meanwhile::GoesOn, &mut self.is_slow, work).await.ok()?;
        let now = Instant::now();
        let is_disturbed = self.has_new_event();
        match self.settle.looked(now, look.fingerprint(), self.judge.judged(), is_disturbed) {
            Settled::NotYet => None,
            Settled::Unchanged => {
                self.judge.forget_held();
                None
            }
            Settled::Changed => {
                match self.judge.judge(look, now, self.timing.hold, OffsetDateTime::now_utc()) {
                    Judgement::Done(outcome) => outcome,
                    Judgement::Hold(until) => {
                        self.settle.look_by(until);
                        None
                    }
                }
            }
        }
    }

    /// Whether something happened since the last call; marks it seen.
    fn has_new_event(&mut self) -> bool {
        let Some(events) = &mut self.events else { return false };
        let is_new = events.has_changed().unwrap_or(false);
        if is_new {
            // Only then: an event between the two lines must stay unseen.
            events.mark_unchanged();
        }
        is_new
    }

    fn follow_fallback(&mut self) -> Option<Outcome> {
        let fallback = Arc::clone(&self.fallback.borrow_and_update());
        self.judge.follow_fallback(fallback, OffsetDateTime::now_utc())
    }

    /// Reports what has gone out of its dates, and looks again at a refused set that has come into them.
    fn check_fitness(&mut self) {
        let now = OffsetDateTime::now_utc();
        let next_date = self.judge.check_fitness(now);
        if self.judge.judged().is_none() {
            self.settle.look_by(Instant::now());
        }
        let until = next_date.and_then(|date| Duration::try_from(date - now).ok()).unwrap_or(FITNESS_CHECK);
        // A little behind the date, when it has surely passed.
        let wait = until.saturating_add(Duration::from_millis(100)).min(FITNESS_CHECK);
        self.next_fitness = Instant::now() + wait;
    }
}

/// How often dates are compared with the clock, which may jump.
const FITNESS_CHECK: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
