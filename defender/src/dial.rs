//! One attempt to reach the Console: addresses, TCP (straight or through a proxy, `dial/tunnel.rs`), TLS, WebSocket,
//! `hello`, `welcome`.
//!
//! It has succeeded only when `welcome` was read: a TLS 1.3 client is done before the server has judged its
//! certificate, so a refusal arrives with the first read. Why an attempt failed is in `dial/error.rs`; what comes
//! after, in `session.rs`; when to try, in `link.rs`.

mod alert;
mod dates;
mod error;
mod step;
mod tunnel;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use protocol::message::{Hello, Welcome};
use protocol::{
    Close, MAX_HELLO_BYTES, MAX_MESSAGE_BYTES, PATH, STEP_TIMEOUT, SUBPROTOCOL, ToConsole, ToDefender,
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

pub(crate) use error::in_plain_words;
pub use error::{Answer, DialError};
pub use step::{About, Step};
pub use tunnel::TunnelError;
pub(crate) use tunnel::{reach, reach_by};

use crate::clock;
use crate::config::ConsoleAddress;
use crate::frame::{self, Socket};
use crate::proxy::Proxy;

/// Where to, and who is expected there.
#[derive(Debug, Clone)]
pub struct Target {
    /// The Console.
    pub address: ConsoleAddress,
    /// The name that its certificate must carry.
    pub server_name: ServerName<'static>,
    /// The proxy on the way, if any.
    pub proxy: Option<Proxy>,
}

/// A session that the Console has welcomed.
#[derive(Debug)]
pub struct Dialed {
    /// The line.
    pub(crate) socket: Socket,
    /// What the Console said.
    pub(crate) welcome: Welcome,
    /// How far its clock is ahead of ours, in seconds.
    pub(crate) ahead_seconds: Option<i64>,
}

/// Makes one attempt.
///
/// # Errors
/// [`DialError`], by cause. Cancel-safe: a dropped attempt closes its connection.
pub async fn dial(target: &Target, tls: Arc<ClientConfig>, hello: Hello) -> Result<Dialed, DialError> {
    let tcp = reach(target).await?;
    let tls = secure(tcp, target, tls).await?;
    let (socket, ahead_seconds) = upgrade(&target.address, tls).await?;
    let (socket, welcome) = greet(socket, hello).await?;
    Ok(Dialed { socket, welcome, ahead_seconds })
}

/// The first address of a host that answers.
async fn connect(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let lookup = tokio::net::lookup_host((host, port));
    let found = within(Step::Resolve, lookup).await?;
    let resolve = |source| DialError::Resolve { host: host.to_owned(), source };
    let addresses: Vec<SocketAddr> = found.map_err(resolve)?.collect();
    let mut last = None;
    // Each address gets its share of the time, so that one that never answers does not hide the next.
    let share = STEP_TIMEOUT / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    for address in addresses {
        let source = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => match tune(&tcp) {
                Ok(()) => return Ok(tcp),
                Err(error) => error,
            },
            Ok(Err(error)) => error,
            Err(_) => std::io::ErrorKind::TimedOut.into(),
        };
        last = Some(DialError::Connect { address, source });
    }
    Err(last.unwrap_or_else(|| resolve(std::io::Error::other("the name has no address"))))
}

/// Small messages go out at once, and a peer that is gone is noticed also while something waits to be sent.
fn tune(tcp: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_tcp_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(TCP_IDLE).with_interval(TCP_PROBE_INTERVAL).with_retries(TCP_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(TCP_UNANSWERED))
}

