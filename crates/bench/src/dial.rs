//! One connection of a simulated Defender: its own source address, TLS, WebSocket, hello, welcome.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use certs::{Channel, Found, Material, RawMaterial, tls};
use futures_util::{SinkExt as _, StreamExt as _};
use nix::sys::socket::{setsockopt, sockopt};
use protocol::message::{CertificateSource, CertificateSummary, DefenderIdentity, Hello, Welcome};
use protocol::{PATH, Payload, SUBPROTOCOL, ToConsole, ToDefender, Version};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use uuid::Uuid;

/// An open WebSocket.
pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Where to dial and with which certificate; shared by all Defenders of a fleet.
pub(crate) struct Dialer {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    certificate: CertificateSummary,
}

impl Dialer {
    /// To a listener on this machine, with the three bundle files of a directory.
    pub(crate) fn new(host: &str, port: u16, bundle: &Path) -> Result<Self> {
        let Found::Complete(raw) = RawMaterial::read(Channel::Defender, bundle)? else {
            bail!("{} lacks files of an install bundle", bundle.display())
        };
        let material = Material::parse(raw)?;
        let certificate = CertificateSummary {
            source: CertificateSource::SelfSigned,
            not_after: material.leaf().not_after,
            sha256: material.leaf().sha256.clone(),
        };
        let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host} is no name"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { address, name, tls: Arc::new(tls::defender_client(&material)?), certificate })
    }

    /// Connects from `source` and goes on until `welcome`.
    ///
    /// # Errors
    /// Whatever is refused, reset, or takes over 30 s: a herd waits in a queue.
    pub(crate) async fn join(&self, source: IpAddr, id: Uuid, boot: Uuid) -> Result<(Socket, Welcome)> {
        timeout(PATIENCE, self.join_patiently(source, id, boot)).await.context("dialling took too long")?
    }

    async fn join_patiently(&self, source: IpAddr, id: Uuid, boot: Uuid) -> Result<(Socket, Welcome)> {
        let mut socket = self.upgrade(self.connect(source).await?).await?;
        send(&mut socket, &ToConsole::Hello(self.hello(id, boot))).await?;
        loop {
            match receive(&mut socket).await? {
                Some(ToDefender::Welcome(welcome)) => return Ok((socket, welcome)),
                Some(_) => {}
                None => bail!("closed before welcome"),
            }
        }
    }

    async fn connect(&self, source: IpAddr) -> Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        // The port is chosen when connecting: by source and destination together there are enough.
        setsockopt(&socket.as_fd(), sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
        let tcp = socket.connect(self.address).await.context("connecting")?;
        tcp.set_nodelay(true)?;
        TlsConnector::from(Arc::clone(&self.tls)).connect(self.name.clone(), tcp).await.context("TLS")
    }

    async fn upgrade(&self, stream: TlsStream<TcpStream>) -> Result<Socket> {
        let mut request = format!("wss://localhost{PATH}").into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let limits = Some(small_buffers());
        let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, limits)
            .await
            .context("WebSocket upgrade")?;
        Ok(socket)
    }

    fn hello(&self, id: Uuid, boot: Uuid) -> Hello {
        let (hostname, _) = id.as_u64_pair();
        Hello {
            defender: DefenderIdentity {
                id,
                hostname: format!("node-{hostname:x}-{}", id.as_u128() & 0xffff),
                version: Version::own().to_string(),
                os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
                kernel: "6.1.0-18-amd64".to_owned(),
                arch: "x86_64".to_owned(),
                cluster: None,
            },
            boot,
            certificate: self.certificate.clone(),
            authorities: Vec::new(),
            time: None,
        }
    }
}

/// Buffers of an idle connection: as small as is sensible, on both servers and on this side.
pub(crate) fn small_buffers() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_message_size(Some(protocol::MAX_MESSAGE_BYTES))
        .max_frame_size(Some(protocol::MAX_MESSAGE_BYTES))
}

/// Sends one message.
pub(crate) async fn send(socket: &mut Socket, message: &ToConsole) -> Result<()> {
    let frame = match protocol::encode(message)? {
        Payload::Binary(data) => Message::binary(data),
        Payload::Text(text) => Message::text(text),
    };
    Ok(socket.send(frame).await?)
}

/// The next message; `None` once the connection is closed. Pings are answered by the library. Cancel-safe.
pub(crate) async fn receive(socket: &mut Socket) -> Result<Option<ToDefender>> {
    loop {
        let limit = protocol::MAX_MESSAGE_BYTES;
        return match socket.next().await {
            Some(Ok(Message::Text(text))) => Ok(Some(protocol::codec::decode_text(&text, limit)?)),
            Some(Ok(Message::Binary(data))) => Ok(Some(protocol::codec::decode_binary(&data, limit)?)),
            Some(Ok(Message::Close(_))) | None => Ok(None),
            Some(Ok(_)) => continue,
            Some(Err(error)) => Err(error.into()),
        };
    }
}

/// A loopback address of its own for each Defender of a fleet: 127.1.0.0 and up.
pub(crate) fn source_address(index: u32) -> IpAddr {
    let [_, b, c, d] = (index + (1 << 16)).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, b, c, d.max(1)))
}

/// Host and port of `wss://HOST:PORT`, which must be on this machine.
pub(crate) fn parse_address(address: &str) -> Result<(String, u16)> {
    let rest = address.strip_prefix("wss://").context("the address is wss://HOST:PORT")?;
    let (host, port) = rest.rsplit_once(':').context("the address lacks a port")?;
    ensure!(["localhost", "127.0.0.1"].contains(&host), "a fleet talks to localhost only, not to {host}");
    Ok((host.to_owned(), port.parse().context("the port")?))
}

/// Longer than any queue on the way to a welcome.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_addresses_are_loopback_and_no_network_or_broadcast_address() {
        for index in [0, 1, 255, 256, 65_535, 65_536, 18_000] {
            let address = source_address(index);
            assert!(address.is_loopback(), "{address}");
        }
        assert_ne!(source_address(7), source_address(8));
    }

    #[test]
    fn only_this_machine_is_dialled() {
        assert_eq!(parse_address("wss://localhost:8084").expect("fine"), ("localhost".to_owned(), 8084));
        for wrong in
            ["wss://example.com:8084", "https://localhost:8084", "wss://localhost", "wss://localhost:x"]
        {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }
}
