//! Rotation and stop, over real TLS.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

use super::*;
use crate::web::tests::{Api, get_as};

/// A listener with the API and `/slow`, which answers once told to.
struct Running {
    api: Api,
    address: SocketAddr,
    entered: Arc<Notify>,
    answer: Arc<Notify>,
    shutdown: CancellationToken,
    tasks: Tasks,
}

impl Running {
    async fn start(grace: Duration) -> Self {
        let api = Api::new().await;
        let (entered, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (entered, answer) = (Arc::clone(&entered), Arc::clone(&answer));
            get(move || async move {
                entered.notify_one();
                answer.notified().await;
                "slow"
            })
        };
        let router = api.router.clone().merge(Router::new().route("/slow", slow));
        let (tasks, shutdown) = (Tasks::new(), CancellationToken::new());
        let front_end = FrontEnd {
            router,
            grace,
            proxies: TrustedProxies::default(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tasks.spawn("listener", front_end.serve(listener, api.state.https.clone(), Door::new(64)));
        Self { api, address, entered, answer, shutdown, tasks }
    }

    async fn dial(&self, alpn: &[u8]) -> ClientStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        let ca =
            CertificateDer::from_pem_slice(self.api.renewal.authority().ca_pem().as_bytes()).expect("PEM");
        roots.add(ca).expect("a CA");
        let mut config = ClientConfig::builder_with_provider(certs::tls::provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(self.address).await.expect("never refused");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("never reset")
    }

    async fn http1(&self) -> (http1::SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
        let stream = TokioIo::new(self.dial(b"http/1.1").await);
        let (sender, connection) = http1::handshake(stream).await.expect("works");
        (sender, self.tasks.spawn("client", connection))
    }

    async fn http2(&self) -> (http2::SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
        let stream = TokioIo::new(self.dial(b"h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("works");
        (sender, self.tasks.spawn("client", connection))
    }

    /// Moves HTTPS to a new certificate, which is served when this returns.
    async fn rotate(&self) {
        let mut rotated = self.api.state.https.clone();
        rotated.changed().now_or_never();
        let generation = rotated.current().generation;
        let names = [format!("rotated-{generation}.example")];
        self.api.renewal.issue(&names, OffsetDateTime::now_utc()).expect("issued");
        let leaf = rotated.changed().await.expect("rotation runs").material.chain()[0].clone();
        let stream = self.dial(b"http/1.1").await;
        let served = stream.get_ref().1.peer_certificates().expect("verified")[0].clone();
        assert_eq!(served, leaf, "the next handshake has the new certificate");
    }
}

fn ask(path: &str) -> Request<Body> {
    Request::get(path).header("host", "localhost").body(Body::empty()).expect("valid")
}

async fn text_of(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("it takes milliseconds")
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_rotation_closes_idle_http1_connections_and_lets_the_call_in_flight_finish() {
    let running = Running::start(LONG).await;
    let (mut idle, idle_end) = running.http1().await;
    let page = soon(idle.send_request(ask("/api/v1/certs/ca.pem"))).await.expect("answered");
    assert!(page.headers().contains_key("strict-transport-security"));
    text_of(page).await;
    let (mut busy, busy_end) = running.http1().await;
    let call = running.tasks.spawn("call", async move { busy.send_request(ask("/slow")).await });
    soon(running.entered.notified()).await;

    soon(running.rotate()).await;
    soon(idle_end).await.expect("joins").expect("closed in good order");
    assert!(!call.is_finished());
    running.answer.notify_one();
    let response = soon(call).await.expect("joins").expect("answered");
    assert_eq!(response.headers()["connection"], "close");
    assert_eq!(text_of(response).await, "slow");
    soon(busy_end).await.expect("joins").expect("closed in good order");
}

#[tokio::test]
async fn a_rotation_says_goaway_on_http2_and_lets_the_call_in_flight_finish() {
    let running = Running::start(LONG).await;
    let (mut sender, end) = running.http2().await;
    let call = running.tasks.spawn("call", sender.send_request(ask("https://localhost/slow")));
    soon(running.entered.notified()).await;

    soon(running.rotate()).await;
    let refused = async {
        // GOAWAY takes a round trip; calls before it are answered.
        while sender.send_request(ask("https://localhost/")).await.is_ok() {}
    };
    soon(refused).await;
    assert!(!call.is_finished());
    running.answer.notify_one();
    assert_eq!(text_of(soon(call).await.expect("joins").expect("answered")).await, "slow");
    soon(end).await.expect("joins").expect("closed in good order");
}

#[tokio::test]
async fn a_client_that_connected_before_a_rotation_and_asks_after_it_is_answered() {
    let running = Running::start(LONG).await;
    let (mut sender, end) = running.http1().await;
    soon(running.rotate()).await;
    let response = soon(sender.send_request(ask("/api/v1/certs/ca.pem"))).await.expect("answered, not reset");
    assert_eq!(
        (response.status(), &response.headers()["connection"]),
        (StatusCode::OK, &"close".parse().unwrap())
    );
    text_of(response).await;
    soon(end).await.expect("joins").expect("closed in good order");
}

#[tokio::test]
async fn a_client_that_calls_without_a_pause_is_never_cut_off_between_two_calls() {
    let running = Running::start(LONG).await;
    for _ in 0..5 {
        let (mut sender, end) = running.http1().await;
        let calls = running.tasks.spawn("calls", async move {
            loop {
                let response = sender.send_request(ask("/api/v1/_ping")).await.expect("answered, not reset");
                let is_last = response.headers().contains_key("connection");
                text_of(response).await;
                if is_last {
                    return;
                }
            }
        });
        soon(running.rotate()).await;
        soon(calls).await.expect("told to close");
        soon(end).await.expect("joins").expect("closed in good order");
    }
}

#[tokio::test]
async fn without_grace_a_rotation_cuts_the_call_in_flight_at_once() {
    let running = Running::start(Duration::ZERO).await;
    let (mut http1, _http1_end) = running.http1().await;
    let (mut http2, _http2_end) = running.http2().await;
    let one = running.tasks.spawn("call", async move { http1.send_request(ask("/slow")).await });
    let two = running.tasks.spawn("call", http2.send_request(ask("https://localhost/slow")));
    soon(running.entered.notified()).await;
    soon(running.entered.notified()).await;
    soon(running.rotate()).await;
    soon(one).await.expect("joins").expect_err("cut");
    soon(two).await.expect("joins").expect_err("cut");
}

#[tokio::test]
async fn a_rotation_ends_event_streams_so_that_readers_come_back() {
    let running = Running::start(LONG).await;
    let (mut sender, end) = running.http1().await;
    let mut request = get_as("events", "admin");
    request.headers_mut().insert("host", "localhost".parse().expect("valid"));
    let mut events = soon(sender.send_request(request)).await.expect("answered").into_body();
    soon(events.frame()).await.expect("open").expect("the first comment");
    soon(running.rotate()).await;
    let rest = soon(events.collect()).await.expect("ended in good order").to_bytes();
    assert!(is_rotation(&rest), "{rest:?}");
    soon(end).await.expect("joins").expect("closed in good order");
}

fn is_rotation(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("event: certificates.rotated") && text.contains("\"console-https\"")
}

/// The number in the last `id:` of an event stream.
fn last_id(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().expect("an id").to_owned()
}

#[tokio::test]
async fn every_reader_of_events_hears_of_the_rotation_before_its_stream_ends_or_after_it_came_back() {
    let events = |last: Option<&str>| {
        let mut request = get_as("events", "admin");
        request.headers_mut().insert("host", "localhost".parse().expect("valid"));
        if let Some(last) = last {
            request.headers_mut().insert("last-event-id", last.parse().expect("valid"));
        }
        request
    };
    for grace in [LONG, Duration::ZERO] {
        let running = Running::start(grace).await;
        let mut readers = Vec::new();
        for _ in 0..4 {
            let (mut sender, connection) = running.http1().await;
            let mut body = soon(sender.send_request(events(None))).await.expect("answered").into_body();
            let first = soon(body.frame()).await.expect("open").expect("fine").into_data().expect("data");
            readers.push((sender, connection, body, first.to_vec()));
        }
        soon(running.rotate()).await;
        for (_sender, _connection, mut body, mut text) in readers {
            while let Some(Ok(frame)) = soon(body.frame()).await {
                text.extend(frame.into_data().expect("data"));
            }
            if grace == LONG {
                assert!(is_rotation(&text), "{text:?}");
            }
            if !is_rotation(&text) {
                let (mut sender, _connection) = running.http1().await;
                let request = events(Some(&last_id(&text)));
                let mut body = soon(sender.send_request(request)).await.expect("answered").into_body();
                while !is_rotation(&text) {
                    let frame = soon(body.frame()).await.expect("open").expect("fine");
                    text.extend(frame.into_data().expect("data"));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_before_it_is_sent_and_one_host_is_asked_for() {
    let running = Running::start(LONG).await;
    let large = || {
        let body = Body::from(vec![b' '; 3 * 1024 * 1024]);
        let request = Request::post("https://localhost/api/v1/authenticate").header("host", "localhost");
        request.header("content-type", "application/json").body(body).expect("valid")
    };
    let (mut http2, _end) = running.http2().await;
    let response = soon(http2.send_request(large())).await.expect("answered");
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(soon(text_of(response)).await.contains("too-large"));
    let (mut http1, _end) = running.http1().await;
    let response = soon(http1.send_request(large())).await.expect("answered");
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(response.headers()["connection"], "close");
    assert!(soon(text_of(response)).await.contains("too-large"));

    let (mut http1, _end) = running.http1().await;
    let nowhere = Request::get("/api/v1/_ping").body(Body::empty()).expect("valid");
    let response = soon(http1.send_request(nowhere)).await.expect("answered");
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_stop_finishes_calls_in_flight_and_leaves_no_task() {
    let running = Running::start(LONG).await;
    let (mut sender, end) = running.http1().await;
    let (_silent, silent_end) = running.http2().await;
    let call = running.tasks.spawn("call", async move { sender.send_request(ask("/slow")).await });
    soon(running.entered.notified()).await;
    running.shutdown.cancel();
    running.answer.notify_one();
    assert_eq!(text_of(soon(call).await.expect("joins").expect("answered")).await, "slow");
    let _ = soon(end).await.expect("joins");
    let _ = soon(silent_end).await.expect("joins");
    running.tasks.drain(Duration::from_secs(5)).await;
    assert_eq!(format!("{:?}", running.tasks), "{}");
    TcpStream::connect(running.address).await.expect_err("nobody listens");
}

#[tokio::test]
async fn plain_http_serves_the_same_without_promising_tls() {
    let api = Api::new().await;
    api.state.ready.set();
    let (tasks, shutdown) = (Tasks::new(), CancellationToken::new());
    let front_end = FrontEnd {
        router: api.router.clone(),
        grace: LONG,
        proxies: TrustedProxies::default(),
        tasks: tasks.clone(),
        shutdown: shutdown.clone(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tasks.spawn("listener", front_end.serve_plain(listener));
    let stream = TokioIo::new(TcpStream::connect(address).await.expect("accepted"));
    let (mut sender, connection) = http1::handshake(stream).await.expect("works");
    tasks.spawn("client", connection);
    let response = soon(sender.send_request(ask("/api/v1/_ping"))).await.expect("answered");
    assert!(!response.headers().contains_key("strict-transport-security"));
    assert_eq!(text_of(response).await, "\"OK\"");
    shutdown.cancel();
    tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn strangers_who_speak_no_tls_or_nothing_do_not_disturb_others() {
    let running = Running::start(LONG).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(running.address).await.expect("accepted or in the backlog"));
    }
    let garbage = TcpStream::connect(running.address).await.expect("accepted");
    garbage.writable().await.expect("open");
    garbage.try_write(b"GET / HTTP/1.0\r\n\r\n").expect("room");
    let (mut sender, _end) = soon(running.http1()).await;
    let response = soon(sender.send_request(ask("/api/v1/certs/ca.pem"))).await.expect("answered");
    assert_eq!(response.status(), StatusCode::OK);
    drop(silent);
}
