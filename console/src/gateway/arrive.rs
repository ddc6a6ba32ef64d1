//! One connection up to its `welcome`: TLS, upgrade and `hello`, each with its deadline, then the judgement.
//!
//! Everything that is refused here is refused with its own cause, in the log and to the peer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use certs::{CertificateFacts, Source};
use futures_util::FutureExt as _;
use protocol::message::{ConsoleIdentity, Hello, Welcome};
use protocol::{Close, DecodeError, MAX_HELLO_BYTES, STEP_TIMEOUT, ToConsole, Version};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::renewal::{Origin, Renewal};
use super::session::{self, Admitted, Session, Socket};
use super::upgrade::{UpgradeError, Upgraded, upgrade};
use super::{farewell, peer};
use crate::announced::{self, AnnouncementError};
use crate::door::{Place, SilentError};
use crate::enroll::{ClientCredential, Enrolment};
use crate::fleet::{Arrival, EventKind, Fleet};
use crate::meet::dialed_name;
use crate::metrics::Handshake;
use crate::refusals::{Cause, Peer};

/// Why a connection did not become a session.
#[derive(Debug, Error)]
enum Refusal {
    #[error(transparent)]
    Announcement(AnnouncementError),
    #[error("{0:?}: {cause}", cause = .0.cause())]
    Closed(Close),
    #[error("hello cannot be read")]
    Hello(#[from] DecodeError),
    #[error("the peer went away before hello")]
    Left,
    #[error("waiting for the handshake")]
    Silent(#[source] SilentError),
    #[error("{0} took longer than {seconds} s", seconds = STEP_TIMEOUT.as_secs())]
    TimedOut(&'static str),
    #[error("TLS handshake")]
    Tls {
        #[source]
        source: io::Error,
        /// What the peer has shown.
        leaf: Option<Box<CertificateFacts>>,
    },
    #[error("WebSocket upgrade")]
    Upgrade(#[from] UpgradeError),
    #[error("WebSocket before hello")]
    WebSocket(#[source] Box<WsError>),
}

/// A connection that has said who it is.
struct Greeting {
    socket: Socket,
    hello: Hello,
    /// What its certificate says.
    credential: ClientCredential,
    /// What secured it.
    source: Source,
    /// Generation of the configuration that it shook hands with.
    generation: u64,
    /// The name that it expects in our certificate, as far as it has said.
    name: Option<String>,
}

impl super::Inner {
    /// Takes one connection as far as it goes: refused with a cause, or a session in a task of its own (a task
    /// keeps the memory of its largest state, and a handshake is larger than a session).
    pub(super) async fn arrive(self: Arc<Self>, stream: TcpStream, mut address: SocketAddr, place: Place) {
        let welcomed = tokio::select! {
            welcomed = self.receive(stream, &mut address, &place) => welcomed,
            () = self.shutdown.cancelled() => return,
        };
        drop(place);
        self.metrics.handshake(welcomed.as_ref().map_or_else(Refusal::outcome, |_| Handshake::Welcomed));
        match welcomed {
            Ok(session) => {
                let tasks = self.tasks.clone();
                tasks.spawn("defender session", session.run(self));
            }
            Err(refusal) => {
                refusal.log(address);
                self.note_handshake(refusal, address);
            }
        }
    }

    /// `address` becomes that of the Defender when a proxy announces it.
    async fn receive(
        &self,
        mut stream: TcpStream,
        address: &mut SocketAddr,
        place: &Place,
    ) -> Result<Box<Session>, Refusal> {
        *address = announced::client(&mut stream, *address, place).await?;
        let address = *address;
        place
            .in_turn(|| async move {
                let greeting = self.shake_hands(stream).await?;
                self.judge(greeting, address).await
            })
            .await
    }

    async fn shake_hands(&self, stream: TcpStream) -> Result<Greeting, Refusal> {
        // Small frames both ways: waiting to fill a packet would only add delay.
        let _ = stream.set_nodelay(true);
        let live = self.tls.current();
        let accepting = TlsAcceptor::from(Arc::clone(&live.tls)).accept(stream);
        let (accepted, leaf) = certs::shown(in_time("TLS handshake", accepting)).await;
        let tls = accepted?.map_err(|source| {
            let leaf = leaf.and_then(|der| CertificateFacts::read(&der)).map(Box::new);
            Refusal::Tls { source, leaf }
        })?;
        let credential = tls.get_ref().1.peer_certificates().and_then(peer::credential);
        let unreadable = || Refusal::Tls { source: io::ErrorKind::InvalidData.into(), leaf: None };
        let credential = credential.ok_or_else(unreadable)?;
        let server_name = tls.get_ref().1.server_name().map(str::to_owned);
        let Upgraded { mut socket, host } = in_time("WebSocket upgrade", upgrade(tls)).await??;
        let name = dialed_name(server_name.as_deref(), host.as_deref());
        let (source, generation) = (live.source, live.generation);
        match in_time("hello", read_hello(&mut socket)).await {
            Ok(Ok(hello)) => Ok(Greeting { socket, hello, credential, source, generation, name }),
            Ok(Err(refusal)) | Err(refusal) => {
                if let Some(close) = refusal.close() {
                    farewell::close(&mut socket, close).await;
                }
                Err(refusal)
            }
        }
    }

    /// Remembers a handshake that failed for a certificate, on either side.
    fn note_handshake(&self, refusal: Refusal, address: SocketAddr) {
        let Refusal::Tls { source, leaf } = refusal else { return };
        let Some(error) = source.get_ref().and_then(|source| source.downcast_ref()) else { return };
        let now = OffsetDateTime::now_utc();
        let is_gone = leaf.as_ref().is_some_and(|leaf| self.guard.refuses_leaf(leaf));
        let Some((cause, detail)) = Cause::of_handshake(error, leaf.as_deref(), is_gone, now) else { return };
        let peer = Peer {
            defender: leaf.as_ref().and_then(|leaf| peer::holder(leaf)),
            hostname: None,
            certificate: leaf.map(|leaf| *leaf),
        };
        self.refusals.note(cause, &detail, address.ip(), peer, now);
    }

    /// Takes the Defender in, or closes the connection with the code that says why not.
    async fn judge(&self, greeting: Greeting, address: SocketAddr) -> Result<Box<Session>, Refusal> {
        let Greeting { mut socket, hello, credential, source, generation, name } = greeting;
        let now = OffsetDateTime::now_utc();
        let origin = Origin { source, address: address.ip() };
        let verdict = verdict(&self.fleet, &self.enrolment, &hello, &credential, origin, now);
        let arrival = match verdict {
            Ok(arrival) => arrival,
            Err(Verdict { close, cause }) => {
                let now = OffsetDateTime::now_utc();
                if let Some(reason) = Cause::of_close(close) {
                    let chain = socket.get_ref().get_ref().1.peer_certificates();
                    let certificate = chain.and_then(|chain| CertificateFacts::read(chain.first()?));
                    let (defender, hostname) = (Some(hello.defender.id), Some(hello.defender.hostname));
                    let peer = Peer { defender, hostname, certificate };
                    self.refusals.note(reason, &cause, address.ip(), peer, now);
                }
                farewell::close_saying(&mut socket, close, &cause).await;
                return Err(Refusal::Closed(close));
            }
        };
        tracing::info!(
            defender = hello.defender.id.to_string(),
            hostname = hello.defender.hostname,
            peer = address.to_string(),
            "Defender connected"
        );
        self.refusals.forget(hello.defender.id, address.ip());
        if let Some(name) = name {
            self.meeting.joined(hello.defender.id, &name);
        }
        let welcome = Welcome {
            console: ConsoleIdentity { version: Version::own().to_string() },
            // Whole seconds on the wire: rounded up, so that nobody is given up too early.
            heartbeat_seconds: self.heartbeat.as_secs() + u64::from(self.heartbeat.subsec_nanos() > 0),
            last_seq: arrival.session.stored(),
        };
        let renewal = Renewal::new(credential, origin, hello.authorities, &self.enrolment, now);
        let admitted = Admitted { socket, arrival, welcome, renewal, generation };
        Ok(Box::new(Session::new(admitted, self)))
    }
}

/// Takes a Defender in that has said `hello` and shown `credential`, on a connection of `origin`.
///
/// # Errors
/// [`Verdict`].
pub fn verdict(
    fleet: &Fleet,
    enrolment: &Enrolment,
    hello: &Hello,
    credential: &ClientCredential,
    Origin { source, address }: Origin,
    now: OffsetDateTime,
) -> Result<Arrival, Verdict> {
    if Version::parse(&hello.defender.version).is_some_and(|version| !Version::own().serves(version)) {
        return Err(Close::TooOld.into());
    }
    // First of all, because whoever is decommissioned must hear that and nothing else.
    if fleet.is_decommissioned(hello.defender.id) {
        return Err(Close::Decommissioned.into());
    }
    let was_waiting = enrolment.is_waiting(hello.defender.id);
    if let Err(refused) = enrolment.admit(credential, source, hello, address, now) {
        if !was_waiting && enrolment.is_waiting(hello.defender.id) {
            fleet.announce(now, EventKind::return_waiting(hello, address));
        }
        return Err(Verdict { close: refused.close(), cause: refused.to_string() });
    }
    let arrival = fleet.arrive(hello, address, now).map_err(|close| match close {
        Close::Replaced => Verdict { close, cause: CLONED.to_owned() },
        other => other.into(),
    })?;
    tell(&arrival, hello, address);
    if source == Source::Custom {
        fleet.see_certificate(hello.defender.id, &credential.sha256, credential.not_after);
    }
    Ok(arrival)
}

/// Why a Defender is not taken in.
#[derive(Debug)]
pub struct Verdict {
    /// The code to close with.
    pub close: Close,
    /// In words.
    pub cause: String,
}

impl From<Close> for Verdict {
    fn from(close: Close) -> Self {
        Self { close, cause: close.cause().to_owned() }
    }
}

impl From<AnnouncementError> for Refusal {
    fn from(error: AnnouncementError) -> Self {
        match error {
            AnnouncementError::Silent(silent) => Self::Silent(silent),
            error => Self::Announcement(error),
        }
    }
}

impl Refusal {
    fn log(&self, peer: SocketAddr) {
        let (peer, error) = (peer.to_string(), lifecycle::logging::error_chain(self));
        let remedy = match self {
            Self::Announcement(error) => error.remedy(),
            _ => None,
        };
        match remedy {
            Some(remedy) => tracing::warn!(peer, error, remedy, "Defender connection refused"),
            None => tracing::debug!(peer, error, "Defender connection refused"),
        }
    }

    /// What it is counted as.
    fn outcome(&self) -> Handshake {
        match self {
            Self::Announcement(_) | Self::Hello(_) | Self::WebSocket(_) => Handshake::Malformed,
            Self::Closed(close) => closed_as(*close),
            Self::Left => Handshake::Left,
            Self::Silent(_) => Handshake::Silent,
            Self::TimedOut(_) => Handshake::TimedOut,
            Self::Tls { .. } => Handshake::Tls,
            Self::Upgrade(_) => Handshake::Upgrade,
        }
    }

    /// How to tell the peer, where there is a WebSocket to tell it on.
    fn close(&self) -> Option<Close> {
        match self {
            Self::Closed(close) => Some(*close),
            Self::Hello(error) => Some(error.close()),
            Self::TimedOut(_) => Some(Close::Malformed),
            Self::WebSocket(error) => farewell::close_for(error),
            Self::Announcement(_) | Self::Left | Self::Silent(_) | Self::Tls { .. } | Self::Upgrade(_) => {
                None
            }
        }
    }
}

/// What a connection is counted as that was closed so before `welcome`.
fn closed_as(close: Close) -> Handshake {
    match close {
        Close::ApprovalNeeded => Handshake::ApprovalNeeded,
        Close::Decommissioned => Handshake::Decommissioned,
        Close::IdentityMismatch => Handshake::IdentityMismatch,
        Close::RegistrationRefused => Handshake::Registration,
        Close::Replaced => Handshake::Cloned,
        Close::TooOld => Handshake::TooOld,
        // The rest, but for malformed, is of sessions: none of it is said before there is one.
        Close::Done
        | Close::Malformed
        | Close::Other(_)
        | Close::Restart
        | Close::Revoked
        | Close::TooBig => Handshake::Malformed,
    }
}

/// Not an `async fn`, which would keep room for `future` twice: in a herd there are many of them.
fn in_time<F: Future>(step: &'static str, future: F) -> impl Future<Output = Result<F::Output, Refusal>> {
    timeout(STEP_TIMEOUT, future).map(move |ended| ended.map_err(|_| Refusal::TimedOut(step)))
}

/// The first message. The peer has shown a trusted certificate by now, so what it may make us read before it is
/// refused is bounded by the larger limit; what is accepted, by the smaller.
async fn read_hello(socket: &mut Socket) -> Result<Hello, Refusal> {
    loop {
        let message = match session::next(socket).await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(Refusal::WebSocket(Box::new(error))),
            None => return Err(Refusal::Left),
        };
        let decoded = match &message {
            Message::Text(text) => protocol::codec::decode_text(text, MAX_HELLO_BYTES)?,
            Message::Binary(data) => protocol::codec::decode_binary(data, MAX_HELLO_BYTES)?,
            Message::Close(_) => {
                farewell::answer_close(socket).await;
                return Err(Refusal::Left);
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        return match decoded {
            ToConsole::Hello(hello) => super::hello::sound(hello).ok_or(Refusal::Closed(Close::Malformed)),
            ToConsole::Unknown => continue,
            _ => Err(Refusal::Closed(Close::Malformed)),
        };
    }
}

/// What is odd about a Defender that is taken in.
fn tell(arrival: &Arrival, hello: &Hello, address: IpAddr) {
    let (defender, hostname) = (hello.defender.id.to_string(), hello.defender.hostname.as_str());
    if let Some(twin) = &arrival.cloned {
        tracing::warn!(
            defender,
            hostname,
            peer = address.to_canonical().to_string(),
            other_hostname = twin.hostname,
            other_peer = twin.address,
            remedy = Cause::Cloned.remedy(),
            "Two hosts use the identity of one Defender: the first one stays, the other one is refused"
        );
    }
    let ahead = arrival.row.clock_ahead_seconds().filter(|ahead| ahead.abs() > TOLERATED_SECONDS);
    if let Some(ahead) = ahead {
        let distance = lifecycle::duration::words(std::time::Duration::from_secs(ahead.unsigned_abs()));
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        tracing::warn!(
            defender,
            hostname,
            ahead_seconds = ahead,
            remedy = "set the clocks of both hosts, and keep them by NTP",
            "A Defender's clock is {distance} {direction} the Console's"
        );
    }
}

/// Why the copy of a host is refused; fits a close frame.
const CLONED: &str =
    "another host with this identity is connected: give each host a data directory of its own";

/// `hello` may come late, and nobody minds seconds.
const TOLERATED_SECONDS: i64 = 60;
