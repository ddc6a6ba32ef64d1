//! Keeps a session up: when to dial, how fast to try again, and make before break.
//!
//! At most one attempt and one current session at a time, side by side: after a rotation, or when the Console asks
//! for it, the session in use works on until the new one was welcomed, and only then closes. One attempt is in
//! `dial.rs`, one session in `session.rs`.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use certs::{Live, Source, Subscriber};
use lifecycle::logging::error_chain;
use lifecycle::{Backoff, Tasks};
use protocol::Close;
use protocol::close::Next;
use protocol::message::{CertificateSource, CertificateSummary, DefenderIdentity, Hello, Reconnect};
use rustls::ClientConfig;
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commands::Commands;
use crate::dial::{DialError, Dialed, Target, dial};
use crate::outbox::Outbox;
use crate::session::{Ended, Session};
use crate::status::Board;

/// What a link needs.
#[derive(Debug)]
pub struct Link {
    /// Where to.
    pub target: Target,
    /// What to dial with; each new value makes the link dial anew.
    pub certificates: Subscriber<ClientConfig>,
    /// Who we are.
    pub identity: DefenderIdentity,
    /// Carries out the Console's commands.
    pub commands: Commands,
    /// What is to be sent.
    pub outbox: Outbox,
    /// Told how the link stands.
    pub board: Board,
    /// Turns true with the first `welcome`.
    pub welcomed: watch::Sender<bool>,
    /// Runs the sessions.
    pub tasks: Tasks,
    /// A random share, 0 to 1, for jitter.
    pub share: fn() -> f64,
}

impl Link {
    /// Works until `shutdown`; sessions then close on their own, as tasks that the owner drains.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut certificates = self.certificates.clone();
        let mut state = State::new(self, shutdown.clone());
        state.dial();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                live = certificates.changed() => match live {
                    Some(live) => state.on_certificates(&live),
                    None => return shutdown.cancelled().await,
                },
                event = next_of_session(&mut state.current) => match event {
                    SessionEvent::Ended(ended) => state.on_ended(&ended),
                    SessionEvent::Reconnect(reconnect) => state.on_reconnect(&reconnect),
                },
                event = next_of_attempt(&mut state.attempt) => match event {
                    AttemptEvent::Done(outcome) => match *outcome {
                        Ok(dialed) => state.on_welcome(dialed).await,
                        Err(error) => state.on_failure(&error),
                    },
                    AttemptEvent::Due => state.dial(),
                },
            }
        }
    }

    fn hello(&self, live: &Live<ClientConfig>) -> Hello {
        let leaf = live.material.leaf();
        let source = match live.source {
            Source::Custom => CertificateSource::Custom,
            Source::SelfSigned => CertificateSource::SelfSigned,
        };
        let certificate =
            CertificateSummary { source, not_after: leaf.not_after, sha256: leaf.sha256.clone() };
        Hello { defender: self.identity.clone(), boot: self.commands.boot(), certificate }
    }
}

/// A link at work.
struct State {
    link: Link,
    shutdown: CancellationToken,
    attempt: Attempt,
    current: Option<Running>,
    backoff: Backoff,
    /// Generation of the certificates that the last attempt used.
    dialed_generation: u64,
    /// Restarts (1012) since the last good session.
    restarts: u32,
    /// Whether a session that was not a good one (yet) was asked for a new connection, since the last good session.
    asked_early: bool,
    /// Whether the operator was told that the Console has decommissioned this Defender.
    told_decommissioned: bool,
}

/// The next connection.
enum Attempt {
    /// Under way.
    Dialing(Pin<Box<dyn Future<Output = Result<Dialed, DialError>> + Send>>),
    /// None is wanted: a session is up.
    Rest,
    /// Begins then.
    Wait(Instant),
}

enum AttemptEvent {
    Done(Box<Result<Dialed, DialError>>),
    Due,
}

/// A session at work, in a task of its own.
struct Running {
    task: JoinHandle<Ended>,
    reconnects: mpsc::Receiver<Reconnect>,
    /// Asks it to close in good order.
    retire: CancellationToken,
    /// A session that has lasted this long was a good one.
    good_after: Duration,
    since: Instant,
}

