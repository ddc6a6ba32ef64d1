//! Certificates of the Console's own authority: registrations, a Defender's own certificate, its renewal.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::wire::{End, hello};
use system_tests::{Api, SOON, TestConsole, TestDefender, Wire, eventually};
use uuid::Uuid;

use crate::stage::only_defender;

/// How often one Defender asks that never stops.
const ASKED: u32 = 40;

/// The Defender's own certificate as `openssl x509 -text` shows it.
fn own_certificate(defender: &TestDefender) -> Option<String> {
    let path = defender.dir().join("data/own-certificate.json");
    let files: Value = serde_json::from_str(&std::fs::read_to_string(&path).ok()?).ok()?;
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let pem = defender.dir().join("own.pem");
    std::fs::write(&pem, files["defender-client-cert.pem"].as_str()?).expect("written");
    let shown =
        system_tests::program::run("openssl", &["x509", "-in", &pem.to_string_lossy(), "-noout", "-text"]);
    Some(String::from_utf8_lossy(&shown.stdout).into_owned())
}

async fn bundle(api: &Api, more: &str) -> system_tests::Identity {
    let answer = api.get(&format!("defenders/install-bundle?consoleaddr=localhost{more}")).await;
    system_tests::api::unpack(answer["installBundle"].as_str().expect("a bundle"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_enrols_with_its_bundle_and_connects_once_as_itself() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let defender = TestDefender::of(&console).await;
    let shown = only_defender(&api).await;
    let id = shown["id"].as_str().expect("an id").to_owned();
    let text = own_certificate(&defender).expect("a certificate of its own");
    assert!(text.contains(&format!("URI:urn:uuid:{id}")) && text.contains("TLS Web Client Auth"), "{text}");
    let shown = api.defender(&id, "is connected", |shown| shown["connected"] == true).await;
    assert_eq!(shown["certificate"]["source"], "self-signed");
    // One connection as far as the operator is concerned.
    assert_eq!(defender.program().count_after(0, "Connected to Console"), 1);
    let registrations = api.get("registrations").await;
    let uses = registrations[0]["uses"].as_array().expect("uses");
    assert_eq!(uses.len(), 1, "{registrations}");
    assert_eq!(uses[0]["defender"], id.as_str());
    let key_left_the_host = console.program().lines().iter().any(|line| line.contains("PRIVATE"));
    assert!(!key_left_the_host);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_live_for_seconds_are_renewed_and_every_report_is_stored_once() {
    let console = TestConsole::setup().short_life("8s").flag("--heartbeat", "1s").start().await;
    let api = console.api().await;
    let mut defender = TestDefender::of(&console).await;
    let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
    let mut seen = std::collections::BTreeSet::new();
    eventually("four certificates one after the other", Duration::from_secs(60), async || {
        let shown = api.get(&format!("defenders/{id}")).await;
        assert_eq!(shown["connected"], true, "renewed over the live connection");
        seen.insert(shown["certificate"]["sha256"].to_string());
        if seen.len() >= 4 { Ok(()) } else { Err(seen.len()) }
    })
    .await;
    // Killed for less than a life, it comes back with what is on its disk.
    defender.kill_and_restart().await;
    // A killed Console knows what is superseded, and the Defender goes on.
    let mut console = console;
    console.kill_and_restart().await;
    let api = console.api().await;
    api.defender(&id, "is back", |shown| shown["connected"] == true).await;
    assert!(!defender.program().lines().iter().any(|line| line.contains("4001")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_certificate_is_refused_with_4001_and_its_cause() {
    let console = TestConsole::setup().short_life("8s").start().await;
    let api = console.api().await;
    let mut defender = TestDefender::of(&console).await;
    let path = defender.dir().join("data/own-certificate.json");
    let first = std::fs::read(&path).expect("enrolled");
    let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
    let sha256 = api.get(&format!("defenders/{id}")).await["certificate"]["sha256"].clone();
    api.defender(&id, "has renewed", |shown| shown["certificate"]["sha256"] != sha256).await;
    defender.stop().await;
    std::fs::write(&path, first).expect("an old copy");
    defender.start_again();
    console.program().line("the certificate is superseded").await;
    // Within the hour after its enrolment the bundle still speaks for it, so it mends itself.
    defender.program().line("Connected to Console").await;
    api.defender(&id, "is back", |shown| shown["connected"] == true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_own_certificate_is_named_and_the_bundle_takes_its_place() {
    let console = TestConsole::start().await;
    let mut defender = TestDefender::of(&console).await;
    defender.stop().await;
    let path = defender.dir().join("data/own-certificate.json");
    std::fs::write(&path, "{ half of it").expect("damaged");
    defender.start_again();
    let line = defender.program().line("own certificate is damaged").await;
    assert!(line.starts_with("WARN") && line.contains("own-certificate.json"), "{line}");
    defender.program().line("Connected to Console").await;
    assert!(own_certificate(&defender).is_some(), "and it has a new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_goes_on_without_its_bundle() {
    let console = TestConsole::start().await;
    let mut defender = TestDefender::of(&console).await;
    defender.stop().await;
    std::fs::remove_dir_all(defender.bundle_dir()).expect("removed");
    defender.start_again();
    defender.program().line("Connected to Console").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_counts_its_uses_and_is_revoked() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let identity = bundle(&api, "&uses=1&life=1h").await;
    let first = TestDefender::setup(&console.address()).bundle(&identity).connect().await;
    let second = TestDefender::setup(&console.address()).bundle(&identity).start();
    let line = second.program().line("4011").await;
    assert!(line.contains("used up") && line.contains("install a new bundle"), "{line}");
    assert!(own_certificate(&first).is_some() && own_certificate(&second).is_none());

    let identity = bundle(&api, "").await;
    let newest = api.get("registrations").await[0].clone();
    let (path, id) = (format!("registrations/{}", newest["id"].as_str().expect("an id")), Uuid::new_v4());
    Wire::join(console.defenders, &identity, id).await.expect("good so far");
    assert_eq!(api.call(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(api.call(Method::DELETE, &path, None).await.status, 404);
    let mut wire = Wire::connect(console.defenders, &identity).await.expect("an upgrade");
    wire.send(&hello(id)).await;
    let end = wire.end(SOON).await;
    assert!(matches!(&end, End::Closed(4011, _)), "{end:?}");
    for wrong in ["&uses=0", "&life=1s", "&life=3000d", "&life=x", "&colour=green"] {
        let path = format!("defenders/install-bundle?consoleaddr=localhost{wrong}");
        assert_eq!(api.call(Method::GET, &path, None).await.status, 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_that_asks_for_certificates_without_end_is_told_so_and_others_get_theirs() {
    let console = TestConsole::start().await;
    let identity = bundle(&console.api().await, "").await;
    let (mut greedy, _) = Wire::join(console.defenders, &identity, Uuid::new_v4()).await.expect("served");
    let csr = certs::request().expect("a key").csr_pem;
    let asked = json!({"type": "certificate_request", "csr": csr});
    let (began, mut issued) = (Instant::now(), 0);
    for _ in 0..ASKED {
        greedy.send(&asked).await;
        let answer = greedy.expect("certificate").await;
        match answer["error"].as_str() {
            Some(error) => assert!(error.contains("too often"), "{answer}"),
            None => issued += 1,
        }
    }
    let most = 6.0 + 2.0 * began.elapsed().as_secs_f64();
    assert!(
        (5..ASKED).contains(&issued) && f64::from(issued) <= most,
        "{issued} of {ASKED}, and not more than {most}"
    );
    TestDefender::setup(&console.address()).bundle(&identity).connect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_whose_holder_never_asks_for_a_certificate_is_served_for_good() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let (identity, id) = (api.bundle().await, Uuid::new_v4());
    for seq in 1..=3 {
        let (mut wire, welcome) = Wire::join(console.defenders, &identity, id).await.expect("welcome");
        assert_eq!(welcome["last_seq"], seq - 1);
        wire.report(seq, "test", json!({})).await;
        wire.acked(seq).await.expect("stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_with_custom_files_uses_its_own_certificate_until_the_console_can_verify_them() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let mut defender = TestDefender::of(&console).await;
    let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
    let pki = system_tests::OpensslPki::new();
    let files = system_tests::Channel::Defender.files(&pki.client());
    system_tests::place::Manner::InPlace.place(&defender.custom_dir(), &files);
    defender.program().line("the old one stays").await;
    defender.program_mut().kill();
    defender.start_again();
    defender.program().line("Connected to Console").await;
    let line = defender.program().line("not with the best certificates").await;
    assert!(line.contains("better=custom certificates") || line.contains("better=\"custom"), "{line}");
    let files = system_tests::Channel::WebSocket.files(&pki.server());
    system_tests::place::Manner::InPlace.place(&console.custom_dir(), &files);
    api.defender(&id, "uses its custom files", |shown| {
        shown["connected"] == true && shown["certificate"]["source"] == "custom"
    })
    .await;
}
