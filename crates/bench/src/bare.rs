//! The server to compare with: rustls + tokio + tungstenite and nothing else. The same TLS configuration, keys and
//! buffers as the Console's; it answers `hello` with a fixed `welcome` and each report with its `ack`.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use certs::{Authority, Channel, tls};
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::message::{Ack, ConsoleIdentity, Welcome};
use protocol::{MAX_MESSAGE_BYTES, Payload, SUBPROTOCOL, ToConsole, ToDefender, codec};
use socket2::{Domain, Protocol, Socket, Type};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::cli::BareOptions;
use crate::dial::small_buffers;

/// Serves until it is killed; prints its port on standard error.
pub(crate) async fn serve(options: &BareOptions) -> Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls::console_defender(
        &material(&options.dir)?,
        &certs::Guard::default(),
    )?));
    let listener = listen()?;
    eprintln!("{READY}{}", listener.local_addr()?.port());
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        spawn(acceptor.clone(), stream);
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing but an accept loop: that is the point of it")]
fn spawn(acceptor: TlsAcceptor, stream: TcpStream) {
    tokio::spawn(async move {
        // A peer that goes away is no news.
        let _ = session(acceptor, stream).await;
    });
}

async fn session(acceptor: TlsAcceptor, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let tls = acceptor.accept(stream).await?;
    let limits = Some(small_buffers());
    let mut socket = tokio_tungstenite::accept_hdr_async_with_config(tls, name_subprotocol, limits).await?;
    while let Some(frame) = socket.next().await {
        let answer = match frame? {
            Message::Text(text) => answer(codec::decode_text(&text, MAX_MESSAGE_BYTES)?),
            Message::Binary(data) => answer(codec::decode_binary(&data, MAX_MESSAGE_BYTES)?),
            _ => None,
        };
        if let Some(answer) = answer {
            let frame = match protocol::encode(&answer)? {
                Payload::Binary(data) => Message::binary(data),
                Payload::Text(text) => Message::text(text),
            };
            socket.send(frame).await?;
        }
    }
    Ok(())
}

#[expect(clippy::result_large_err, reason = "the library's signature")]
fn name_subprotocol(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

fn answer(message: ToConsole) -> Option<ToDefender> {
    match message {
        ToConsole::Hello(_) => Some(ToDefender::Welcome(Welcome {
            console: ConsoleIdentity { version: "0.0.0".to_owned() },
            heartbeat_seconds: 30,
            last_seq: 0,
        })),
        ToConsole::Report(report) => Some(ToDefender::Ack(Ack { seq: report.seq })),
        _ => None,
    }
}

/// The authority and leaf that a Console would make for itself; the bundle goes to `dir/bundle`.
fn material(dir: &Path) -> Result<certs::Material> {
    let now = OffsetDateTime::now_utc();
    let authority = Authority::open_or_create(&dir.join("authority"), now)?;
    // With a registration a Defender would ask for a certificate, which nobody here would issue.
    let holder = certs::Holder::Defender("bench");
    let client = authority.issue_client(holder, "bench", Duration::from_secs(24 * 60 * 60), now)?;
    let bundle = dir.join("bundle");
    std::fs::create_dir_all(&bundle)?;
    let ca_pem = authority.ca_pem();
    let files = [
        ("defender-ca.pem", ca_pem.as_str()),
        ("defender-client-cert.pem", &client.cert_pem),
        ("defender-client-key.pem", &client.key_pem),
    ];
    for (name, content) in files {
        system_tests::place::write(&bundle.join(name), content.as_bytes());
    }
    Ok(authority.server_material(Channel::ConsoleDefender, &["localhost".to_owned()], now)?)
}

/// On all addresses, with the longest queue that the system grants.
fn listen() -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
    socket.listen(i32::from(u16::MAX))?;
    Ok(TcpListener::from_std(socket.into())?)
}

/// Before the port number, once connections are accepted.
pub(crate) const READY: &str = "bare server is ready on port ";