impl Running {
    fn is_good(&self) -> bool {
        self.since.elapsed() >= self.good_after
    }
}

enum SessionEvent {
    Ended(Ended),
    Reconnect(Reconnect),
}

/// Cancel-safe: a dialing future keeps its place.
async fn next_of_attempt(attempt: &mut Attempt) -> AttemptEvent {
    match attempt {
        Attempt::Dialing(dialing) => AttemptEvent::Done(Box::new(dialing.await)),
        Attempt::Rest => pending().await,
        Attempt::Wait(until) => {
            tokio::time::sleep_until(*until).await;
            AttemptEvent::Due
        }
    }
}

/// Cancel-safe. After `Ended` the session must not be asked again.
async fn next_of_session(current: &mut Option<Running>) -> SessionEvent {
    let Some(running) = current else { return pending().await };
    tokio::select! {
        Some(reconnect) = running.reconnects.recv() => SessionEvent::Reconnect(reconnect),
        ended = &mut running.task => SessionEvent::Ended(ended.unwrap_or(Ended::Lost(None))),
    }
}

impl State {
    fn new(link: Link, shutdown: CancellationToken) -> Self {
        Self {
            link,
            shutdown,
            attempt: Attempt::Rest,
            current: None,
            backoff: Backoff::default(),
            dialed_generation: 0,
            restarts: 0,
            asked_early: false,
            told_decommissioned: false,
        }
    }

    /// Begins an attempt with the newest certificates; one that is under way is given up.
    fn dial(&mut self) {
        let live = self.link.certificates.current();
        self.dialed_generation = live.generation;
        let hello = self.link.hello(&live);
        let (target, tls) = (self.link.target.clone(), Arc::clone(&live.tls));
        self.attempt = Attempt::Dialing(Box::pin(async move { dial(&target, tls, hello).await }));
    }

    fn on_certificates(&mut self, live: &Live<ClientConfig>) {
        if live.generation != self.dialed_generation {
            self.backoff.reset();
            self.dial();
        }
    }

    fn on_reconnect(&mut self, reconnect: &Reconnect) {
        if !matches!(self.attempt, Attempt::Rest) {
            tracing::debug!(reason = reconnect.reason, "The next connection is being made already");
            return;
        }
        let spread = Duration::from_secs(reconnect.spread_seconds).min(LONGEST_SPREAD);
        let delay = spread.mul_f64((self.link.share)()).max(self.patience());
        tracing::info!(
            reason = reconnect.reason,
            delay_ms = milliseconds(delay),
            "The Console asks for a new connection"
        );
        self.attempt = Attempt::Wait(Instant::now() + delay);
    }

    /// A Console that asks each new connection for the next one must not make this Defender spin: only the first
    /// request soon after a welcome is followed as it is.
    fn patience(&mut self) -> Duration {
        self.note_good_session();
        let is_good = self.current.as_ref().is_some_and(Running::is_good);
        if is_good || !std::mem::replace(&mut self.asked_early, true) {
            return Duration::ZERO;
        }
        self.backoff.next((self.link.share)())
    }

    /// A good session starts all delays afresh.
    fn note_good_session(&mut self) {
        if self.current.as_ref().is_some_and(Running::is_good) {
            self.backoff.reset();
            self.restarts = 0;
            self.asked_early = false;
        }
    }

    /// The new session takes over, then the old one closes.
    async fn on_welcome(&mut self, dialed: Dialed) {
        let address = self.link.target.address.configured();
        tracing::info!(address, "Connected to Console");
        let heartbeat = dialed.welcome.heartbeat_seconds;
        self.link.board.connected(heartbeat, OffsetDateTime::now_utc());
        self.link.outbox.resume(dialed.welcome.last_seq).await;

        let (sender, reconnects) = mpsc::channel(1);
        let (outbox, board) = (self.link.outbox.clone(), self.link.board.clone());
        let session = Session::new(dialed, outbox, board, self.link.commands.clone(), sender);
        let retire = self.shutdown.child_token();
        let task = self.link.tasks.spawn("session", session.run(retire.clone()));
        let good_after = Duration::from_secs(heartbeat).min(GOOD_AFTER);
        let running = Running { task, reconnects, retire, good_after, since: Instant::now() };
        if let Some(old) = self.current.replace(running) {
            // The Console closes it with 4009 at the same time: whichever comes first, it is done.
            tracing::debug!("The new connection has taken over: closing the old one");
            old.retire.cancel();
        }
        self.attempt = Attempt::Rest;
        self.told_decommissioned = false;
        self.link.welcomed.send_replace(true);
    }

