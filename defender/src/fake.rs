//! For tests: a Console that does what a test tells it, over real TLS and a real WebSocket, and what a Defender needs
//! in order to reach it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certs::{Channel, CustomDir, Found, Material, Outcome, RawMaterial, Rotation, Subscriber};
use futures_util::{SinkExt as _, StreamExt as _};
use lifecycle::{Journal, Tasks};
use protocol::message::{
    Ack, CertificateSource, CertificateSummary, ConsoleIdentity, DefenderIdentity, Hello, Message as _,
    Report, Welcome,
};
use protocol::{SUBPROTOCOL, ToConsole, ToDefender};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::value::RawValue;
use tempfile::TempDir;
use testpki::{Ca, Leaf, Pair, Writing, write_console_defender, write_defender};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::commands::Commands;
use crate::dial::Target;
use crate::outbox::{Limits, Outbox};
use crate::status::Board;

/// A Console on a free port of 127.0.0.1.
pub(crate) struct FakeConsole {
    pub(crate) ca: Ca,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

/// The Console's end of one connection.
pub(crate) struct Peer {
    pub(crate) socket: WebSocketStream<TlsStream<TcpStream>>,
    pub(crate) hello: Hello,
}

impl FakeConsole {
    pub(crate) async fn new() -> Self {
        let ca = Ca::new("console");
        let server = ca.issue(&Leaf::server(&["localhost", "127.0.0.1"]));
        Self::with(ca, &server).await
    }

    pub(crate) async fn with(ca: Ca, server: &Pair) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        write_console_defender(dir.path(), &ca, server, Writing::Atomic);
        let config = certs::tls::console_defender(
            &material(Channel::ConsoleDefender, dir.path()),
            &certs::Guard::default(),
        )
        .expect("config");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self { ca, listener, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    pub(crate) fn target(&self) -> Target {
        let port = self.listener.local_addr().expect("bound").port();
        let address = format!("wss://127.0.0.1:{port}").parse().expect("an address");
        Target { address, server_name: ServerName::try_from("localhost").expect("a name"), proxy: None }
    }

    /// A client configuration that this Console takes.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        client(&self.ca, &self.ca.issue(&Leaf::client("defender")))
    }

    /// The next connection, up to TLS.
    pub(crate) async fn accept_tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let (tcp, _) = self.listener.accept().await?;
        self.acceptor.accept(tcp).await
    }

    /// The next connection, up to its `hello`.
    pub(crate) async fn accept(&self) -> Peer {
        let tls = self.accept_tls().await.expect("a good handshake");
        let mut socket =
            tokio_tungstenite::accept_hdr_async(tls, name_subprotocol).await.expect("an upgrade");
        let first = socket.next().await.expect("a frame").expect("a frame");
        let ToConsole::Hello(hello) = message(&first) else { panic!("not hello: {first}") };
        Peer { socket, hello }
    }

    /// The next connection, welcomed.
    pub(crate) async fn welcome(&self, last_seq: u64) -> Peer {
        let mut peer = self.accept().await;
        peer.welcome(last_seq, 30).await;
        peer
    }
}

impl Peer {
    pub(crate) async fn welcome(&mut self, last_seq: u64, heartbeat_seconds: u64) {
        let console = ConsoleIdentity { version: "0.1.0".to_owned() };
        self.say(&ToDefender::Welcome(Welcome { console, heartbeat_seconds, last_seq })).await;
    }

    pub(crate) async fn say(&mut self, message: &ToDefender) {
        self.say_raw(&message.to_tagged().expect("JSON")).await;
    }

    pub(crate) async fn say_raw(&mut self, text: &str) {
        self.socket.send(Message::Text(text.to_owned().into())).await.expect("sent");
    }

    pub(crate) async fn acknowledge(&mut self, seq: u64) {
        self.say(&ToDefender::Ack(Ack { seq })).await;
    }

    pub(crate) async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "on purpose".into() };
        self.socket.send(Message::Close(Some(frame))).await.expect("sent");
    }

    /// The next data message.
    pub(crate) async fn hear(&mut self) -> ToConsole {
        loop {
            let frame = self.socket.next().await.expect("a frame").expect("a frame");
            if matches!(frame, Message::Text(_) | Message::Binary(_)) {
                return message(&frame);
            }
        }
    }

    pub(crate) async fn hear_report(&mut self) -> Report {
        match self.hear().await {
            ToConsole::Report(report) => report,
            other => panic!("not a report: {other:?}"),
        }
    }

    /// The code that the Defender closes with; reports on the way are skipped.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.socket.next().await.expect("a frame").expect("a frame") {
                Message::Close(frame) => return frame.expect("a code").code.into(),
                _ => continue,
            }
        }
    }
}