/// TLS, over a connection to the Console.
pub(crate) async fn secure(
    tcp: TcpStream,
    target: &Target,
    tls: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, DialError> {
    let connecting = TlsConnector::from(tls).connect(target.server_name.clone(), tcp);
    within(Step::Tls, connecting).await?.map_err(|error| DialError::from_tls(error, target))
}

/// The WebSocket, and how far the Console's clock is ahead.
async fn upgrade(
    address: &ConsoleAddress,
    tls: TlsStream<TcpStream>,
) -> Result<(Socket, Option<i64>), DialError> {
    let url = format!("wss://{}{PATH}", address.authority());
    let mut request = url.into_client_request().map_err(DialError::from_upgrade)?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    let upgrading = tokio_tungstenite::client_async_with_config(request, tls, Some(websocket_config()));
    let (socket, answer) = within(Step::Upgrade, upgrading).await?.map_err(DialError::from_upgrade)?;
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    Ok((socket, date.and_then(|date| clock::ahead_seconds(date, OffsetDateTime::now_utc()))))
}

/// An idle session is to cost little: small buffers. The write buffer holds one message of any size.
fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MAX_MESSAGE_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

async fn greet(mut socket: Socket, hello: Hello) -> Result<(Socket, Welcome), DialError> {
    let hello = Hello { time: Some(OffsetDateTime::now_utc()), ..hello };
    let frame =
        frame::write(&ToConsole::Hello(hello)).map_err(|error| DialError::Answer(Answer::Encode(error)))?;
    let greeting = async {
        socket.send(frame).await.map_err(DialError::from_stream)?;
        welcome(&mut socket).await
    };
    match within(Step::Welcome, greeting).await? {
        Ok(welcome) => Ok((socket, with_sound_heartbeat(welcome))),
        Err(error) => {
            if let Some(close) = error.close() {
                hang_up(&mut socket, close).await;
            }
            Err(error)
        }
    }
}

/// Says why, and lets the Console read it: a connection that is dropped at once may take the close frame along.
pub(crate) async fn hang_up(socket: &mut Socket, close: Close) {
    let closing = async {
        let frame = CloseFrame { code: close.code().into(), reason: close.cause().into() };
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = tokio::time::timeout(HANG_UP_TIMEOUT, closing).await;
}

/// A heartbeat out of bounds would have a silent Console noticed at once, or never.
fn with_sound_heartbeat(mut welcome: Welcome) -> Welcome {
    let sound = welcome.heartbeat_seconds.clamp(1, MAX_HEARTBEAT_SECONDS);
    if sound != welcome.heartbeat_seconds {
        tracing::warn!(
            heartbeat_seconds = welcome.heartbeat_seconds,
            used = sound,
            remedy = "set the Console's --heartbeat (CONSOLE_HEARTBEAT) to 1s to 10m",
            "The Console names a heartbeat out of bounds"
        );
        welcome.heartbeat_seconds = sound;
    }
    welcome
}

/// Reads up to `welcome`.
async fn welcome(socket: &mut Socket) -> Result<Welcome, DialError> {
    loop {
        let message = match socket.next().await {
            None => return Err(DialError::Ended),
            Some(message) => message.map_err(DialError::from_stream)?,
        };
        if let Message::Close(frame) = message {
            return Err(DialError::closed(frame));
        }
        let Some(answer) = frame::read(&message, MAX_HELLO_BYTES) else { continue };
        match answer.map_err(|error| DialError::Answer(error.into()))? {
            ToDefender::Unknown => {}
            ToDefender::Welcome(welcome) if welcome.last_seq >= MAX_SEQ => {
                return Err(DialError::Answer(Answer::LastSeq(welcome.last_seq)));
            }
            ToDefender::Welcome(welcome) => return Ok(welcome),
            _ => return Err(DialError::Answer(Answer::OutOfTurn)),
        }
    }
}

async fn within<F: Future>(step: Step, work: F) -> Result<F::Output, DialError> {
    tokio::time::timeout(STEP_TIMEOUT, work).await.map_err(|_| DialError::TimedOut { step })
}

/// The highest number that a Console takes (every JSON reader keeps it exactly). One that claims to have it leaves no
/// number for the next report; no Defender lives that long.
const MAX_SEQ: u64 = (1 << 53) - 1;

/// The longest heartbeat, ten minutes.
const MAX_HEARTBEAT_SECONDS: u64 = 600;

/// How long a Console may take to read why its answer cannot be used.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(1);

const TCP_IDLE: Duration = Duration::from_secs(30);
const TCP_PROBE_INTERVAL: Duration = Duration::from_secs(10);
const TCP_PROBES: u32 = 3;
const TCP_UNANSWERED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
