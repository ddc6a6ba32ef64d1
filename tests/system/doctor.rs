//! `defender doctor`: each thing that can be wrong has a verdict of its own.

use serde_json::Value;
use system_tests::defender::DefenderSetup;
use system_tests::openssl::{KeyKind, Role, Validity};
use system_tests::{Channel, OpensslPki, TestConsole, TestDefender};
use tokio::net::TcpListener;

/// The steps that failed; the exit status must fit.
fn failed(setup: &DefenderSetup) -> Vec<String> {
    let (code, text) = setup.doctor(&[]);
    let failed: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("FAIL  ")).map(str::to_owned).collect();
    assert_eq!(code, Some(i32::from(!failed.is_empty())), "{text}");
    assert!(failed.iter().all(|line| line.contains(" — ")), "each has a remedy: {text}");
    failed
}

/// Exactly one step failed, and says so.
fn only(setup: &DefenderSetup, step: &str, seen: &str) {
    let failed = failed(setup);
    let fits = |line: &String| line.starts_with(&format!("{step}: ")) && line.contains(seen);
    assert!(failed.len() == 1 && failed.iter().all(fits), "{step} {seen}: {failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_is_well_every_step_passes_and_the_running_defender_is_not_disturbed() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let defender = TestDefender::of(&console).await;
    let events = api.events().await;
    let mark = defender.program().mark();
    let (code, text) = defender.doctor(&[]);
    assert_eq!(code, Some(0), "{text}");
    let steps: Vec<_> = text.lines().filter_map(|line| line.split(':').next()).collect();
    let expected = [
        "ok    certificates",
        "skip  proxy",
        "ok    dns",
        "ok    route",
        "ok    tls",
        "ok    trust",
        "ok    chain",
        "ok    name",
        "ok    clock",
        "ok    access",
        "ok    version",
        "ok    defender",
    ];
    assert_eq!(steps, expected, "{text}");
    let (code, json) = defender.doctor(&["--json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, &json["ok"]), (Some(0), &Value::Bool(true)));
    assert_eq!(json["steps"][1]["verdict"], "skip", "{json}");
    assert_eq!(defender.program().count_after(mark, "onnect"), 0, "its connection is as it was");
    assert_eq!(events.all().len(), 0, "nor has the Console: {:?}", events.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_a_closed_port_and_other_listeners_are_told_apart() {
    let console = TestConsole::start().await;
    let bundle = console.api().await.bundle().await;
    let setup = |address: &str| TestDefender::setup(address).bundle(&bundle);
    only(&setup("wss://nowhere.invalid:8084"), "dns", "looking up the address of nowhere.invalid");
    only(&setup("wss://localhost:1"), "route", "connecting to");
    only(
        &setup(&format!("wss://localhost:{}", console.https)),
        "access",
        "is no Defender listener: HTTP status",
    );
    only(
        &setup(&console.address()).flag("--console-server-name", "elsewhere.example"),
        "name",
        "elsewhere.example",
    );
    let other = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = other.local_addr().expect("bound").port();
    let talk = async {
        let (tcp, _) = other.accept().await.expect("a peer");
        tcp.writable().await.expect("open");
        let _ = tcp.try_write(b"SSH-2.0-other\r\n");
        // Kept open until the doctor is done.
        tcp
    };
    let (kept, ()) = tokio::join!(talk, async {
        let setup = setup(&format!("wss://127.0.0.1:{port}"));
        tokio::task::spawn_blocking(move || only(&setup, "tls", "TLS")).await.expect("no panic");
    });
    drop(kept);
    let (code, text) = TestDefender::setup("https://console").doctor(&[]);
    assert_eq!(code, Some(2), "wrong usage: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_expired_and_foreign_certificates_are_told_apart() {
    let (pki, other) = (OpensslPki::new(), OpensslPki::new());
    let expired = pki.leaf(Role::Server, KeyKind::Ec, Validity::Expired);
    let console = TestConsole::setup().custom(&Channel::WebSocket.files(&pki.server())).start().await;
    let late = TestConsole::setup().custom(&Channel::WebSocket.files(&expired)).start().await;
    let setup = |console: &TestConsole, set: &system_tests::PemSet| {
        TestDefender::setup(&console.address()).custom(&Channel::Defender.files(set))
    };
    assert!(failed(&setup(&console, &pki.client())).is_empty());
    only(&TestDefender::setup(&console.address()), "certificates", "there is no install bundle in");
    only(&setup(&late, &pki.client()), "clock", "it is expired; the clocks differ by");
    only(&setup(&console, &other.client()), "trust", "defender-ca.pem holds no CA that issued it");
    let mut stranger = other.client();
    stranger.ca = pki.client().ca;
    only(&setup(&console, &stranger), "access", "refuses this Defender's certificate");
    let own = pki.leaf(Role::Client, KeyKind::Ec, Validity::Expired);
    let failed = failed(&setup(&console, &own));
    let steps: Vec<_> = failed.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(steps, ["certificates", "access"], "{failed:?}");
    assert!(failed.iter().all(|line| line.contains("expired")), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_running_defender_offers_is_judged_its_own_certificate_before_the_bundle() {
    let console = TestConsole::setup().short_life("6s").flag("--heartbeat", "1s").start().await;
    let mut defender = TestDefender::of(&console).await;
    let (code, text) = defender.doctor(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("certificates: the Defender's own certificate, good until"), "{text}");
    // Without its bundle it has all that it needs.
    std::fs::remove_dir_all(defender.bundle_dir()).expect("removed");
    assert_eq!(defender.doctor(&[]).0, Some(0));
    // Custom files that the Console does not know are passed over, and that is a fault.
    let pki = OpensslPki::new();
    system_tests::place::Manner::InPlace
        .place(&defender.custom_dir(), &Channel::Defender.files(&pki.client()));
    let (code, text) = defender.doctor(&[]);
    let instead = "the Defender connects with the Defender's own certificate instead";
    assert!(code == Some(1) && text.contains(instead) && text.contains("ok    access"), "{text}");
    std::fs::remove_dir_all(defender.custom_dir()).expect("removed");
    defender.stop().await;
    // Off beyond its life, and then damaged.
    system_tests::eventually("its certificate has expired", system_tests::SOON, async || {
        let (code, text) = defender.doctor(&[]);
        if code == Some(1) && text.contains("the Console gives it a new certificate") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    std::fs::write(defender.dir().join("data/own-certificate.json"), "{").expect("damaged");
    let (code, text) = defender.doctor(&[]);
    assert!(code == Some(1) && text.contains("is damaged and left out"), "{text}");
}
