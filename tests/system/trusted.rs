//! Proxies in front of the Console: whose word about a client is believed, and for what it is used.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use system_tests::api::Answer;
use system_tests::console::{ConsoleSetup, PASSWORD};
use system_tests::proxied::{announcement, join_from, request};
use system_tests::{Api, Dialer, Haproxy, SOON, TestConsole, TestDefender, Wire, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

const PROXY: &str = "127.0.0.2";
const STRANGER: &str = "127.0.0.3";

fn setup() -> ConsoleSetup {
    TestConsole::setup().flag("--trusted-proxies", &format!("{PROXY},10.0.0.0/8"))
}

/// A connection to this host, from one of its addresses.
async fn connect_from(own: &str, port: u16) -> std::io::Result<TcpStream> {
    system_tests::proxied::connect_from(own, Ipv4Addr::LOCALHOST, port).await
}

/// A call from an address of this host, with headers.
async fn call(from: &str, port: u16, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let stream = connect_from(from, port).await.expect("accepted");
    request(stream, line, headers, body).await.expect("answered")
}

async fn sign_in(from: &str, port: u16, client: &str, password: &str) -> Answer {
    let body = json!({"username": "admin", "password": password}).to_string();
    let headers = [("Host", "inner:8081"), ("Content-Type", "application/json"), ("X-Forwarded-For", client)];
    call(from, port, "POST /api/v1/authenticate", &headers, &body).await
}

async fn last_audit(api: &Api) -> Value {
    api.get("audits?limit=1").await[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_s_word_about_its_client_reaches_the_audit_log_and_the_throttle() {
    let console = setup().flag("--http-listen", "127.0.0.1:0").start().await;
    let (http, api) = (console.http_port().await, console.api().await);
    for (from, header, client) in [
        (PROXY, "192.0.2.7", "192.0.2.7"),
        (PROXY, "198.51.100.1, 192.0.2.7, 10.1.1.1", "192.0.2.7"),
        (PROXY, "unknown", PROXY),
        (STRANGER, "192.0.2.7", STRANGER),
    ] {
        assert_eq!(sign_in(from, http, header, PASSWORD).await.status, 200);
        let entry = last_audit(&api).await;
        assert_eq!((&entry["address"], &entry["user"]), (&json!(client), &json!("admin")), "{header}");
    }
    // Who guesses waits; others behind the same proxy do not.
    let mut guessed = Vec::new();
    for _ in 0..7 {
        guessed.push(sign_in(PROXY, http, "192.0.2.66", "wrong").await.status);
    }
    assert!(guessed.starts_with(&[401, 401, 401, 401, 401]) && guessed.contains(&429), "{guessed:?}");
    assert_eq!(sign_in(PROXY, http, "192.0.2.67", PASSWORD).await.status, 200);
    assert_eq!(sign_in(PROXY, http, "192.0.2.66", PASSWORD).await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_an_ingress_that_ends_tls_a_browser_signs_in_by_the_host_that_it_has_called() {
    let console = setup().flag("--http-listen", "127.0.0.1:0").start().await;
    let (http, api) = (console.http_port().await, console.api().await);
    let form = format!("username=admin&password={}&next=%2F", PASSWORD.replace(' ', "+"));
    let told = [
        ("Host", "inner:8081"),
        ("X-Forwarded-For", "192.0.2.8"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "console.example.com"),
        ("User-Agent", "Trial/1"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let with = |origin| [&told[..], &[("Origin", origin)]].concat();
    let answer = call(PROXY, http, "POST /login", &with("https://console.example.com"), &form).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-garrison=") && cookie.contains("Secure"), "{cookie}");
    assert!(!answer.header("strict-transport-security").is_empty(), "the browser speaks HTTPS");
    let sessions = api.get("sessions").await;
    let session = sessions.as_array().into_iter().flatten().find(|one| one["user_agent"] == "Trial/1");
    assert_eq!(session.expect("a session")["address"], "192.0.2.8", "{sessions}");
    // The page names the host that the browser knows.
    let pair = cookie.split(';').next().unwrap_or_default();
    let page = call(PROXY, http, "GET /access", &[&told[..5], &[("Cookie", pair)]].concat(), "").await;
    assert!(page.text.contains("https://console.example.com/"), "{}", page.text);
    // Other pages, and the word of somebody else, prove nothing.
    for (from, origin) in [
        (PROXY, "https://evil.example"),
        (PROXY, "http://console.example.com"),
        (PROXY, "https://inner:8081"),
        (STRANGER, "https://console.example.com"),
    ] {
        let answer = call(from, http, "POST /login", &with(origin), &form).await;
        assert_eq!(answer.status, 403, "{from} {origin}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_has_no_limit_of_connections_and_each_client_behind_it_has_one_of_calls() {
    system_tests::raise_descriptor_limit();
    let console = setup().flag("--http-listen", "127.0.0.1:0").start().await;
    let (http, api) = (console.http_port().await, console.api().await);
    let bearer = format!("Bearer {}", api.token());
    let follow = async |from: &str, client: &str| -> (TcpStream, String) {
        let mut stream = connect_from(from, http).await.expect("accepted");
        let head = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nX-Forwarded-For: {client}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("open");
        let mut start = [0; 12];
        let read = tokio::time::timeout(SOON, stream.read_exact(&mut start)).await.expect("in time");
        (stream, read.map(|_| String::from_utf8_lossy(&start).into_owned()).unwrap_or_default())
    };
    let mut open = Vec::new();
    for _ in 0..1024 {
        let (stream, status) = follow(PROXY, "192.0.2.9").await;
        assert_eq!(status, "HTTP/1.1 200");
        open.push(stream);
    }
    assert_eq!(follow(PROXY, "192.0.2.9").await.1, "HTTP/1.1 503");
    console.program().line("Too many HTTPS calls of one address").await;
    assert_eq!(follow(PROXY, "192.0.2.10").await.1, "HTTP/1.1 200");
    drop(open);
    eventually("the client is served again", SOON, async || match follow(PROXY, "192.0.2.9").await {
        (_, status) if status == "HTTP/1.1 200" => Ok(()),
        (_, status) => Err(status),
    })
    .await;
    // Who is no proxy is limited here as well, now that it is known who is.
    let mut strangers = Vec::new();
    for _ in 0..1024 {
        strangers.push(connect_from(STRANGER, http).await.expect("accepted"));
    }
    assert_eq!(follow(STRANGER, "192.0.2.11").await.1, "", "closed at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_announces_each_defender_and_strangers_cannot() {
    let console = setup().variable("CONSOLE_DEFENDER_PROXY_PROTOCOL", "true").start().await;
    let api = console.api().await;
    let identity = api.bundle().await;
    let join = async |from: &str, announcement: &[u8]| -> Result<(Wire, Uuid), String> {
        let mut tcp = connect_from(from, console.defenders).await.map_err(|error| error.to_string())?;
        tcp.write_all(announcement).await.map_err(|error| error.to_string())?;
        let tls = Dialer::with_identity(&identity).dial_from(tcp).await.map_err(|error| error.to_string())?;
        let mut wire = Wire::upgrade(tls, protocol::SUBPROTOCOL).await.map_err(|error| error.to_string())?;
        let id = Uuid::new_v4();
        wire.send(&system_tests::wire::hello(id)).await;
        wire.expect("welcome").await;
        Ok((wire, id))
    };
    let (_announced, id) = join(PROXY, &announcement("192.0.2.7:50000")).await.expect("welcome");
    let shown = api.defender(&id.to_string(), "is connected", |shown| shown["connected"] == true).await;
    assert_eq!(shown["address"], "192.0.2.7");
    console.program().line("Defender connected defender=").await;
    assert!(console.program().line("peer=192.0.2.7:50000").await.contains("Defender connected"));
    // Inside the cluster Defenders dial the Console itself.
    let (_direct, id) = join(STRANGER, &[]).await.expect("welcome");
    let shown = api.defender(&id.to_string(), "is connected", |shown| shown["connected"] == true).await;
    assert_eq!(shown["address"], STRANGER);
    let mark = console.program().mark();
    join(STRANGER, &announcement("192.0.2.7:50000")).await.expect_err("nobody believes a stranger");
    assert_eq!(console.program().count_after(mark, "WARN"), 0);
    for nothing in [&b""[..], b"PROXY TCP4 192.0.2.7 127.0.0.1 50000 8084\r\n"] {
        let mark = console.program().mark();
        join(PROXY, nothing).await.expect_err("what a proxy does not announce could be anybody");
        let line = console.program().line_after(mark, "no header of PROXY protocol v2").await;
        assert!(line.contains("WARN") && line.contains("remedy="), "{line}");
        assert_eq!(console.program().count_after(mark, "PROXY protocol"), 1, "one line");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_behind_a_proxy_may_be_silent_for_long_and_a_rotation_in_between_is_taken() {
    let console = setup().variable("CONSOLE_HTTPS_PROXY_PROTOCOL", "true").start().await;
    let mut early = connect_from(PROXY, console.https).await.expect("accepted");
    early.write_all(&announcement("192.0.2.7:50000")).await.expect("open");
    let pki = system_tests::OpensslPki::new();
    let set = pki.server();
    system_tests::place::Manner::InPlace
        .place(&console.custom_dir(), &system_tests::Channel::Https.files(&set));
    console.program().line(system_tests::Channel::Https.rotated_text()).await;
    let stream = Dialer::trusting(&[&pki.ca]).dial_from(early).await.expect("the newest certificate");
    assert_eq!(system_tests::tls::seen(&stream).leaf_sha256, system_tests::tls::leaf_sha256(&set.cert));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_an_announcing_proxy_are_limited_one_by_one() {
    system_tests::raise_descriptor_limit();
    let console = setup().variable("CONSOLE_HTTPS_PROXY_PROTOCOL", "true").start().await;
    let connect = async |client: &str| {
        let mut tcp = connect_from(PROXY, console.https).await.expect("accepted");
        tcp.write_all(&announcement(client)).await.expect("open");
        Dialer::blind().dial_from(tcp).await
    };
    let mut open = Vec::new();
    for _ in 0..1024 {
        open.push(connect("192.0.2.7:50000").await.expect("a handshake"));
    }
    connect("192.0.2.7:50001").await.expect_err("too many");
    let mut other = connect("192.0.2.8:50000").await.expect("a handshake");
    let body = json!({"username": "admin", "password": PASSWORD}).to_string();
    let head = format!(
        "POST /api/v1/authenticate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nX-Forwarded-For: 198.51.100.1\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    other.write_all(head.as_bytes()).await.expect("open");
    let mut answer = String::new();
    let _ = tokio::time::timeout(SOON, other.read_to_string(&mut answer)).await.expect("in time");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(open);
    let api = console.api().await;
    let entries = api.get("audits?limit=5").await;
    assert!(entries.to_string().contains("192.0.2.8"), "{entries}");
    assert!(!entries.to_string().contains("198.51.100.1"), "the announced one is no proxy: {entries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_that_are_none_end_the_start() {
    for (name, value, told) in [
        ("CONSOLE_TRUSTED_PROXIES", "10.0.0.0/8,proxy.example", "\"proxy.example\" is no address"),
        ("CONSOLE_TRUSTED_PROXIES", "0.0.0.0/0", "would trust everybody"),
        ("CONSOLE_DEFENDER_PROXY_PROTOCOL", "true", "--trusted-proxies"),
        ("CONSOLE_HTTPS_PROXY_PROTOCOL", "on", "true or false"),
    ] {
        let ended = TestConsole::setup().variable(name, value).start_in_vain().await;
        assert_eq!(ended.code(), Some(2), "{name}={value}");
        let lines = ended.program.lines().join("\n");
        assert!(lines.contains(told) && lines.contains(name), "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_each_defender_is_seen_by_its_own_address_and_health_checks_are_no_trouble() {
    let haproxy = Haproxy::setup();
    let console = TestConsole::setup()
        .flag("--trusted-proxies", &haproxy.own().to_string())
        .variable("CONSOLE_DEFENDER_PROXY_PROTOCOL", "true")
        .start()
        .await;
    let haproxy = haproxy.start(console.defenders).await;
    let api = console.api().await;
    let identity = api.bundle().await;
    let own = haproxy.own;
    let (_wire, id) = join_from("127.0.0.7", own, Haproxy::PORT, &identity).await;
    let shown = api.defender(&id.to_string(), "is connected", |shown| shown["connected"] == true).await;
    assert_eq!(shown["address"], "127.0.0.7");
    let address = format!("wss://{own}:{}", Haproxy::PORT);
    let setup = TestDefender::setup(&address).flag("--console-server-name", "localhost");
    setup.bundle(&identity).connect().await;
    assert_eq!(console.program().count_after(0, "WARN"), 0, "{:?}", console.program().lines());
}
