//! Alerts on their way to real receivers (docs/alerts.md).

use lifecycle::Tasks;
use std::sync::{Arc, Mutex};

use reqwest::Method;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use system_tests::place::Manner;
use system_tests::{Api, Channel, OpensslPki, PemSet, SOON, TestConsole, eventually};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

/// What a receiver got, whole connections in order.
type Got = Arc<Mutex<Vec<String>>>;

fn acceptor(set: &PemSet) -> TlsAcceptor {
    system_tests::tls::install_provider();
    let chain = CertificateDer::pem_slice_iter(set.cert.as_bytes()).map(|one| one.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_slice(set.key.as_bytes()).expect("PEM");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("fits");
    TlsAcceptor::from(Arc::new(config))
}

/// Reads one POST and answers it.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: &str) -> String {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part).await.unwrap_or(0);
        text.extend_from_slice(&part[..read]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                break;
            }
        }
        if read == 0 {
            break;
        }
    }
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    String::from_utf8(text).expect("UTF-8")
}

/// An HTTPS receiver that refuses the first `refused` messages.
async fn receiver(set: &PemSet, refused: usize) -> (u16, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (acceptor, got) = (acceptor(set), Got::default());
    let shared = Arc::clone(&got);
    Tasks::new().spawn("receiver", async move {
        let mut count = 0;
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            count += 1;
            let status = if count <= refused { "503 Not now" } else { "204 Taken" };
            let text = answer(stream, status).await;
            shared.lock().expect("whole").push(text);
        }
    });
    (port, got)
}

/// A server that reads whole connections.
async fn sink(acceptor: Option<TlsAcceptor>) -> (u16, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let got = Got::default();
    let shared = Arc::clone(&got);
    Tasks::new().spawn("receiver", async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut text = String::new();
            match &acceptor {
                None => drop(stream.read_to_string(&mut text).await),
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(mut stream) => drop(stream.read_to_string(&mut text).await),
                    Err(_) => continue,
                },
            }
            shared.lock().expect("whole").push(text);
        }
    });
    (port, got)
}

