//! Certificates of decommissioned Defenders are refused from the handshake on, by identity and by fingerprint.

use reqwest::Method;
use serde_json::Value;
use system_tests::place::Manner;
use system_tests::wire::{End, hello};
use system_tests::{Api, Channel, Identity, OpensslPki, SOON, TestConsole, TestDefender, Wire, eventually};
use uuid::Uuid;

use crate::stage::{Stage, only_defender, refusal};

/// The certificate that the Console has issued to a Defender.
fn own_identity(defender: &TestDefender) -> Identity {
    let path = defender.dir().join("data/own-certificate.json");
    let files: Value = serde_json::from_slice(&std::fs::read(path).expect("enrolled")).expect("JSON");
    let file = |name: &str| files[name].as_str().expect("a file").to_owned();
    Identity {
        ca: file("defender-ca.pem"),
        cert: file("defender-client-cert.pem"),
        key: file("defender-client-key.pem"),
    }
}

async fn decommission(api: &Api, id: impl std::fmt::Display) {
    let answer = api.call(Method::DELETE, &format!("defenders/{id}"), None).await;
    assert_eq!(answer.status, 204);
}

/// What becomes of a `hello`.
async fn said_hello(console: &TestConsole, identity: &Identity, id: Uuid) -> End {
    let mut wire = Wire::connect(console.defenders, identity).await.expect("an upgrade");
    wire.send(&hello(id)).await;
    wire.end(SOON).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_certificate_is_refused_in_the_handshake_once_its_holder_is_decommissioned() {
    let mut console = TestConsole::start().await;
    let api = console.api().await;
    let mut defender = TestDefender::of(&console).await;
    let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
    let other = TestDefender::of(&console).await;
    let identity = own_identity(&defender);
    let mark = defender.program().mark();
    decommission(&api, &id).await;
    let line = defender.program().line_after(mark, "decommissioned").await;
    assert!(line.contains("4003"), "{line}");
    assert!(refusal(&console, &identity).await.contains("CertificateRevoked"));
    // Without its bundle nothing but the handshake tells it.
    defender.stop().await;
    std::fs::remove_dir_all(defender.bundle_dir()).expect("removed");
    defender.start_again();
    let line = defender.program().line("idles and asks again every hour").await;
    assert!(line.starts_with("WARN") && line.contains("is revoked, or this Defender was"), "{line}");
    let (code, status) = defender.status();
    assert!(code == Some(1) && status.contains("decommissioned"), "{status}");

    console.kill_and_restart().await;
    assert!(refusal(&console, &identity).await.contains("CertificateRevoked"), "also after a restart");
    let api = console.api().await;
    eventually("the other one is back", SOON, async || {
        let all = api.get("defenders?connected=true").await;
        if all.as_array().is_some_and(|all| all.len() == 1) { Ok(()) } else { Err(all) }
    })
    .await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_custom_certificate_is_refused_in_the_handshake_when_nobody_is_left_that_has_it() {
    let pki = OpensslPki::new();
    let mut console = TestConsole::setup().custom(&Channel::WebSocket.files(&pki.server())).start().await;
    let api = console.api().await;
    let (shared, other) = (Identity::from(pki.client()), Identity::from(pki.client()));
    let [one, two, three] = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    for (identity, id) in [(&shared, one), (&shared, two), (&other, three)] {
        Wire::join(console.defenders, identity, id).await.expect("welcome").0.close().await;
    }
    decommission(&api, one).await;
    let end = said_hello(&console, &shared, one).await;
    assert!(matches!(&end, End::Closed(4003, _)), "the certificate has another holder: {end:?}");
    Wire::join(console.defenders, &shared, two).await.expect("welcome");
    decommission(&api, two).await;
    for _ in 0..2 {
        assert!(refusal(&console, &shared).await.contains("CertificateRevoked"));
        Wire::join(console.defenders, &other, three).await.expect("another certificate of that CA");
        console.kill_and_restart().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decommissioned_defender_with_custom_files_idles_and_asks_at_once_with_other_files() {
    let mut stage = Stage::start().await;
    decommission(&stage.api, &stage.id).await;
    stage.defender.program().line("idles and asks again every hour").await;
    stage.defender.stop().await;
    stage.defender.start_again();
    let line = stage.defender.program().line("idles and asks again every hour").await;
    assert!(line.contains("is revoked, or this Defender was decommissioned"), "{line}");
    let mark = stage.defender.program().mark();
    // Another certificate gets it through the handshake, and then its identity is known.
    let files = Channel::Defender.files(&stage.pki.client());
    Manner::InPlace.place(&stage.defender.custom_dir(), &files);
    stage.defender.program().line_after(mark, "code 4003").await;
}
