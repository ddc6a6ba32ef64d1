//! One connected Defender, by hand: hello, reports, heartbeats, close codes (contract section 4).

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::wire::{End, compress, hello};
use system_tests::{Api, Identity, SOON, TestConsole, TestDefender, Wire, eventually, holds};
use uuid::Uuid;

struct Hub {
    console: TestConsole,
    api: Api,
    identity: Identity,
}

impl Hub {
    async fn start() -> Self {
        Self::with_heartbeat("5s").await
    }

    async fn with_heartbeat(heartbeat: &str) -> Self {
        let console = TestConsole::setup().flag("--heartbeat", heartbeat).start().await;
        let api = console.api().await;
        let identity = api.bundle().await;
        Self { console, api, identity }
    }

    async fn connect(&self) -> Wire {
        Wire::connect(self.console.defenders, &self.identity).await.expect("an upgrade")
    }

    async fn join(&self, id: Uuid) -> (Wire, Value) {
        Wire::join(self.console.defenders, &self.identity, id).await.expect("welcome")
    }

    async fn is_connected(&self, id: Uuid) -> bool {
        self.api.get(&format!("defenders/{id}")).await["connected"] == true
    }
}

fn closed_with(end: &End, code: u16) -> bool {
    matches!(end, End::Closed(seen, _) if *seen == code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_is_welcomed_and_shows_in_the_api() {
    let hub = Hub::start().await;
    let id = Uuid::new_v4();
    let (_wire, welcome) = hub.join(id).await;
    assert_eq!(welcome["heartbeat_seconds"], 5);
    assert_eq!(welcome["last_seq"], 0);
    assert_eq!(welcome["console"]["version"], protocol::Version::own().to_string());
    let shown = hub.api.defender(&id.to_string(), "is connected", |shown| shown["connected"] == true).await;
    assert_eq!(shown["hostname"], hello(id)["defender"]["hostname"]);
    assert_eq!(shown["os"], "Test OS 1");
    assert_eq!(shown["certificate"]["source"], "self-signed");
    assert!(shown["address"].as_str().is_some_and(|address| address.contains("127.0.0.1")), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_acknowledged_once_stored_and_repeats_are_dropped() {
    let mut hub = Hub::start().await;
    let id = Uuid::new_v4();
    let (mut wire, _) = hub.join(id).await;
    for seq in [1, 2, 3, 2, 3, 1] {
        wire.report(seq, "test", json!({"seq": seq})).await;
        let ack = wire.expect("ack").await;
        assert!(ack["seq"].as_u64() >= Some(seq), "{ack}");
    }
    wire.close().await;
    let (wire, welcome) = hub.join(id).await;
    assert_eq!(welcome["last_seq"], 3);
    drop(wire);
    hub.console.kill_and_restart().await;
    let (_, welcome) = hub.join(id).await;
    assert_eq!(welcome["last_seq"], 3, "acknowledged is stored, also across kill -9");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_reports_is_acknowledged_to_the_last() {
    let hub = Hub::start().await;
    let (mut wire, _) = hub.join(Uuid::new_v4()).await;
    for seq in 1..=2000 {
        wire.report(seq, "test", json!({"text": "x".repeat(100)})).await;
    }
    wire.acked(2000).await.expect("all stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_messages_and_unknown_fields_and_types_are_understood() {
    let hub = Hub::start().await;
    let id = Uuid::new_v4();
    let mut wire = hub.connect().await;
    let mut greeting = hello(id);
    greeting["of_the_next_version"] = json!({"deep": [1, 2, 3]});
    greeting["defender"]["colour"] = json!("green");
    wire.send_binary(compress(&greeting.to_string())).await;
    wire.expect("welcome").await;
    wire.send(&json!({"type": "of_the_next_version", "body": 1})).await;
    let report = json!({"type": "report", "seq": 1, "kind": "of_the_next_version", "body": null, "more": 1});
    wire.send_binary(compress(&report.to_string())).await;
    wire.acked(1).await.expect("stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_or_out_of_turn_messages_are_closed_with_4000() {
    let hub = Hub::start().await;
    let id = Uuid::new_v4();
    let mut wrong_id = hello(id);
    wrong_id["defender"]["id"] = json!("not-a-uuid");
    let mut no_certificate = hello(id);
    no_certificate.as_object_mut().expect("an object").remove("certificate");
    let before_welcome = [
        "not json".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        json!({"type": 5}).to_string(),
        json!({"type": "welcome", "console": {"version": "1.0.0"}, "heartbeat_seconds": 30, "last_seq": 0})
            .to_string(),
        json!({"type": "report", "seq": 1, "kind": "host", "body": {}}).to_string(),
        wrong_id.to_string(),
        no_certificate.to_string(),
        "[".repeat(10_000),
    ];
    for text in before_welcome {
        let mut wire = hub.connect().await;
        wire.send_text(text.clone()).await;
        let end = wire.end(SOON).await;
        assert!(closed_with(&end, 4000), "{}: {end:?}", &text[..text.len().min(80)]);
    }
    let after_welcome = [
        "not json".to_owned(),
        hello(id).to_string(),
        json!({"type": "ack", "seq": 1}).to_string(),
        json!({"type": "welcome", "console": {"version": "1.0.0"}, "heartbeat_seconds": 30, "last_seq": 0})
            .to_string(),
        json!({"type": "report", "kind": "host", "body": {}}).to_string(),
        json!({"type": "report", "seq": -1, "kind": "host", "body": {}}).to_string(),
        json!({"type": "report", "seq": 18_446_744_073_709_551_615_u64, "kind": "host", "body": {}})
            .to_string(),
        "{\"type\":\"report\",\"seq\":1e300,\"kind\":\"host\",\"body\":{}}".to_owned(),
    ];
    for text in after_welcome {
        let (mut wire, _) = hub.join(Uuid::new_v4()).await;
        wire.send_text(text.clone()).await;
        let end = wire.end(Duration::from_secs(5)).await;
        assert!(closed_with(&end, 4000), "{text}: {end:?}");
    }
    for data in [b"not zstd".to_vec(), vec![0; 100], compress("not json"), compress("\u{0}")] {
        let mut wire = hub.connect().await;
        wire.send_binary(data).await;
        let end = wire.end(SOON).await;
        assert!(closed_with(&end, 4000), "{end:?}");
    }
    let (_, welcome) = hub.join(id).await;
    assert_eq!(welcome["last_seq"], 0, "nothing of it was stored");
    assert!(!hub.console.program().lines().iter().any(|line| line.contains("panicked")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_is_answered_before_hello_and_after_welcome() {
    let hub = Hub::start().await;
    assert_eq!(hub.connect().await.close().await, Some(1000));
    let (wire, _) = hub.join(Uuid::new_v4()).await;
    assert_eq!(wire.close().await, Some(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_over_the_limits_are_closed_with_1009() {
    let hub = Hub::start().await;
    let mut big_hello = hello(Uuid::new_v4());
    big_hello["padding"] = json!("x".repeat(17 * 1024));
    let bomb = compress(&json!({"type": "hello", "padding": "x".repeat(40 << 20)}).to_string());
    assert!(bomb.len() < 16 * 1024, "small until decompressed");
    let mut wire = hub.connect().await;
    wire.send(&big_hello).await;
    assert!(closed_with(&wire.end(SOON).await, 1009), "a big hello");
    let mut wire = hub.connect().await;
    wire.send_binary(bomb.clone()).await;
    assert!(closed_with(&wire.end(SOON).await, 1009), "a bomb before welcome");

    let (mut wire, _) = hub.join(Uuid::new_v4()).await;
    wire.report(1, "test", json!("x".repeat(1000 * 1024))).await;
    wire.acked(1).await.expect("just below the limit");
    wire.report(2, "test", json!("x".repeat(1100 * 1024))).await;
    let end = wire.end(SOON).await;
    assert!(closed_with(&end, 1009), "over the limit: {end:?}");
    let (mut wire, _) = hub.join(Uuid::new_v4()).await;
    wire.send_binary(bomb).await;
    let end = wire.end(SOON).await;
    assert!(closed_with(&end, 1009), "a bomb after welcome: {end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_connection_of_a_defender_wins_and_it_stays_connected() {
    let hub = Hub::start().await;
    let events = hub.api.events().await;
    let id = Uuid::new_v4();
    let (mut first, _) = hub.join(id).await;
    let (mut second, _) = hub.join(id).await;
    let end = first.end(SOON).await;
    assert!(closed_with(&end, 4009), "{end:?}");
    assert!(hub.is_connected(id).await);
    second.report(1, "test", json!(1)).await;
    second.acked(1).await.expect("the second lives");
    assert_eq!(events.count("defender.disconnected"), 0, "{:?}", events.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_or_cut_connection_means_disconnected() {
    let hub = Hub::start().await;
    let events = hub.api.events().await;
    for orderly in [true, false] {
        let id = Uuid::new_v4();
        let (wire, _) = hub.join(id).await;
        assert!(hub.is_connected(id).await);
        if orderly {
            wire.close().await;
        } else {
            drop(wire);
        }
        hub.api.defender(&id.to_string(), "is gone", |shown| shown["connected"] == false).await;
        events.expect("defender.disconnected", |data| data.to_string().contains(&id.to_string())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_that_does_not_answer_two_heartbeats_is_disconnected() {
    let hub = Hub::with_heartbeat("1s").await;
    let (silent, answering) = (Uuid::new_v4(), Uuid::new_v4());
    let (_not_read, _) = hub.join(silent).await;
    let (mut read, _) = hub.join(answering).await;
    let begin = Instant::now();
    let reader = async { read.message_within(Duration::from_secs(60)).await };
    let silent = silent.to_string();
    tokio::select! {
        end = reader => panic!("the one that answers stays: {end:?}"),
        _ = hub.api.defender(&silent, "is gone", |shown| shown["connected"] == false) => {}
    }
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(10), "{took:?}");
    assert!(hub.is_connected(answering).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_hello_is_closed_after_ten_seconds() {
    let hub = Hub::start().await;
    let mut wire = hub.connect().await;
    let begin = Instant::now();
    let end = wire.end(SOON).await;
    let took = begin.elapsed();
    assert!(
        !matches!(&end, End::Cut(why) if why.contains("silent") || why.contains("still open")),
        "{end:?}"
    );
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(14), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decommissioned_defender_is_closed_with_4003_and_refused_from_then_on() {
    let hub = Hub::start().await;
    let id = Uuid::new_v4();
    let (mut wire, _) = hub.join(id).await;
    let path = format!("defenders/{id}");
    let answer = hub.api.call(Method::DELETE, &path, None).await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    let end = wire.end(SOON).await;
    assert!(closed_with(&end, 4003), "{end:?}");
    let mut again = hub.connect().await;
    again.send(&hello(id)).await;
    let end = again.end(SOON).await;
    assert!(closed_with(&end, 4003), "{end:?}");
    assert_ne!(
        hub.api.call(Method::DELETE, &format!("defenders/{}", Uuid::new_v4()), None).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decommissioned_defender_idles_says_why_and_does_not_end() {
    let hub = Hub::start().await;
    let mut defender = TestDefender::of(&hub.console).await;
    let id = crate::stage::only_defender(&hub.api).await["id"].as_str().expect("an id").to_owned();
    let mark = defender.program().mark();
    hub.api.call(Method::DELETE, &format!("defenders/{id}"), None).await;
    defender.program().line_after(mark, "decommissioned").await;
    eventually("status says why", SOON, async || match defender.status() {
        (Some(1), text) if text.contains("decommissioned") => Ok(()),
        other => Err(other),
    })
    .await;
    holds("it runs, and does not connect", Duration::from_secs(3), async || {
        let (running, program) = (defender.program_mut().is_running(), defender.program());
        if running && program.count_after(mark, "Connected to Console") == 0 {
            return Ok(());
        }
        Err((running, program.lines()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_its_own_is_issued_and_binds_the_identity() {
    let hub = Hub::start().await;
    let id = Uuid::new_v4();
    let (mut wire, _) = hub.join(id).await;
    let (csr, key) = certificate_request();
    wire.send(&json!({"type": "certificate_request", "csr": csr})).await;
    let issued = wire.expect("certificate").await;
    let own = Identity {
        ca: issued["ca"].as_str().unwrap_or_else(|| panic!("{issued}")).to_owned(),
        cert: issued["chain"].as_str().expect("a chain").to_owned(),
        key,
    };
    let port = hub.console.defenders;
    Wire::join(port, &own, id).await.expect("the certificate is good for its identity");
    let mut other = Wire::connect(port, &own).await.expect("an upgrade");
    other.send(&hello(Uuid::new_v4())).await;
    let end = other.end(SOON).await;
    assert!(closed_with(&end, 4001), "{end:?}");

    let (mut wire, _) = hub.join(id).await;
    wire.send(&json!({"type": "certificate_request", "csr": "nonsense"})).await;
    let refused = wire.expect("certificate").await;
    assert!(refused["error"].is_string(), "{refused}");
}

/// A PKCS#10 request and its key, both PEM.
fn certificate_request() -> (String, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (key, csr) = (path("key"), path("csr"));
    let arguments = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let output = system_tests::program::run(
        "openssl",
        &[&arguments[..], &["-subj", "/CN=anything", "-keyout", &key, "-out", &csr]].concat(),
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (std::fs::read_to_string(csr).expect("a request"), std::fs::read_to_string(key).expect("a key"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_two_versions_ahead_is_served() {
    let hub = Hub::start().await;
    let mut wire = hub.connect().await;
    let mut greeting = hello(Uuid::new_v4());
    greeting["defender"]["version"] = json!("99.0.0");
    wire.send(&greeting).await;
    wire.expect("welcome").await;
}
