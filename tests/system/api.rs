//! The HTTPS API, as far as it goes today (contract section 5).

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::console::PASSWORD;
use system_tests::tls::leaf_sha256;
use system_tests::{Api, Dialer, TestConsole, Wire};
use uuid::Uuid;

use crate::stage::served;

#[tokio::test(flavor = "multi_thread")]
async fn ping_answers_anyone_and_version_any_user() {
    let console = TestConsole::start().await;
    let anyone = Api::anonymous(console.https);
    let ping = anyone.call(Method::GET, "_ping", None).await;
    assert_eq!((ping.status, ping.json()), (200, json!("OK")));
    assert_eq!(ping.header("cache-control"), "no-store");
    assert_eq!(anyone.call(Method::GET, "version", None).await.status, 401);
    let version = console.api().await.get("version").await;
    assert_eq!(version, protocol::Version::own().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_but_ping_sign_in_and_the_authority_needs_a_user() {
    let console = TestConsole::start().await;
    let anyone = Api::anonymous(console.https);
    for path in [
        "version",
        "defenders",
        "defenders/00000000-0000-0000-0000-000000000000",
        "defenders/install-bundle?consoleaddr=localhost",
        "certificates",
        "events",
    ] {
        let answer = anyone.call(Method::GET, path, None).await;
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        assert!(answer.header("content-type").starts_with("application/problem+json"), "{path}: {answer:?}");
        assert!(answer.json()["type"].is_string(), "{path}: {answer:?}");
    }
    assert_eq!(anyone.call(Method::GET, "certs/ca.pem", None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_or_token_is_refused_without_telling_which_users_there_are() {
    let console = TestConsole::start().await;
    let anyone = Api::anonymous(console.https);
    let mut answers = Vec::new();
    for (user, password) in [("admin", "wrong"), ("nobody", "wrong"), ("admin", "")] {
        let body = json!({"username": user, "password": password});
        let answer = anyone.call(Method::POST, "authenticate", Some(body)).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        answers.push(answer.text);
    }
    assert_eq!(answers[0], answers[1]);
    for body in [json!({}), json!({"username": "admin"}), json!([]), json!({"username": 1, "password": 2})] {
        let answer = anyone.call(Method::POST, "authenticate", Some(body.clone())).await;
        assert!((400..500).contains(&answer.status), "{body}: {answer:?}");
        assert!(answer.json()["type"].is_string(), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_authentication_works_too() {
    use base64::Engine as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let console = TestConsole::start().await;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("admin:{PASSWORD}"));
    let mut stream = Dialer::blind().dial(console.https).await.expect("a handshake");
    let request = format!(
        "GET /api/v1/version HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_password_file_the_setup_token_makes_the_first_administrator_once() {
    let console = TestConsole::setup().flag("--admin-password-file", "").start().await;
    let line = console.program().line("Setup token for the first administrator: ").await;
    assert!(line.starts_with("INFO "), "{line}");
    let token = line.rsplit_once(": ").expect("a token").1.to_owned();
    let anyone = Api::anonymous(console.https);
    let sign_up = async |token: &str, password: &str| {
        let body = json!({"username": "first", "password": password, "setup_token": token});
        anyone.call(Method::POST, "signup", Some(body)).await
    };
    let wrong = sign_up("wrong", "a long enough password 1").await;
    assert!(matches!(wrong.status, 401 | 403), "{wrong:?}");
    let made = sign_up(&token, "a long enough password 1").await;
    assert!((200..300).contains(&made.status), "{made:?}");
    let again = sign_up(&token, "a long enough password 2").await;
    assert!((400..500).contains(&again.status), "only while there is no user: {again:?}");
    let api = Api::sign_in(console.https, "first", "a long enough password 1").await;
    api.get("version").await;
    let lines = console.program().lines();
    assert!(!lines.iter().any(|line| line.contains("a long enough password") || line.contains(api.token())));
}

#[tokio::test(flavor = "multi_thread")]
async fn defenders_are_listed_in_pages_filtered_and_found() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let identity = api.bundle().await;
    let mut wires = Vec::new();
    for _ in 0..5 {
        let id = Uuid::new_v4();
        wires.push((id, Wire::join(console.defenders, &identity, id).await.expect("welcome").0));
    }
    let (gone, wire) = wires.pop().expect("five");
    wire.close().await;
    api.defender(&gone.to_string(), "is gone", |shown| shown["connected"] == false).await;
    let list = async |query: &str| {
        let answer = api.call(Method::GET, &format!("defenders{query}"), None).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let length = answer.json().as_array().map(Vec::len).expect("a list");
        (length, answer.header("total-count").to_owned())
    };
    assert_eq!(list("").await, (5, "5".to_owned()));
    assert_eq!(list("?connected=true").await, (4, "4".to_owned()));
    assert_eq!(list("?connected=false").await, (1, "1".to_owned()));
    assert_eq!(list("?limit=2&offset=4").await, (1, "5".to_owned()));
    assert_eq!(list(&format!("?search=host-{}", &gone.to_string()[..8])).await, (1, "1".to_owned()));
    for wrong in ["?limit=1001", "?limit=-1", "?limit=x", "?offset=x", "?connected=maybe"] {
        let answer = api.call(Method::GET, &format!("defenders{wrong}"), None).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
        assert!(answer.header("content-type").starts_with("application/problem+json"), "{wrong}");
    }
    let one = api.get(&format!("defenders/{gone}")).await;
    for field in ["id", "hostname", "version", "connected", "last_seen", "address", "os", "kernel", "arch"] {
        assert!(!one[field].is_null(), "{field} in {one}");
    }
    assert_eq!(api.call(Method::GET, &format!("defenders/{}", Uuid::new_v4()), None).await.status, 404);
    assert!((400..500).contains(&api.call(Method::GET, "defenders/not-a-uuid", None).await.status));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_bundle_names_the_address_and_differs_each_time() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let get = async |host: &str| api.get(&format!("defenders/install-bundle?consoleaddr={host}")).await;
    let bundle = get("console.example.com").await;
    assert_eq!(bundle["wsAddress"], format!("wss://console.example.com:{}", console.defenders));
    assert_eq!(get("console.example.com:9000").await["wsAddress"], "wss://console.example.com:9000");
    let again = get("console.example.com").await;
    assert_ne!(bundle["installBundle"], again["installBundle"]);
    let answer = api.call(Method::GET, "defenders/install-bundle", None).await;
    assert!(matches!(answer.status, 200 | 400), "{answer:?}");
    for wrong in ["a%20b", "user@host", "host/path", "a%0d%0ab"] {
        let path = format!("defenders/install-bundle?consoleaddr={wrong}");
        let answer = api.call(Method::GET, &path, None).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificates_and_the_authority_are_told_as_they_are_served() {
    let names = "localhost,extra.example.com";
    let console = TestConsole::setup().variable("CONSOLE_SANS", names).start().await;
    let api = console.api().await;
    let ca = api.call(Method::GET, "certs/ca.pem", None).await.text;
    for (channel, port) in [("console-https", console.https), ("console-defender", console.defenders)] {
        let told = api.certificate(channel).await;
        assert_eq!(told["sha256"], served(port).await.as_str());
        assert_eq!(told["source"], "self-signed");
        assert!(told["sans"].to_string().contains("extra.example.com"), "{told}");
        assert!(told["last_error"].is_null(), "{told}");
        for field in ["subject", "issuer", "not_before", "not_after", "rotated_at"] {
            assert!(told[field].is_string(), "{field} in {told}");
        }
        assert_ne!(told["sha256"], leaf_sha256(&ca).as_str());
    }
    let (status, _, _) = Dialer::trusting(&[&ca])
        .get(console.https, "/api/v1/_ping")
        .await
        .expect("its own authority vouches");
    assert_eq!(status, 200);
    assert!(!ca.contains("PRIVATE KEY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_or_method_and_a_huge_body_are_refused_in_the_same_form() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let unknown = api.call(Method::GET, "nothing-here", None).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert_eq!(api.call(Method::POST, "_ping", None).await.status, 405);
    let huge = json!({"username": "x".repeat(20 << 20), "password": "y"});
    let refused = api.try_call(Method::POST, "authenticate", Some(huge)).await;
    // It may close the connection before it has read all of it.
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status == 413));
    assert_eq!(api.get("_ping").await, Value::from("OK"));
}