    fn on_ended(&mut self, ended: &Ended) {
        self.note_good_session();
        self.current = None;
        if self.shutdown.is_cancelled() {
            return;
        }
        let next = ended.next();
        if matches!(next, Next::Hourly) {
            self.idle(&ended.to_string());
            return;
        }
        let is_dialing = matches!(self.attempt, Attempt::Dialing(_));
        if is_dialing && ended.is_replaced() {
            // The Console has taken the new connection: its welcome is on the way.
            tracing::debug!("The old connection is closed: the new one takes over");
            return;
        }
        self.link.board.disconnected(ended.to_string(), OffsetDateTime::now_utc());
        if is_dialing {
            tracing::warn!(error = %ended, "Disconnected from Console; the next connection is being made");
            return;
        }
        let delay = self.delay(next);
        let remedy = ended.remedy();
        tracing::warn!(error = %ended, remedy, retry_in_ms = milliseconds(delay), "Disconnected from Console");
        self.wait(delay);
    }

    fn on_failure(&mut self, error: &DialError) {
        let next = match error {
            DialError::Closed { close, .. } => close.next(),
            _ => Next::BackOff,
        };
        let cause = error_chain(error);
        if matches!(next, Next::Hourly) {
            self.attempt = Attempt::Rest;
            self.idle(&cause);
            return;
        }
        let remedy = error.remedy();
        let now = OffsetDateTime::now_utc();
        let delay = self.delay(next);
        let retry_in_ms = milliseconds(delay);
        let address = self.link.target.address.configured();
        if self.current.is_some() {
            tracing::warn!(
                address,
                error = cause,
                remedy,
                retry_in_ms,
                "Cannot open a new connection to Console: the old one stays"
            );
            self.link.board.fault(format!("{cause}; {remedy}"), now);
        } else {
            tracing::warn!(address, error = cause, remedy, retry_in_ms, "Cannot connect to Console");
            self.link.board.disconnected(format!("{cause}; {remedy}"), now);
        }
        self.attempt = Attempt::Wait(Instant::now() + delay);
    }

    /// Decommissioned: asks again every hour, and at once when certificates change.
    fn idle(&mut self, cause: &str) {
        let remedy = DialError::Closed { close: Close::Decommissioned, reason: String::new() }.remedy();
        self.link.board.disconnected(format!("{cause}; {remedy}"), OffsetDateTime::now_utc());
        if self.told_decommissioned {
            tracing::debug!(error = cause, "Still decommissioned");
        } else {
            self.told_decommissioned = true;
            tracing::warn!(
                error = cause,
                remedy,
                retry_in_ms = milliseconds(HOURLY),
                "The Console has decommissioned this Defender: it idles and asks again every hour"
            );
        }
        self.attempt = Attempt::Wait(Instant::now() + HOURLY);
    }

    fn delay(&mut self, next: Next) -> Duration {
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
    fn wait(&mut self, delay: Duration) {
        let until = Instant::now() + delay;
        self.attempt = match &self.attempt {
            Attempt::Wait(earlier) if *earlier < until => Attempt::Wait(*earlier),
            _ => Attempt::Wait(until),
        };
    }
}

fn milliseconds(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}

/// How often a decommissioned Defender asks again.
const HOURLY: Duration = Duration::from_secs(60 * 60);

/// A Console that restarts has all its Defenders come at once: a little apart is enough.
const RESTART_JITTER: Duration = Duration::from_millis(100);

/// A Console that restarts again and again is given more time.
const RESTART_AGAIN_JITTER: Duration = Duration::from_secs(1);

/// A session that has lasted this long starts the back-off afresh when it ends.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// A Console that asks for more spread than this is mistaken.
const LONGEST_SPREAD: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests;
