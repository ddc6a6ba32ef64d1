//! A custom WebSocket set meets the fleet: it waits while connected Defenders would be lost, whatever the order in which
//! hosts get their files, and a fleet goes over and back without losing anybody whose files are in place.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::place::Manner;
use system_tests::tls::leaf_sha256;
use system_tests::{
    Api, Channel, Identity, OpensslPki, PemSet, SOON, TestConsole, TestDefender, Wire, eventually, holds,
    pass,
};
use uuid::Uuid;

use crate::stage::{Stage, assert_never_disconnected, only_defender, served};

const REFUSED: &str = "Failed to load console defender server custom certificates: ";
const ACCEPT: &str = "certificates/console-defender/accept";

fn give(dir: &Path, channel: Channel, set: &PemSet) {
    Manner::Renamed.place(dir, &channel.files(set));
}

/// The set that is held back.
async fn held(api: &Api) -> Value {
    eventually("a set is held back", SOON, async || {
        let told = api.certificate("console-defender").await;
        if told["held"].is_object() { Ok(told["held"].clone()) } else { Err(told) }
    })
    .await
}

/// Every Defender of the fleet is connected with a certificate of this source.
async fn all_on(api: &Api, source: &str, count: usize) {
    eventually(&format!("all are connected, {source}"), Duration::from_secs(60), async || {
        let all = api.get("defenders?connected=true").await;
        let there = all.as_array().map(Vec::as_slice).unwrap_or_default();
        let fit = there.iter().filter(|one| one["certificate"]["source"] == source).count();
        if fit == count { Ok(()) } else { Err(all) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_would_lose_a_defender_waits_and_goes_live_once_the_host_has_its_files() {
    let console = TestConsole::start().await;
    let defender = TestDefender::of(&console).await;
    let api = console.api().await;
    let events = api.events().await;
    let (pki, before) = (OpensslPki::new(), served(console.defenders).await);
    let set = pki.server();
    give(&console.custom_dir(), Channel::WebSocket, &set);

    let line = console.program().line(REFUSED).await;
    assert!(line.starts_with("ERRO ") && line.contains("1 of 1 connected Defenders would be lost"), "{line}");
    let host = only_defender(&api).await["hostname"].as_str().expect("a name").to_owned();
    assert!(line.contains(&host) && line.contains("accept"), "{line}");
    let shown = held(&api).await;
    assert_eq!(shown["sha256"], leaf_sha256(&set.cert).as_str());
    assert_eq!((&shown["would_lose"][0]["hostname"], &shown["unknown"]), (&json!(host), &json!(0)));
    let refused = events.expect("certificates.refused", |_| true).await;
    assert!(refused["error"].as_str().expect("a text").contains("would be lost"), "{refused}");
    assert!(api.certificate("console-defender").await["last_error"].is_string());
    // The same content again changes nothing.
    give(&console.custom_dir(), Channel::WebSocket, &set);
    holds("what ran goes on", Duration::from_secs(2), async || {
        let now = served(console.defenders).await;
        if now == before { Ok(()) } else { Err(now) }
    })
    .await;

    give(&defender.custom_dir(), Channel::Defender, &pki.client());
    console.program().line(Channel::WebSocket.rotated_text()).await;
    all_on(&api, "custom", 1).await;
    assert_eq!(served(console.defenders).await, leaf_sha256(&set.cert));
    let told = api.certificate("console-defender").await;
    assert!(told["held"].is_null() && told["last_error"].is_null(), "{told}");
    assert_eq!(console.program().count_after(0, REFUSED), 1, "told once");
    assert_never_disconnected(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_set_is_taken_when_somebody_accepts_the_loss_and_the_host_comes_back_with_its_files() {
    let console = TestConsole::setup().flag("--rotation-grace", "1s").start().await;
    let defender = TestDefender::of(&console).await;
    let api = console.api().await;
    let nothing = api.call(Method::POST, ACCEPT, None).await;
    assert_eq!(nothing.status, 409, "{nothing:?}");
    assert_eq!(api.call(Method::POST, "certificates/console-https/accept", None).await.status, 409);
    assert_eq!(api.call(Method::POST, "certificates/defender/accept", None).await.status, 404);
    let pki = OpensslPki::new();
    let set = pki.server();
    give(&console.custom_dir(), Channel::WebSocket, &set);
    console.program().line(REFUSED).await;

    let other = api.call(Method::POST, ACCEPT, Some(json!({"sha256": "00".repeat(32)}))).await;
    assert_eq!(other.status, 409, "another set than the one that was looked at: {other:?}");
    let viewer = json!({"username": "vera", "password": "correct horse battery 7", "role": "viewer"});
    assert_eq!(api.call(Method::POST, "users", Some(viewer)).await.status, 201);
    let vera = Api::sign_in(console.https, "vera", "correct horse battery 7").await;
    assert_eq!(vera.call(Method::POST, ACCEPT, None).await.status, 403);

    let mark = defender.program().mark();
    let answer = api.call(Method::POST, ACCEPT, Some(json!({"sha256": leaf_sha256(&set.cert)}))).await;
    assert_eq!((answer.status, answer.json()["source"].as_str()), (200, Some("custom")), "{answer:?}");
    assert_eq!(served(console.defenders).await, leaf_sha256(&set.cert));
    let audits = api.get("audits?search=certificates.accepted").await;
    assert_eq!((&audits[0]["user"], &audits[0]["new"]["would_lose"]), (&json!("admin"), &json!(1)));
    eventually("the Defender is lost", SOON, async || {
        let all = api.get("defenders?connected=false").await;
        if all[0]["id"].is_string() { Ok(()) } else { Err(all) }
    })
    .await;
    give(&defender.custom_dir(), Channel::Defender, &pki.client());
    defender.program().line_after(mark, "Connected to Console").await;
    all_on(&api, "custom", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_force_rotation_a_set_that_loses_defenders_is_taken_with_a_warning() {
    let console = TestConsole::setup().variable("CONSOLE_FORCE_ROTATION", "true").start().await;
    let _defender = TestDefender::of(&console).await;
    give(&console.custom_dir(), Channel::WebSocket, &OpensslPki::new().server());
    let line = console.program().line("would be lost").await;
    assert!(line.starts_with("WARN "), "{line}");
    console.program().line(Channel::WebSocket.rotated_text()).await;
    assert_eq!(console.program().count_after(0, "ERRO "), 0, "{:#?}", console.program().lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_have_said_nothing_of_their_files_hold_nothing_back() {
    let console = TestConsole::start().await;
    let bundle = console.api().await.bundle().await;
    let (mut wire, _) = Wire::join(console.defenders, &bundle, Uuid::new_v4()).await.expect("welcome");
    wire.report(1, "host", json!({"hostname": "foreign"})).await;
    wire.acked(1).await.expect("stored");
    give(&console.custom_dir(), Channel::WebSocket, &OpensslPki::new().server());
    let rotated = Channel::WebSocket.rotated_text();
    let line = console.program().try_line(0, rotated, Duration::from_secs(4)).await;
    assert!(line.is_some(), "{:#?}", console.program().lines());
    assert_eq!(console.program().count_after(0, "ERRO "), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_both_sides_share_moves_both_at_once() {
    let console = TestConsole::start().await;
    let bundle = console.api().await.bundle().await;
    let shared = console.custom_dir();
    let defender = TestDefender::setup(&console.address())
        .bundle(&bundle)
        .flag("--custom-certs-dir", &shared.to_string_lossy())
        .connect()
        .await;
    let api = console.api().await;
    for manner in [Manner::InPlace, Manner::Projected] {
        let (pki, console_mark, defender_mark) =
            (OpensslPki::new(), console.program().mark(), defender.program().mark());
        let server = pki.server();
        let mut files = Channel::WebSocket.files(&server);
        let client = Channel::Defender.files(&pki.client());
        files.extend(client.into_iter().filter(|(name, _)| *name != "defender-ca.pem"));
        manner.place(&shared, &files);
        console.program().line_after(console_mark, Channel::WebSocket.rotated_text()).await;
        defender.program().line_after(defender_mark, Channel::Defender.rotated_text()).await;
        assert_eq!(served(console.defenders).await, leaf_sha256(&server.cert));
        all_on(&api, "custom", 1).await;
    }
    for program in [console.program(), defender.program()] {
        assert_eq!(program.count_after(0, "ERRO "), 0, "{:#?}", program.lines());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_authority_without_overlap_waits_and_with_overlap_goes_live_at_once() {
    let stage = Stage::start().await;
    let events = stage.events().await;
    let new = OpensslPki::new();
    stage.place(Channel::WebSocket, Manner::Renamed, &Channel::WebSocket.files(&new.server()));
    let line = stage.console.program().line(REFUSED).await;
    assert!(line.contains("would be lost"), "{line}");
    let shown = held(&stage.api).await;
    let cause = shown["would_lose"][0]["cause"].as_str().expect("a cause");
    assert!(cause.contains("it comes from another CA"), "{cause}");
    // The old server certificate, and clients of both.
    let mut overlap = stage.pki.server();
    overlap.ca = format!("{}{}", stage.pki.ca, new.ca);
    stage.rotate(Channel::WebSocket, Manner::Renamed, &overlap).await;
    assert!(stage.api.certificate("console-defender").await["last_error"].is_null());
    // A client of the new CA that trusts both, then the new server certificate.
    let mut client = new.client();
    client.ca.clone_from(&overlap.ca);
    stage.rotate(Channel::Defender, Manner::Renamed, &client).await;
    stage.rotate(Channel::WebSocket, Manner::Renamed, &new.server()).await;
    assert_eq!(stage.console.program().count_after(0, REFUSED), 1);
    assert_never_disconnected(&events);
    let old = Identity::from(stage.pki.client());
    Wire::join(stage.console.defenders, &old, Uuid::new_v4()).await.expect_err("the old CA is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_goes_over_and_back_in_any_order_of_copying_and_loses_nobody() {
    let mut console = TestConsole::start().await;
    let (pki, server) = (OpensslPki::new(), OpensslPki::new());
    // Clients and server of different CAs: each side's `defender-ca.pem` names the other's.
    let mut set = server.server();
    set.ca.clone_from(&pki.ca);
    let bundle = console.api().await.bundle().await;
    let mut fleet = Vec::new();
    for number in 1..=FLEET {
        let setup = TestDefender::setup(&console.address()).bundle(&bundle);
        fleet.push(setup.flag("--hostname", &format!("host-{number}")).connect().await);
    }
    let api = console.api().await;
    let events = api.events().await;
    // `None` is the Console.
    let mut order: Vec<Option<usize>> = (0..FLEET).map(Some).chain([None]).collect();
    order.sort_by_key(|_| Uuid::new_v4());
    println!("copied in the order {order:?}");
    for step in &order {
        match step {
            None => give(&console.custom_dir(), Channel::WebSocket, &set),
            Some(host) => {
                let mut client = pki.client();
                client.ca.clone_from(&server.ca);
                give(&fleet[*host].custom_dir(), Channel::Defender, &client);
            }
        }
        pass(Duration::from_millis(700), "each step is looked at before the next").await;
    }
    console.program().line(Channel::WebSocket.rotated_text()).await;
    all_on(&api, "custom", FLEET).await;
    assert_never_disconnected(&events);

    // And back: the Console's files go, it starts again; the hosts keep theirs or lose them, before or after.
    let gone = |dir: &Path, name: &str| std::fs::remove_file(dir.join(name)).expect("there");
    gone(&fleet[0].custom_dir(), "defender-client-key.pem");
    gone(&console.custom_dir(), "defender-server-key.pem");
    console.restart().await;
    let api = console.api().await;
    all_on(&api, "self-signed", FLEET).await;
    gone(&fleet[1].custom_dir(), "defender-client-key.pem");
    for defender in &mut fleet[..2] {
        defender.stop().await;
        defender.start_again();
    }
    all_on(&api, "self-signed", FLEET).await;
    assert_eq!(api.get("defenders").await.as_array().map(Vec::len), Some(FLEET), "nobody came anew");
}

const FLEET: usize = 4;