/// The certificates of a Defender in a watched directory, rotating for real.
pub(crate) struct Certificates {
    pub(crate) dir: TempDir,
    pub(crate) subscriber: Subscriber<ClientConfig>,
    _outcomes: mpsc::Receiver<Outcome>,
    _bundle: watch::Sender<Arc<Material>>,
}

impl Certificates {
    pub(crate) fn new(ca: &Ca, tasks: &Tasks, shutdown: &CancellationToken) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let bundle = tempfile::tempdir().expect("directory");
        write_defender(bundle.path(), ca, &ca.issue(&Leaf::client("defender")), Writing::Atomic);
        let (bundle, fallback) = watch::channel(Arc::new(material(Channel::Defender, bundle.path())));
        let custom = CustomDir::open(dir.path(), Duration::from_secs(1));
        let build = certs::tls::defender_client;
        let (subscriber, rotation) =
            Rotation::start(Channel::Defender, &custom, None, fallback, build).expect("starts");
        let (outcomes, receiver) = mpsc::channel(16);
        tasks.spawn("rotation", rotation.run(outcomes, shutdown.clone()));
        Self { dir, subscriber, _outcomes: receiver, _bundle: bundle }
    }

    /// Puts a new set into the directory.
    pub(crate) fn rotate(&self, ca: &Ca) {
        write_defender(self.dir.path(), ca, &ca.issue(&Leaf::client("defender")), Writing::Atomic);
    }
}

/// What a Defender's parts need in a test.
pub(crate) struct Bench {
    pub(crate) tasks: Tasks,
    pub(crate) shutdown: CancellationToken,
    pub(crate) outbox: Outbox,
    pub(crate) board: Board,
    pub(crate) commands: Commands,
    _dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (tasks, shutdown) = (Tasks::new(), CancellationToken::new());
        let dir = tempfile::tempdir().expect("directory");
        let outbox = Outbox::open(dir.path(), Limits::default(), &tasks, shutdown.clone()).expect("opens");
        let board = Board::new("wss://console", OffsetDateTime::now_utc());
        let commands = Commands::new(Journal::new(1 << 20), Uuid::new_v4(), CancellationToken::new());
        Self { tasks, shutdown, outbox, board, commands, _dir: dir }
    }

    /// Stores reports with the bodies `1` to `count`.
    pub(crate) async fn append(&self, count: u64) {
        for number in 1..=count {
            let body = RawValue::from_string(number.to_string()).expect("JSON");
            self.outbox.append("host", body).await.expect("stored");
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn client(ca: &Ca, pair: &Pair) -> Arc<ClientConfig> {
    let dir = tempfile::tempdir().expect("directory");
    write_defender(dir.path(), ca, pair, Writing::Atomic);
    Arc::new(certs::tls::defender_client(&material(Channel::Defender, dir.path())).expect("config"))
}

pub(crate) fn hello() -> Hello {
    let sha256 = "00".repeat(32);
    let not_after = OffsetDateTime::now_utc();
    let certificate = CertificateSummary { source: CertificateSource::SelfSigned, not_after, sha256 };
    Hello { defender: identity(), boot: Uuid::new_v4(), certificate, authorities: Vec::new(), time: None }
}

pub(crate) fn identity() -> DefenderIdentity {
    let text = str::to_owned;
    DefenderIdentity {
        id: Uuid::new_v4(),
        hostname: text("host"),
        version: text("0.1.0"),
        os: text("Linux"),
        kernel: text("6"),
        arch: text("x86_64"),
        cluster: None,
    }
}

fn material(channel: Channel, dir: &Path) -> Material {
    match RawMaterial::read(channel, dir).expect("readable") {
        Found::Complete(raw) => Material::parse(raw).expect("good"),
        Found::Missing(names) => panic!("missing: {names:?}"),
    }
}

fn message(frame: &Message) -> ToConsole {
    match frame {
        Message::Text(text) => protocol::codec::decode_text(text, usize::MAX).expect("a message"),
        Message::Binary(data) => protocol::codec::decode_binary(data, 2 << 20).expect("a message"),
        other => panic!("not a message: {other}"),
    }
}

#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the signature is the library's")]
fn name_subprotocol(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let name = SUBPROTOCOL.parse().expect("a header value");
    response.headers_mut().insert("Sec-WebSocket-Protocol", name);
    response.headers_mut().insert("Date", "Sun, 22 Nov 2020 12:00:00 GMT".parse().expect("a header value"));
    Ok(response)
}
