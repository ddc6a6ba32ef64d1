//! Clients that take too much of the HTTPS listener: connections, time, and what they send or do not read.

use std::time::{Duration, Instant};

use reqwest::Method;
use system_tests::{Api, TestConsole, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_take_all_connections_and_another_is_served() {
    system_tests::raise_descriptor_limit();
    let console = TestConsole::start().await;
    let mut held = Vec::new();
    for _ in 0..1024 {
        held.push(TcpStream::connect(("127.0.0.1", console.https)).await.expect("accepted"));
    }
    // One more is closed at once, while other addresses are served.
    let mut extra = TcpStream::connect(("127.0.0.1", console.https)).await.expect("accepted");
    let end = tokio::time::timeout(Duration::from_secs(5), extra.read(&mut [0; 1])).await.expect("closed");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    console.program().line("Too many HTTPS connections of one address").await;
    let mut other = TcpStream::connect(("::1", console.https)).await.expect("accepted");
    let open = tokio::time::timeout(Duration::from_secs(1), other.read(&mut [0; 1])).await;
    assert!(open.is_err(), "waits for a handshake: {open:?}");
    drop(held);
    eventually("the address is served again", system_tests::SOON, async || {
        let answer = Api::anonymous(console.https).try_call(Method::GET, "_ping", None).await;
        answer.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_and_bodies_that_drip_are_cut_in_time() {
    let console = TestConsole::start().await;
    let dialer = system_tests::Dialer::blind();
    let began = Instant::now();
    let mut headers = dialer.dial(console.https).await.expect("a handshake");
    headers.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.expect("open");
    let mut body = dialer.dial(console.https).await.expect("a handshake");
    let head = b"POST /api/v1/authenticate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
    body.write_all(head).await.expect("open");
    let mut answer = Vec::new();
    let deadline = Duration::from_secs(45);
    let _ = tokio::time::timeout(deadline, body.read_to_end(&mut answer)).await.expect("cut in time");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request-timeout"), "{answer}");
    let left = deadline.saturating_sub(began.elapsed());
    let _ = tokio::time::timeout(left, headers.read_to_end(&mut Vec::new())).await.expect("cut in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_long_are_refused_and_hold_nothing() {
    let console = TestConsole::start().await;
    for length in [66_000, 100_000, 130_000, 1_000_000] {
        let mut stream = system_tests::Dialer::blind().dial(console.https).await.expect("a handshake");
        let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "a".repeat(length));
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.flush().await;
        let mut answer = vec![0; 12];
        let read =
            tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut answer)).await.expect("cut");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(read.is_err() || answer == "HTTP/1.1 431", "{length}: {answer}");
    }
    let head = format!(
        "GET /api/v1/_ping HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\nConnection: close\r\n\r\n",
        "a".repeat(60_000)
    );
    let mut stream = system_tests::Dialer::blind().dial(console.https).await.expect("a handshake");
    stream.write_all(head.as_bytes()).await.expect("open");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
