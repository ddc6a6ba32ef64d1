//! TCP -> TLS -> router. The socket stays bound for the life of the Console; each handshake takes the newest
//! configuration, and a rotation asks the connections of older ones to end (`drain.rs`).

use std::convert::Infallible;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap};
use certs::Subscriber;
use lifecycle::Tasks;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::crowd::{Crowd, Guest};
use super::drain::Connection;
use super::forwarded;
use crate::announced::{self, AnnouncementError};
use crate::config::TrustedProxies;
use crate::door::{Door, Place};

/// What every listener of the API shares.
#[derive(Clone, Debug)]
pub struct FrontEnd {
    /// Answers the calls.
    pub router: Router,
    /// How long connections of an older configuration may finish.
    pub grace: Duration,
    /// Whose word about clients is believed.
    pub proxies: TrustedProxies,
    /// Owns the connections.
    pub tasks: Tasks,
    /// Ends the listeners; connections finish the call in flight.
    pub shutdown: CancellationToken,
}

/// Who is at the other end of a call's connection, or behind the trusted proxy that is.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// The address.
    pub(super) address: SocketAddr,
    /// How it speaks with the Console, or with the proxy in front.
    pub(super) scheme: Scheme,
    /// The host that it has called, where a proxy tells.
    pub(super) host: Option<Authority>,
    /// Cancelled when the connection should end: a rotation, or the Console stops.
    pub(super) ending: CancellationToken,
    /// Cancelled when the Console stops.
    pub(super) stopping: CancellationToken,
}

/// How a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Plain, from an ingress that terminates TLS.
    Http,
    /// TLS.
    Https,
}

/// The newest configuration, and the token of the connections that use it.
struct Generations {
    tls: Subscriber<ServerConfig>,
    shutdown: CancellationToken,
    newest: Mutex<(u64, CancellationToken)>,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    #[error(transparent)]
    Announcement(#[from] AnnouncementError),
    #[error("more connections of one address than it may have")]
    Crowded,
    #[error("TLS handshake")]
    Io(#[from] std::io::Error),
    #[error("TLS handshake took longer than {} s", HANDSHAKE.as_secs())]
    TimedOut(#[from] tokio::time::error::Elapsed),
}

impl FrontEnd {
    /// Serves HTTPS until `shutdown`, with what `tls` holds at each handshake.
    pub async fn serve(self, listener: TcpListener, tls: Subscriber<ServerConfig>, door: Door) {
        let generations = Arc::new(Generations::new(tls.clone(), self.shutdown.clone()));
        self.tasks.spawn("https rotation", Arc::clone(&generations).follow(tls));
        let mut faults = AcceptFaults::default();
        let crowd = Crowd::default();
        while let Some((stream, address, place)) = self.accept_at(&listener, &door, &mut faults).await {
            let guest = match self.is_proxy(address) {
                true => None,
                // Closed before a handshake, which would cost more than it tells.
                false => match crowd.enter(address, "connections") {
                    None => continue,
                    guest => guest,
                },
            };
            let arrival = Arrival { stream, address, place, guest };
            let handshake = self.clone().handshake(arrival, crowd.clone(), Arc::clone(&generations));
            self.tasks.spawn("https handshake", handshake);
        }
    }

    /// Serves plain HTTP until `shutdown`.
    pub async fn serve_plain(self, listener: TcpListener) {
        let mut faults = AcceptFaults::default();
        let crowd = Crowd::default();
        while let Some((stream, address)) = self.accept(&listener, &mut faults).await {
            // As long as nobody has said which are the proxies, each may be one.
            let is_proxy = self.proxies.is_empty() || self.is_proxy(address);
            let guest = if is_proxy { None } else { crowd.enter(address, "connections") };
            if !is_proxy && guest.is_none() {
                continue;
            }
            let (ending, stopping) = (self.shutdown.child_token(), self.shutdown.clone());
            let peer = Peer { address, scheme: Scheme::Http, host: None, ending, stopping };
            let connection = self.connection(peer, crowd.clone()).http1(stream);
            self.tasks.spawn("http connection", stay(guest, connection));
        }
    }

    /// One that speaks for many: each of its clients is counted, not itself.
    fn is_proxy(&self, address: SocketAddr) -> bool {
        self.proxies.contains(address.ip())
    }

    /// The place is taken before the connection: without one, connections wait in the backlog.
    async fn accept_at(
        &self,
        listener: &TcpListener,
        door: &Door,
        faults: &mut AcceptFaults,
    ) -> Option<(TcpStream, SocketAddr, Place)> {
        let place = tokio::select! {
            place = door.place() => place?,
            () = self.shutdown.cancelled() => return None,
        };
        let (stream, address) = self.accept(listener, faults).await?;
        Some((stream, address, place))
    }

    /// The next connection; `None` at shutdown.
    async fn accept(
        &self,
        listener: &TcpListener,
        faults: &mut AcceptFaults,
    ) -> Option<(TcpStream, SocketAddr)> {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.cancelled() => return None,
            };
            match accepted {
                Ok((stream, address)) => {
                    // Of a peer that is gone already the next read tells.
                    let _ = stream.set_nodelay(true);
                    return Some((stream, SocketAddr::new(address.ip().to_canonical(), address.port())));
                }
                Err(error) => faults.wait(&error).await,
            }
        }
    }

    async fn handshake(self, mut arrival: Arrival, crowd: Crowd, generations: Arc<Generations>) {
        let peer = arrival.address;
        if let Err(error) = self.identify(&mut arrival, &crowd).await {
            return refused(peer, &error);
        }
        let Arrival { stream, address, place, guest } = arrival;
        match shake(stream, &place, &generations).await {
            Ok((stream, ending)) => {
                let stopping = self.shutdown.clone();
                let peer = Peer { address, scheme: Scheme::Https, host: None, ending, stopping };
                let connection = self.connection(peer, crowd);
                // A task keeps the size of its largest state: the connection gets a fresh one.
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    self.tasks.spawn("https connection", stay(guest, connection.http2(stream)));
                } else {
                    self.tasks.spawn("https connection", stay(guest, connection.http1(stream)));
                }
            }
            Err(error) => refused(address, &error),
        }
    }

