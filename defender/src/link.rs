//! Keeps a session up: when to dial, how fast to try again, and make before break.
//!
//! At most one attempt and one current session at a time, side by side: after a rotation, or when the Console asks
//! for it, the session in use works on until the new one was welcomed, and only then closes. One attempt is in
//! `dial.rs`, one session in `session.rs`.

use std::sync::Arc;
use std::time::Duration;

use certs::{Live, Material, Subscriber};
use lifecycle::logging::error_chain;
use lifecycle::{Backoff, Tasks};
use protocol::Close;
use protocol::close::Next;
use protocol::message::{DefenderIdentity, Reconnect};
use rustls::ClientConfig;
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::candidates::{Candidate, Kind};
use crate::clock::Clock;
use crate::commands::Commands;
use crate::dial::{DialError, Target};
use crate::enrol::Basis;
use crate::outbox::Outbox;
use crate::own::OwnCertificate;
use crate::session::{Ended, Session};
use crate::status::Board;
use parts::{
    Attempt, AttemptEvent, Call, Reached, Running, SessionEvent, changed, milliseconds, next_of_attempt,
    next_of_session,
};

mod pace;
mod parts;

/// What a link needs.
#[derive(Debug)]
pub struct Link {
    /// Where to.
    pub target: Target,
    /// What to dial with; each new value makes the link dial anew.
    pub certificates: Subscriber<ClientConfig>,
    /// The certificate that the Console has issued; `None`: it is not asked.
    pub own: Option<OwnCertificate>,
    /// The install bundle, for when the Console cannot verify anything better.
    pub bundle: Option<watch::Receiver<Arc<Material>>>,
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
        let mut own = self.own.as_ref().map(OwnCertificate::subscribe);
        let mut state = State::new(self, shutdown.clone());
        state.dial();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                live = certificates.changed() => match live {
                    Some(live) => state.on_certificates(&live),
                    None => return shutdown.cancelled().await,
                },
                () = changed(&mut own) => state.on_own(),
                event = next_of_session(&mut state.current) => match event {
                    SessionEvent::Ended(ended) => state.on_ended(&ended),
                    SessionEvent::Reconnect(reconnect) => state.on_reconnect(&reconnect),
                },
                event = next_of_attempt(&mut state.attempt) => match event {
                    AttemptEvent::Done(outcome) => match *outcome {
                        Ok(reached) => state.on_welcome(reached).await,
                        Err(error) => state.on_failure(&error),
                    },
                    AttemptEvent::Due => state.dial_next(),
                },
            }
        }
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
    /// Which candidate is next.
    turn: usize,
    /// Whether the present connection was not dialed with the best there is.
    is_spare: bool,
    /// Whether the Console has asked for a new connection, so that the present one will not last.
    must_move: bool,
    /// Restarts (1012) since the last good session.
    restarts: u32,
    /// Whether a session that was not a good one (yet) was asked for a new connection, since the last good session.
    asked_early: bool,
    /// Whether the operator was told that the Console has decommissioned this Defender.
    told_decommissioned: bool,
    /// Compares this host's clock with the Console's.
    clock: Clock,
    /// Cause and remedy of a refusal for good, of one of the candidates since the best was last offered.
    revoked: Option<(String, String)>,
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
            turn: 0,
            is_spare: false,
            must_move: false,
            restarts: 0,
            asked_early: false,
            told_decommissioned: false,
            clock: Clock::default(),
            revoked: None,
        }
    }

    /// Begins an attempt with the best certificates; one that is under way is given up.
    fn dial(&mut self) {
        self.turn = 0;
        self.dial_next();
    }

    /// Begins an attempt with the next candidate.
    fn dial_next(&mut self) {
        let live = self.link.certificates.current();
        self.dialed_generation = live.generation;
        let candidates = self.link.candidates(&live);
        let Some(candidate) = candidates.get(self.turn).or(candidates.first()) else { return };
        self.turn = if self.turn < candidates.len() { self.turn } else { 0 };
        if self.turn == 0 {
            self.revoked = None;
        }
        let call = Call {
            target: self.link.target.clone(),
            identity: self.link.identity.clone(),
            boot: self.link.commands.boot(),
            own: self.link.own.clone(),
        };
        self.attempt = Attempt::Dialing(Box::pin(call.make(candidate.clone())));
    }

    fn on_certificates(&mut self, live: &Live<ClientConfig>) {
        if live.generation == self.dialed_generation {
            return;
        }
        self.backoff.reset();
        // The Console may have taken an attempt already and closed the old session for it: to give it up now would
        // leave this Defender without one. The newer certificates come next.
        if self.current.is_none() || !matches!(self.attempt, Attempt::Dialing(_)) {
            self.dial();
        }
    }

    /// Whether certificates have changed since the last attempt began.
    fn is_outdated(&self) -> bool {
        self.link.certificates.current().generation != self.dialed_generation
    }

    /// The Console has issued another certificate, or named other CAs: the connection moves over, unless it is being
    /// made, or custom certificates are in use.
    fn on_own(&mut self) {
        let is_dialing = matches!(self.attempt, Attempt::Dialing(_));
        let Some(current) = self.current.as_ref().filter(|_| !is_dialing) else { return };
        if current.kind != Kind::Custom {
            let candidates = self.link.candidates(&self.link.certificates.current());
            self.turn = candidates.iter().position(|one| one.kind == Kind::Own).unwrap_or(0);
            self.dial_next();
        }
    }

    fn on_reconnect(&mut self, reconnect: &Reconnect) {
        self.must_move = true;
        if matches!(self.attempt, Attempt::Dialing(_)) {
            tracing::debug!(reason = reconnect.reason, "The next connection is being made already");
            // Whatever was refused before may be taken now: the next attempts begin with short delays.
            self.note_good_session();
            return;
        }
        let spread = Duration::from_secs(reconnect.spread_seconds).min(LONGEST_SPREAD);
        let delay = spread.mul_f64((self.link.share)()).max(self.patience());
        tracing::info!(
            reason = reconnect.reason,
            delay_ms = milliseconds(delay),
            "The Console asks for a new connection"
        );
        self.turn = 0;
        self.wait(delay);
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
    async fn on_welcome(&mut self, reached: Reached) {
        let Reached { dialed, candidate: Candidate { kind, material, .. } } = reached;
        let address = self.link.target.address.configured();
        tracing::info!(address, "Connected to Console");
        self.clock.compare(dialed.ahead_seconds);
        let heartbeat = dialed.welcome.heartbeat_seconds;
        self.link.board.connected(heartbeat, OffsetDateTime::now_utc());
        self.link.outbox.resume(dialed.welcome.last_seq).await;

        let (sender, reconnects) = mpsc::channel(1);
        let Link { outbox, board, commands, .. } = &self.link;
        let session = Session::new(dialed, outbox.clone(), board.clone(), commands.clone(), sender);
        let session = match (&self.link.own, kind) {
            (Some(own), Kind::Own) => session.renewing(own.clone(), Basis::Own),
            (Some(own), Kind::Registration) => session.renewing(own.clone(), Basis::Registration),
            _ => session,
        };
        let retire = self.shutdown.child_token();
        let task = self.link.tasks.spawn("session", session.run(retire.clone()));
        let good_after = Duration::from_secs(heartbeat).min(GOOD_AFTER);
        let running = Running { task, reconnects, retire, good_after, since: Instant::now(), kind };
        if let Some(old) = self.current.replace(running) {
            // The Console closes it with 4009 at the same time: whichever comes first, it is done.
            tracing::debug!("The new connection has taken over: closing the old one");
            old.retire.cancel();
        }
        self.attempt = self.after_welcome(kind, &material);
        self.must_move = false;
        self.told_decommissioned = false;
        self.link.welcomed.send_replace(true);
        if self.is_outdated() {
            self.dial();
        }
    }

    /// Rests on the best that there is; on anything else, tries the best again after a while.
    fn after_welcome(&mut self, kind: Kind, material: &Material) -> Attempt {
        let candidates = self.link.candidates(&self.link.certificates.current());
        let best = candidates.first().filter(|best| best.material.fingerprint() != material.fingerprint());
        self.is_spare = best.is_some();
        let Some(best) = best else { return Attempt::Rest };
        tracing::warn!(
            used = kind.words(),
            better = best.kind.words(),
            "Connected, but not with the best certificates of this host: those are tried again every 5 minutes, and \
             when the Console's certificates change"
        );
        self.turn = 0;
        Attempt::Wait(Instant::now() + BETTER_AGAIN)
    }

    fn on_ended(&mut self, ended: &Ended) {
        self.note_good_session();
        self.current = None;
        if self.shutdown.is_cancelled() {
            return;
        }
        let next = ended.next();
        if matches!(next, Next::Hourly) {
            let remedy = DialError::Closed { close: Close::Decommissioned, reason: String::new() }.remedy();
            self.idle(&ended.to_string(), &remedy);
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
        if self.is_outdated() {
            return self.dial();
        }
        let next = match error {
            DialError::Closed { close, .. } => close.next(),
            _ => Next::BackOff,
        };
        let (cause, remedy) = (error_chain(error), error.remedy());
        if matches!(next, Next::Hourly) {
            self.attempt = Attempt::Rest;
            self.idle(&cause, &remedy);
            return;
        }
        if error.is_revoked() {
            self.revoked = Some((cause.clone(), remedy.clone()));
        }
        let now = OffsetDateTime::now_utc();
        let delay = self.delay_after(error, next);
        let was_last = self.turn == 0 && self.current.is_none() && error.is_about_certificates();
        if let Some((cause, remedy)) = self.revoked.take_if(|_| was_last) {
            self.idle(&cause, &remedy);
            return;
        }
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
    fn idle(&mut self, cause: &str, remedy: &str) {
        self.link.board.disconnected(format!("{cause}; {remedy}"), OffsetDateTime::now_utc());
        if self.told_decommissioned {
            tracing::debug!(error = cause, "Still decommissioned");
        } else {
            self.told_decommissioned = true;
            tracing::warn!(
                error = cause,
                remedy,
                retry_in_ms = milliseconds(HOURLY),
                "The Console has decommissioned this Defender: it idles and asks again every hour, or when its certificates change"
            );
        }
        self.attempt = Attempt::Wait(Instant::now() + HOURLY);
    }
}

/// How often the best certificates are tried while others are in use.
const BETTER_AGAIN: Duration = Duration::from_secs(5 * 60);

/// How often a decommissioned Defender asks again.
const HOURLY: Duration = Duration::from_secs(60 * 60);

/// A session that has lasted this long starts the back-off afresh when it ends.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// A Console that asks for more spread than this is mistaken.
const LONGEST_SPREAD: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests;
