//! What a link is made of: the next connection, the present one, and one attempt with the request for a certificate
//! that may belong to it.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use certs::Live;
use lifecycle::logging::error_chain;
use protocol::Close;
use protocol::message::{DefenderIdentity, Reconnect};
use rustls::ClientConfig;
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Link;
use crate::ask;
use crate::candidates::{Candidate, Kind, candidates, own_candidate};
use crate::dial::{DialError, Dialed, Target, dial, hang_up};
use crate::enrol;
use crate::own::{Kept, OwnCertificate};
use crate::session::Ended;

/// One attempt to come.
pub(super) struct Call {
    pub(super) target: Target,
    pub(super) identity: DefenderIdentity,
    pub(super) boot: Uuid,
    pub(super) own: Option<OwnCertificate>,
}

/// A connection, and what it was dialed with.
pub(super) struct Reached {
    pub(super) dialed: Dialed,
    pub(super) candidate: Candidate,
}

impl Link {
    /// What there is to dial with, the best first.
    pub(super) fn candidates(&self, live: &Live<ClientConfig>) -> Vec<Candidate> {
        let kept = self.own.as_ref().and_then(|own| own.subscribe().borrow().clone());
        let bundle = self.bundle.as_ref().map(|bundle| Arc::clone(&bundle.borrow()));
        candidates(live, kept.as_ref(), bundle.as_ref())
    }
}

impl Call {
    /// Dials. With a registration it first asks for a certificate, and dials again with that: the second connection is
    /// up before the first one closes.
    pub(super) async fn make(self, candidate: Candidate) -> Result<Reached, DialError> {
        let mut dialed = self.dial(&candidate).await?;
        let own = self.own.as_ref().filter(|_| candidate.kind == Kind::Registration);
        let Some(own) = own else { return Ok(Reached { dialed, candidate }) };
        if !enrol::ask(&mut dialed.socket, own).await {
            return Ok(Reached { dialed, candidate });
        }
        let kept = own.subscribe().borrow().clone();
        let Some(better) = own_candidate(kept.as_ref()) else { return Ok(Reached { dialed, candidate }) };
        match self.dial(&better).await {
            Ok(second) => {
                hang_up(&mut dialed.socket, Close::Done).await;
                Ok(Reached { dialed: second, candidate: better })
            }
            Err(error) => {
                tracing::warn!(
                    error = error_chain(&error),
                    remedy = error.remedy(),
                    "Cannot connect with the new certificate: the install bundle's goes on"
                );
                Ok(Reached { dialed, candidate })
            }
        }
    }

    async fn dial(&self, candidate: &Candidate) -> Result<Dialed, DialError> {
        let hello = candidate.hello(&self.identity, self.boot);
        match dial(&self.target, Arc::clone(&candidate.tls), hello).await {
            // Which clock is wrong, if one is? The peer is asked for its time and believed nothing else.
            Err(error) if error.is_about_dates() => {
                let answer = ask::unverified(&self.target, &candidate.material);
                let answer = tokio::time::timeout(ASK_TIMEOUT, answer).await.ok().flatten();
                Err(error.with_clock(answer.and_then(|answer| answer.ahead_seconds)))
            }
            dialed => dialed
                .map_err(|error| error.with_own_dates(candidate.material.leaf(), OffsetDateTime::now_utc())),
        }
    }
}

/// How long a Console may take to say what time it is.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Cancel-safe; never, where there is nothing to change.
pub(super) async fn changed(own: &mut Option<watch::Receiver<Option<Kept>>>) {
    let is_changed = match own {
        Some(own) => own.changed().await.is_ok(),
        None => false,
    };
    if !is_changed {
        pending().await
    }
}

/// The next connection.
pub(super) enum Attempt {
    /// Under way.
    Dialing(Pin<Box<dyn Future<Output = Result<Reached, DialError>> + Send>>),
    /// None is wanted: a session is up.
    Rest,
    /// Begins then.
    Wait(Instant),
}

pub(super) enum AttemptEvent {
    Done(Box<Result<Reached, DialError>>),
    Due,
}

/// A session at work, in a task of its own.
pub(super) struct Running {
    pub(super) task: JoinHandle<Ended>,
    pub(super) reconnects: mpsc::Receiver<Reconnect>,
    /// Asks it to close in good order.
    pub(super) retire: CancellationToken,
    /// A session that has lasted this long was a good one.
    pub(super) good_after: Duration,
    pub(super) since: Instant,
    /// What it was dialed with.
    pub(super) kind: Kind,
}

impl Running {
    pub(super) fn is_good(&self) -> bool {
        self.since.elapsed() >= self.good_after
    }
}

pub(super) enum SessionEvent {
    Ended(Ended),
    Reconnect(Reconnect),
}

/// Cancel-safe: a dialing future keeps its place.
pub(super) async fn next_of_attempt(attempt: &mut Attempt) -> AttemptEvent {
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
pub(super) async fn next_of_session(current: &mut Option<Running>) -> SessionEvent {
    let Some(running) = current else { return pending().await };
    tokio::select! {
        Some(reconnect) = running.reconnects.recv() => SessionEvent::Reconnect(reconnect),
        ended = &mut running.task => SessionEvent::Ended(ended.unwrap_or(Ended::Lost(None))),
    }
}

/// For log lines.
pub(super) fn milliseconds(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}