    /// Waits for the first byte, and takes a proxy's word for whose connection it is.
    async fn identify(&self, arrival: &mut Arrival, crowd: &Crowd) -> Result<(), HandshakeError> {
        let Arrival { stream, address, place, guest } = arrival;
        let client = announced::client(stream, *address, place).await?;
        if client != *address && !self.is_proxy(client) {
            *guest = Some(crowd.enter(client, "connections").ok_or(HandshakeError::Crowded)?);
        }
        *address = client;
        Ok(())
    }

    fn connection(&self, peer: Peer, crowd: Crowd) -> Connection {
        let proxies = self.proxies.clone();
        Connection {
            router: self.router.clone(),
            crowd: proxies.contains(peer.address.ip()).then_some(crowd),
            peer,
            proxies,
            grace: self.grace,
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
            asked: CancellationToken::new(),
        }
    }
}

/// A connection whose handshake has not begun.
struct Arrival {
    stream: TcpStream,
    address: SocketAddr,
    place: Place,
    /// That it counts; `None` for a proxy.
    guest: Option<Guest>,
}

/// Counts the connection until it has ended.
async fn stay(guest: Option<Guest>, connection: impl Future<Output = ()>) {
    connection.await;
    drop(guest);
}

fn refused(peer: SocketAddr, error: &HandshakeError) {
    let peer = peer.to_string();
    let remedy = match error {
        HandshakeError::Announcement(error) => error.remedy(),
        _ => None,
    };
    let error = lifecycle::logging::error_chain(error);
    match remedy {
        Some(remedy) => tracing::warn!(peer, error, remedy, "HTTPS connection refused"),
        None => tracing::debug!(peer, error, "HTTPS handshake failed"),
    }
}

async fn shake(
    stream: TcpStream,
    place: &Place,
    generations: &Generations,
) -> Result<(TlsStream<TcpStream>, CancellationToken), HandshakeError> {
    let shake = async move || {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        // As late as possible: a client that dialled before a rotation and speaks after it gets the new one.
        let (tls, ending) = generations.newest();
        Ok::<_, std::io::Error>((hello.into_stream(tls).await?, ending))
    };
    // The deadline begins with the turn: however long the queue, each gets its time.
    Ok(place.in_turn(|| tokio::time::timeout(HANDSHAKE, shake())).await??)
}

impl Generations {
    fn new(tls: Subscriber<ServerConfig>, shutdown: CancellationToken) -> Self {
        let newest = Mutex::new((tls.current().generation, shutdown.child_token()));
        Self { tls, shutdown, newest }
    }

    /// Configuration and token in one step; the connections of an older one are told when it is not the newest.
    fn newest(&self) -> (Arc<ServerConfig>, CancellationToken) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.tls.current();
        if live.generation != newest.0 {
            let older = std::mem::replace(&mut *newest, (live.generation, self.shutdown.child_token()));
            older.1.cancel();
        }
        (Arc::clone(&live.tls), newest.1.clone())
    }

    /// Tells connections of a rotation also while nobody connects.
    async fn follow(self: Arc<Self>, mut tls: Subscriber<ServerConfig>) {
        loop {
            self.newest();
            tokio::select! {
                changed = tls.changed() => if changed.is_none() { return },
                () = self.shutdown.cancelled() => return,
            }
        }
    }
}

impl Peer {
    /// The client that the peer, a trusted proxy, speaks for.
    pub(super) fn behind(&self, headers: &HeaderMap, proxies: &TrustedProxies) -> Self {
        let told = forwarded::told(headers, proxies);
        Self {
            address: told.address.unwrap_or(self.address),
            scheme: told.scheme.unwrap_or(self.scheme),
            host: told.host,
            ..self.clone()
        }
    }

    /// The peer of a call; in tests without a connection, nobody.
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_else(|| Self {
            address: SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
            scheme: Scheme::Http,
            host: None,
            ending: CancellationToken::new(),
            stopping: CancellationToken::new(),
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// Logs that connections cannot be accepted, at most once a second, and keeps the loop from spinning.
#[derive(Default)]
struct AcceptFaults {
    logged: Option<Instant>,
}

impl AcceptFaults {
    async fn wait(&mut self, error: &std::io::Error) {
        use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        if self.logged.is_none_or(|logged| logged.elapsed() >= Duration::from_secs(1)) {
            self.logged = Some(Instant::now());
            tracing::error!(
                error = error.to_string(),
                remedy = "raise the limit of open files if that is the cause",
                "Cannot accept connections, trying again"
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

const HANDSHAKE: Duration = protocol::STEP_TIMEOUT;

#[cfg(test)]
mod tests;
