//! Tests of `dial.rs`: every cause of a failed attempt is told apart.

use rustls::CertificateError;
use testpki::{Ca, Leaf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::fake::{FakeConsole, client, hello};

async fn refused(console: &FakeConsole, tls: Arc<ClientConfig>) -> DialError {
    let target = console.target();
    let (dialed, _) = tokio::join!(dial(&target, tls, hello()), console.accept_tls());
    let error = dialed.expect_err("refused");
    assert!(!error.remedy().is_empty());
    error
}

#[tokio::test]
async fn succeeds_once_the_console_has_said_welcome() {
    let console = FakeConsole::new().await;
    let hello = hello();
    let target = console.target();
    let (dialed, peer) = tokio::join!(dial(&target, console.client(), hello.clone()), console.welcome(7));
    let dialed = dialed.expect("welcomed");
    assert_eq!(dialed.welcome.last_seq, 7);
    assert!(dialed.ahead_seconds.is_some_and(|ahead| ahead < -60), "its clock is of the year 2020");
    assert!(peer.hello.time.is_some());
    assert_eq!(Hello { time: None, ..peer.hello }, hello);
}

#[tokio::test]
async fn a_console_whose_certificate_we_refuse_is_told_by_what_is_wrong() {
    let ca = Ca::new("console");
    for (leaf, expected) in [
        (Leaf::server(&["localhost"]).expired(), "it is expired"),
        (Leaf::server(&["localhost"]).not_yet_valid(), "it is not valid yet"),
        (Leaf::server(&["elsewhere.example"]), "it is not made for the name localhost"),
    ] {
        let pair = ca.issue(&leaf);
        let console = FakeConsole::with(Ca::new("clients"), &pair).await;
        let error = refused(&console, client(&ca, &ca.issue(&Leaf::client("defender")))).await;
        assert!(matches!(error, DialError::ConsoleCertificate { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let console = FakeConsole::new().await;
    let error = refused(&console, client(&ca, &ca.issue(&Leaf::client("defender")))).await;
    assert!(error.to_string().contains("defender-ca.pem holds no CA that issued it"), "{error}");
}

#[tokio::test]
async fn a_console_that_refuses_our_certificate_is_told_apart() {
    let console = FakeConsole::new().await;
    let stranger = Ca::new("stranger");
    let error = refused(&console, client(&console.ca, &stranger.issue(&Leaf::client("defender")))).await;
    assert!(matches!(error, DialError::OwnCertificate { .. }), "{error:?}");
    let error = refused(&console, client(&console.ca, &console.ca.issue(&Leaf::client("d").expired()))).await;
    assert!(error.to_string().contains("it is expired"), "{error}");
    assert!(error.remedy().contains("renew"), "{}", error.remedy());
}

#[tokio::test]
async fn an_upgrade_that_is_refused_names_the_http_status() {
    let console = FakeConsole::new().await;
    let target = console.target();
    let serve = async {
        let mut tls = console.accept_tls().await.expect("a handshake");
        let mut request = [0; 2048];
        let _ = tls.read(&mut request).await.expect("a request");
        tls.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await.expect("sent");
        tls.flush().await.expect("sent");
        tls
    };
    let (dialed, _tls) = tokio::join!(dial(&target, console.client(), hello()), serve);
    assert!(matches!(dialed, Err(DialError::Upgrade { status: 503 })), "{dialed:?}");
}

#[tokio::test]
async fn a_server_that_speaks_another_protocol_is_no_console() {
    let console = FakeConsole::new().await;
    let target = console.target();
    let serve = async {
        let tls = console.accept_tls().await.expect("a handshake");
        tokio_tungstenite::accept_async(tls).await
    };
    let (dialed, _socket) = tokio::join!(dial(&target, console.client(), hello()), serve);
    assert!(matches!(dialed, Err(DialError::WebSocket(_))), "{dialed:?}");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut target = console.target();
    let port = listener.local_addr().expect("bound").port();
    target.address = format!("wss://127.0.0.1:{port}").parse().expect("an address");
    let serve = async {
        let (mut tcp, _) = listener.accept().await.expect("accepted");
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("sent");
        tcp
    };
    let (dialed, _tcp) = tokio::join!(dial(&target, console.client(), hello()), serve);
    assert!(matches!(dialed, Err(DialError::Tls(_))), "{dialed:?}");
}

#[tokio::test]
async fn a_close_before_welcome_is_told_by_its_code() {
    let console = FakeConsole::new().await;
    let target = console.target();
    for code in [4000, 4001, 4003, 4010, 1012, 1009] {
        let close = async {
            let mut peer = console.accept().await;
            peer.close(code).await;
            peer
        };
        let (dialed, _peer) = tokio::join!(dial(&target, console.client(), hello()), close);
        let error = dialed.expect_err("closed");
        let DialError::Closed { close, reason } = &error else { panic!("{error:?}") };
        assert_eq!((close.code(), reason.as_str()), (code, "on purpose"));
        assert!(error.to_string().contains(&code.to_string()), "{error}");
    }
    let hang_up = async { drop(console.accept().await) };
    let (dialed, ()) = tokio::join!(dial(&target, console.client(), hello()), hang_up);
    assert!(matches!(dialed, Err(DialError::Ended | DialError::Stream(_))), "{dialed:?}");
}

#[tokio::test]
async fn an_answer_that_is_no_welcome_is_refused_and_an_unknown_one_ignored() {
    let console = FakeConsole::new().await;
    let target = console.target();
    let welcome = r#"{"type":"welcome","console":{"version":"1.0.0"},"heartbeat_seconds":30,"last_seq":0}"#;
    for (text, expected) in [
        ("{".to_owned(), "not a message"),
        (r#"{"type":"ack","seq":1}"#.to_owned(), "another message came before welcome"),
        (welcome.replace("\"last_seq\":0", "\"last_seq\":9007199254740991"), "it claims to have report"),
        (format!("{{\"type\":\"{}\"}}", "x".repeat(20_000)), "message is over"),
    ] {
        let answer = async {
            let mut peer = console.accept().await;
            peer.say_raw(r#"{"type":"from-the-future"}"#).await;
            peer.say_raw(&text).await;
            peer.closed().await
        };
        let (dialed, code) = tokio::join!(dial(&target, console.client(), hello()), answer);
        let error = dialed.expect_err(expected);
        assert_eq!(code, if expected == "message is over" { 1009 } else { 4000 });
        let is_about_identity = expected == "it claims to have report";
        assert_eq!(error.remedy().contains("new identity"), is_about_identity, "{}", error.remedy());
        let text = lifecycle::logging::error_chain(&error);
        assert!(
            text.starts_with("the Console's answer to hello cannot be used") && text.contains(expected),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_console_that_is_not_there_is_told_apart_from_a_name_that_is_not_known() {
    let console = FakeConsole::new().await;
    let mut target = console.target();
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
    target.address = format!("wss://{free}").parse().expect("an address");
    let dialed = dial(&target, console.client(), hello()).await;
    assert!(matches!(dialed, Err(DialError::Connect { address, .. }) if address == free), "{dialed:?}");
    target.address = "wss://console.invalid".parse().expect("an address");
    let dialed = dial(&target, console.client(), hello()).await;
    assert!(matches!(dialed, Err(DialError::Resolve { .. })), "{dialed:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn every_step_has_its_limit() {
    for step in [Step::Resolve, Step::Tls, Step::Upgrade, Step::Welcome] {
        let error = DialError::TimedOut { step };
        assert!(error.to_string().ends_with("took longer than 10 s"), "{error}");
        assert!(!error.remedy().is_empty());
    }
}

#[tokio::test]
async fn a_heartbeat_out_of_bounds_is_brought_back_into_them() {
    let console = FakeConsole::new().await;
    let target = console.target();
    for (named, used) in [(0, 1), (1, 1), (600, 600), (601, 600), (u64::MAX, 600)] {
        let answer = async {
            let mut peer = console.accept().await;
            peer.welcome(0, named).await;
            peer
        };
        let (dialed, _peer) = tokio::join!(dial(&target, console.client(), hello()), answer);
        assert_eq!(dialed.expect("welcomed").welcome.heartbeat_seconds, used, "{named}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_consoles_certificate_is_told_in_words() {
    let target = FakeConsole::new().await.target();
    let other = |name: &'static str| {
        CertificateError::Other(rustls::OtherError(Arc::new(std::io::Error::other(name))))
    };
    let sha1 = CertificateError::UnsupportedSignatureAlgorithmContext {
        signature_algorithm_id: vec![6; 200],
        supported_algorithms: Vec::new(),
    };
    for (cause, reason, remedy) in [
        (sha1, "SHA-1", "SHA-256"),
        (other("UnsupportedCertVersion"), "version 1", "version 3"),
        (other("CaUsedAsEndEntity"), "of a CA", "a server certificate"),
        (other("EndEntityUsedAsCa"), "is no CA", "issued by a CA"),
        (CertificateError::InvalidPurpose, "extended key usage", "serverAuth"),
        (other(&*"x".repeat(500).leak()), "xxx…", "certs check"),
    ] {
        let error = std::io::Error::other(rustls::Error::InvalidCertificate(cause));
        let error = DialError::from_tls(error, &target);
        let text = error.to_string();
        assert!(text.contains(reason) && text.len() < 200, "{text}");
        assert!(error.remedy().contains(remedy), "{}", error.remedy());
    }
}

#[test]
fn a_broken_connection_is_told_without_the_address_of_a_manual() {
    for (text, expected) in [
        (
            "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/x",
            "the peer closed the connection without TLS close_notify",
        ),
        ("odd: https://docs.rs/x", "odd"),
        ("connection reset", "connection reset"),
    ] {
        assert_eq!(in_plain_words(std::io::Error::other(text)).to_string(), expected);
    }
}