async fn set(api: &Api, settings: Value) {
    let answer = api.call(Method::POST, "settings/alerts", Some(settings)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn try_out(api: &Api, channel: &str) -> Value {
    api.call(Method::POST, "settings/alerts/test", Some(json!({ "channel": channel }))).await.json()
}

/// A set whose key belongs to another certificate.
fn spoil(console: &TestConsole) {
    let mut bad = OpensslPki::new().server();
    bad.key = OpensslPki::new().server().key;
    Manner::Renamed.place(&console.custom_dir(), &Channel::Https.files(&bad));
}

fn got(all: &Got) -> Vec<String> {
    all.lock().expect("whole").clone()
}

/// The messages of an event, by identity.
fn messages(all: &Got, event: &str) -> Vec<(String, Value)> {
    let bodies = got(all).into_iter().filter_map(|text| {
        let body = text.split_once("\r\n\r\n")?.1.to_owned();
        Some((text, serde_json::from_str(&body).ok()?))
    });
    bodies.filter(|(_, body): &(String, Value)| body["event"] == event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_set_reaches_the_webhook_signed_after_refusals_and_a_kill_and_is_over_once_a_set_is_taken()
{
    let pki = OpensslPki::new();
    let (port, all) = receiver(&pki.server(), 2).await;
    let mut console = TestConsole::start().await;
    let api = console.api().await;
    let events = api.events().await;
    let url = format!("https://localhost:{port}/hook");
    set(&api, json!({"webhookUrl": url, "webhookCa": pki.ca, "webhookSecret": "a key for tests"})).await;
    spoil(&console);
    events.expect("alert.raised", |data| data["alert"] == "certificates-refused").await;
    eventually("a first attempt", SOON, async || got(&all).first().cloned().ok_or("none")).await;
    Manner::Renamed.place(&console.custom_dir(), &Channel::Https.files(&OpensslPki::new().server()));
    eventually("the alert is over", SOON, async || {
        let open = console.api().await.get("alerts?open=true").await;
        if open == json!([]) { Ok(()) } else { Err(open) }
    })
    .await;
    console.kill_and_restart().await;
    eventually("both messages", SOON * 2, async || {
        let (raised, resolved) = (messages(&all, "alert.raised"), messages(&all, "alert.resolved"));
        if raised.len() > 1 && !resolved.is_empty() { Ok(()) } else { Err(got(&all)) }
    })
    .await;
    let raised = messages(&all, "alert.raised");
    assert!(raised.iter().all(|(_, body)| body == &raised[0].1), "the same at each attempt: {raised:?}");
    let (text, body) = &raised[0];
    assert!(text.contains(&format!("garrison-delivery: {}", body["id"].as_str().expect("an id"))), "{text}");
    let header = text.lines().find_map(|line| line.strip_prefix("garrison-signature: ")).expect("signed");
    let body = text.split_once("\r\n\r\n").expect("a body").1;
    assert_eq!(documented_check(header, body, "a key for tests"), "genuine");
    assert_eq!(documented_check(header, body, "another key"), "forged or old");
    assert_eq!(
        documented_check(header, &body.replace("refused", "taken"), "a key for tests"),
        "forged or old"
    );
}

/// What the example in `docs/alerts.md` says, as it stands there.
fn documented_check(header: &str, body: &str, secret: &str) -> String {
    let document = include_str!("../../docs/alerts.md");
    let script =
        document.split_once("```sh\n").and_then(|(_, rest)| rest.split_once("```")).expect("a script").0;
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("body.json"), body).expect("written");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-e", "-c", script]).env("header", header).env("secret", secret).current_dir(dir.path());
    let output = shell.output().expect("a shell");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_out_says_what_happened_and_what_to_do() {
    let pki = OpensslPki::new();
    let (port, all) = receiver(&pki.server(), 0).await;
    let console = TestConsole::start().await;
    let api = console.api().await;
    set(&api, json!({"webhookUrl": format!("https://localhost:{port}/secret-path")})).await;
    let stranger = try_out(&api, "webhook").await;
    assert_eq!(stranger["ok"], false, "{stranger}");
    assert!(stranger["remedy"].as_str().is_some_and(|text| text.contains("CA certificate")), "{stranger}");
    assert!(!stranger.to_string().contains("secret-path"), "{stranger}");
    assert!(got(&all).is_empty(), "nothing was sent to a stranger");
    set(&api, json!({"webhookCa": pki.ca})).await;
    let taken = try_out(&api, "webhook").await;
    assert_eq!((&taken["ok"], &taken["status"]), (&json!(true), &json!(204)), "{taken}");
    assert_eq!(messages(&all, "alert.test").len(), 1);
    set(&api, json!({"syslogAddress": "localhost:1", "syslogTransport": "tcp"})).await;
    let refused = try_out(&api, "syslog").await;
    assert_eq!(refused["ok"], false, "{refused}");
    assert!(refused["remedy"].as_str().is_some_and(|text| text.contains("port")), "{refused}");
    assert_eq!(try_out(&api, "banner").await["ok"], true);
    assert_eq!(api.get("alerts?open=true").await[0]["kind"], "test");
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_arrives_over_udp_tcp_and_tls_whole_and_counted() {
    let pki = OpensslPki::new();
    let console = TestConsole::start().await;
    let api = console.api().await;
    let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("127.0.0.1:{}", udp.local_addr().expect("bound").port());
    set(&api, json!({"syslogAddress": address, "syslogTransport": "udp"})).await;
    assert_eq!(try_out(&api, "syslog").await["ok"], true);
    let mut datagram = vec![0; 65_536];
    let (length, _) =
        tokio::time::timeout(SOON, udp.recv_from(&mut datagram)).await.expect("soon").expect("one");
    let line = String::from_utf8(datagram[..length].to_vec()).expect("UTF-8");
    assert!(line.starts_with("<134>1 ") && line.contains(" alert.test [garrison@32473 id="), "{line}");
    for (transport, acceptor) in [("tcp", None), ("tls", Some(acceptor(&pki.server())))] {
        let (port, all) = sink(acceptor).await;
        let address = format!("localhost:{port}");
        let settings = json!({"syslogAddress": address, "syslogTransport": transport, "syslogCa": pki.ca});
        set(&api, settings).await;
        let tried = try_out(&api, "syslog").await;
        assert_eq!(tried["ok"], true, "{transport}: {tried}");
        let frame = eventually("a frame", SOON, async || got(&all).first().cloned().ok_or("none")).await;
        let (count, line) = frame.split_once(' ').expect("a count");
        assert_eq!(count.parse(), Ok(line.len()), "{frame}");
        assert!(line.starts_with("<134>1 "), "{frame}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_that_stays_away_is_told_of_until_it_is_back() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    set(&api, json!({"disconnectedAfterMinutes": 0.05})).await;
    let events = api.events().await;
    let identity = api.bundle().await;
    let id = uuid::Uuid::new_v4();
    let (wire, _) = system_tests::Wire::join(console.defenders, &identity, id).await.expect("welcome");
    wire.close().await;
    events.expect("alert.raised", |data| data["alert"] == "defender-disconnected").await;
    let open = api.get("alerts?open=true").await;
    assert_eq!(open[0]["condition"], format!("disconnected/{id}"), "{open}");
    let (_wire, _) = system_tests::Wire::join(console.defenders, &identity, id).await.expect("welcome");
    events.expect("alert.resolved", |data| data["alert"] == "defender-disconnected").await;
}
