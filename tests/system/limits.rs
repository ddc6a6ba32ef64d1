//! What the Defender listener does not let in, and that it cannot be filled up.

use std::time::Duration;

use futures_util::future::join_all;
use rustls::{HandshakeKind, NamedGroup};
use system_tests::{Dialer, OpensslPki, SOON, TestConsole, Wire};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn the_defender_listener_speaks_tls_1_3_only_and_https_from_1_2_on() {
    let console = TestConsole::start().await;
    let old = Dialer::versions(&[&rustls::version::TLS12]);
    old.dial(console.defenders).await.expect_err("TLS 1.2 is refused");
    old.dial(console.https).await.expect("TLS 1.2 is the least for HTTPS");
    Dialer::versions(&[&rustls::version::TLS13]).dial(console.https).await.expect("TLS 1.3 for HTTPS");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defender_listener_agrees_on_a_post_quantum_exchange_and_issues_no_tickets() {
    let console = TestConsole::start().await;
    let identity = console.api().await.bundle().await;
    let (dialer, tickets) = Dialer::counting(&identity);
    for _ in 0..2 {
        let stream = dialer.dial(console.defenders).await.expect("a handshake");
        let seen = system_tests::tls::seen(&stream);
        assert_eq!(seen.group, NamedGroup::X25519MLKEM768);
        assert_ne!(seen.kind, HandshakeKind::Resumed);
        // A ticket would come with or before the first answer.
        let mut wire = Wire::upgrade(stream, protocol::SUBPROTOCOL).await.expect("an upgrade");
        wire.send(&system_tests::wire::hello(Uuid::new_v4())).await;
        wire.expect("welcome").await;
        assert_eq!(tickets.count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_agrees_on_http_2_and_http_1_1() {
    let console = TestConsole::start().await;
    for offered in [["h2", "http/1.1"], ["http/1.1", "none"]] {
        let seen = Dialer::blind().alpn(&offered).look(console.https).await.expect("a handshake");
        assert_eq!(seen.alpn.as_deref(), Some(offered[0]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_without_a_certificate_or_with_a_foreign_or_a_servers_one_are_refused() {
    let console = TestConsole::start().await;
    let own = console.api().await.bundle().await;
    let anonymous =
        Dialer::blind().dial(console.defenders).await.expect("the refusal comes with the first read");
    assert!(Wire::upgrade(anonymous, protocol::SUBPROTOCOL).await.is_err());
    let pki = OpensslPki::new();
    for mut foreign in [pki.client(), pki.server()] {
        foreign.ca = own.ca.clone();
        assert!(Wire::connect(console.defenders, &foreign.into()).await.is_err());
    }
    Wire::join(console.defenders, &own, Uuid::new_v4()).await.expect("its own is welcome");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_path_subprotocol_or_no_websocket_is_refused_by_http() {
    let console = TestConsole::start().await;
    let identity = console.api().await.bundle().await;
    let dialer = Dialer::with_identity(&identity);
    let stream = dialer.dial(console.defenders).await.expect("a handshake");
    assert!(Wire::upgrade(stream, "defender.v999").await.is_err());
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", protocol::PATH),
        "nonsense\r\n\r\n".to_owned(),
        format!("GET {} HTTP/1.1\r\n{}", protocol::PATH, "X-Padding: x\r\n".repeat(100_000)),
    ] {
        let mut stream = dialer.dial(console.defenders).await.expect("a handshake");
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection is closed after {}", &request[..request.len().min(60)]);
        assert!(!String::from_utf8_lossy(&answer).contains(" 101 "));
    }
    Wire::join(console.defenders, &identity, Uuid::new_v4()).await.expect("a good Defender gets in");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_silent_connections_do_not_keep_a_good_defender_out() {
    system_tests::raise_descriptor_limit();
    let console = TestConsole::start().await;
    let api = console.api().await;
    let identity = api.bundle().await;
    let address = ("127.0.0.1", console.defenders);
    let mut silent: Vec<TcpStream> = Vec::new();
    for _ in 0..20 {
        let opened = join_all((0..100).map(|_| TcpStream::connect(address))).await;
        silent.extend(opened.into_iter().flatten());
    }
    assert_eq!(silent.len(), 2000, "no connect is refused");
    let begin = std::time::Instant::now();
    for _ in 0..5 {
        Wire::join(console.defenders, &identity, Uuid::new_v4()).await.expect("a good Defender gets in");
    }
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert_eq!(Dialer::blind().get(console.https, "/api/v1/_ping").await.expect("HTTPS answers").0, 200);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_cut_when_its_handshake_takes_over_ten_seconds() {
    let console = TestConsole::start().await;
    for port in [console.defenders, console.https] {
        let mut silent = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        let mut byte = [0];
        let read = tokio::time::timeout(SOON, silent.read(&mut byte)).await;
        assert!(matches!(read, Ok(Ok(0) | Err(_))), "port {port}: {read:?}");
    }
}
