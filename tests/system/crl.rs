//! `defender-crl.pem`: who is revoked is refused and cut off, nobody else is disturbed, and a list that is of no use
//! changes nothing.

use std::time::Duration;

use system_tests::openssl::NextUpdate;
use system_tests::place::Manner;
use system_tests::wire::End;
use system_tests::{Channel, Identity, OpensslPki, SOON, TestConsole, TestDefender, Wire, holds};
use uuid::Uuid;

use crate::stage::{Stage, assert_never_disconnected, refusal};

const FILE: &str = "defender-crl.pem";

fn put(console: &TestConsole, manner: Manner, list: &str) {
    manner.place(&console.custom_dir(), &vec![(FILE, list.as_bytes().to_vec())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_cut_off_and_refused_and_nobody_else_notices() {
    let stage = Stage::start().await;
    let (console, pki) = (&stage.console, &stage.pki);
    let (good, bad) = (pki.client(), pki.client());
    let (good, bad) = ((Identity::from(good.clone()), good), (Identity::from(bad.clone()), bad));
    let (mut keeps, _) = Wire::join(console.defenders, &good.0, Uuid::new_v4()).await.expect("welcome");
    let (mut loses, _) = Wire::join(console.defenders, &bad.0, Uuid::new_v4()).await.expect("welcome");
    let events = stage.events().await;
    let mark = console.program().mark();

    put(console, Manner::Renamed, &pki.crl(&[&bad.1.cert], NextUpdate::InAMonth));
    let line = console.program().line_after(mark, "Revocation list in use").await;
    assert!(line.starts_with("INFO") && line.contains("revoked=1"), "{line}");
    let end = loses.end(SOON).await;
    assert!(matches!(&end, End::Closed(4013, reason) if reason.contains("revoked")), "{end:?}");
    let event = events.expect("defender.disconnected", |_| true).await;
    assert!(event["cause"].as_str().is_some_and(|cause| cause.contains("was revoked")), "{event}");
    assert!(refusal(console, &bad.0).await.contains("CertificateRevoked"));
    let line = console.program().line_after(mark, "reason=revoked").await;
    assert!(line.contains("defender-crl.pem names its certificate"), "{line}");
    assert_eq!(console.program().count_after(mark, "rotated, restarting listener"), 0);
    Wire::join(console.defenders, &good.0, Uuid::new_v4()).await.expect("not named");
    keeps.report(1, "test", serde_json::json!({})).await;
    keeps.acked(1).await.expect("its session lives");

    // Removed, it stays in force until the next start.
    std::fs::remove_file(console.custom_dir().join(FILE)).expect("removed");
    let line = console.program().line_after(mark, "Removed the revocation list").await;
    assert!(line.starts_with("WARN"), "{line}");
    assert!(refusal(console, &bad.0).await.contains("CertificateRevoked"));
    // Another list takes its place: the one that was revoked is let in again.
    put(console, Manner::InPlace, &pki.crl(&[], NextUpdate::InAMonth));
    console.program().line_after(mark, "revoked=0").await;
    Wire::join(console.defenders, &bad.0, Uuid::new_v4()).await.expect("no longer named");
    assert_eq!(stage.api.get(&format!("defenders/{}", stage.id)).await["connected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_defender_whose_certificate_is_revoked_idles_and_comes_back_with_another() {
    let mut stage = Stage::start().await;
    let revoked = std::fs::read_to_string(stage.defender.custom_dir().join("defender-client-cert.pem"));
    let revoked = revoked.expect("its certificate");
    put(&stage.console, Manner::InPlace, &stage.pki.crl(&[&revoked], NextUpdate::InAMonth));
    let line = stage.defender.program().line("code 4013").await;
    assert!(line.contains("was revoked") && line.contains("put another certificate"), "{line}");
    let line = stage.defender.program().line("idles and asks again every hour").await;
    assert!(line.starts_with("WARN") && line.contains("is revoked"), "{line}");
    let mark = stage.defender.program().mark();
    let files = Channel::Defender.files(&stage.pki.client());
    Manner::InPlace.place(&stage.defender.custom_dir(), &files);
    stage.defender.program().line_after(mark, "Connected to Console").await;
    // The list outlives a crash.
    stage.console.kill_and_restart().await;
    stage.console.program().line("Revocation list in use").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intermediate_that_the_root_revokes_ends_all_that_it_has_signed() {
    let pki = OpensslPki::with_intermediate();
    let stage = Stage::start_with(pki, |setup| setup).await;
    let mark = stage.defender.program().mark();
    let list = stage.pki.crl_of_root(&[stage.pki.intermediate()]);
    put(&stage.console, Manner::Projected, &list);
    stage.defender.program().line_after(mark, "code 4013").await;
    // A list of the intermediate counts too: it stands behind the Console's own leaf.
    let leaf = stage.pki.client();
    let mark = stage.console.program().mark();
    let list = stage.pki.crl(&[&leaf.cert], NextUpdate::InAMonth);
    put(&stage.console, Manner::Projected, &list);
    stage.console.program().line_after(mark, "revoked=1").await;
    assert!(refusal(&stage.console, &leaf.into()).await.contains("CertificateRevoked"));
    Wire::join(stage.console.defenders, &stage.pki.client().into(), Uuid::new_v4()).await.expect("not named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_no_use_is_one_line_and_what_runs_goes_on_also_over_a_restart() {
    let mut stage = Stage::start().await;
    let bad = stage.pki.client();
    let events = stage.events().await;
    let good_list = stage.pki.crl(&[&bad.cert], NextUpdate::InAMonth);
    let bad = Identity::from(bad);
    put(&stage.console, Manner::InPlace, &good_list);
    stage.console.program().line("revoked=1").await;
    let stranger = OpensslPki::new().crl(&[], NextUpdate::InAMonth);
    let der = String::from_utf8_lossy(&system_tests::openssl::transform(&good_list, "crl -outform DER"))
        .into_owned();
    for (content, says) in [
        ("nonsense", "no PEM data"),
        (stage.pki.ca.as_str(), "holds no X509 CRL, but CERTIFICATE"),
        (&good_list[..good_list.len() / 2], "cut off"),
        (der.as_str(), "no PEM data"),
        (stranger.as_str(), "signed by no CA of defender-ca.pem"),
    ] {
        let mark = stage.console.program().mark();
        put(&stage.console, Manner::InPlace, content);
        let line = stage.console.program().line_after(mark, "error reading revocation list").await;
        assert!(
            line.starts_with("ERRO") && line.contains(says) && line.contains("remedy="),
            "{says}: {line}"
        );
        assert!(refusal(&stage.console, &bad).await.contains("CertificateRevoked"), "{says}");
    }
    events.expect("certificates.refused", |event| event["channel"] == "console-defender").await;
    assert_never_disconnected(&events);
    // The start with a file of no use: the last good list goes on.
    stage.console.kill_and_restart().await;
    let line = stage.console.program().line("The last good revocation list goes on").await;
    assert!(line.starts_with("WARN") && line.contains("revoked=1"), "{line}");
    assert!(refusal(&stage.console, &bad).await.contains("CertificateRevoked"));
    // The start without one: none.
    std::fs::remove_file(stage.console.custom_dir().join(FILE)).expect("removed");
    stage.console.kill_and_restart().await;
    Wire::join(stage.console.defenders, &bad, Uuid::new_v4()).await.expect("nothing is revoked");
    std::fs::write(stage.console.custom_dir().join(FILE), "nonsense").expect("written");
    stage.console.program().line("error reading revocation list").await;
    stage.console.kill_and_restart().await;
    stage.console.program().line("No revocation list is in force").await;
    Wire::join(stage.console.defenders, &bad, Uuid::new_v4()).await.expect("nothing is revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_out_of_date_counts_and_is_warned_about() {
    let pki = OpensslPki::new();
    let bad = pki.client();
    let list = pki.crl(&[&bad.cert], NextUpdate::Yesterday);
    let console = TestConsole::setup()
        .custom(&Channel::WebSocket.files(&pki.server()))
        .custom(&vec![(FILE, list.into_bytes())])
        .start()
        .await;
    let line = console.program().line("The revocation list is out of date").await;
    assert!(line.starts_with("WARN") && line.contains("have the CA issue a new list"), "{line}");
    assert!(refusal(&console, &bad.into()).await.contains("CertificateRevoked"));
    let dir = console.custom_dir();
    let check = system_tests::program::run(
        system_tests::program::binary("console"),
        &["certs", "check", &dir.to_string_lossy()],
    );
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(0), "{text}");
    assert!(text.contains("1 certificates are revoked by") && text.contains("list is out of date"), "{text}");
    std::fs::write(dir.join(FILE), "nonsense").expect("written");
    let check = system_tests::program::run(
        system_tests::program::binary("console"),
        &["certs", "check", &dir.to_string_lossy()],
    );
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.code() == Some(1) && text.contains("error: ") && text.contains(FILE), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_self_signed_certificates_a_list_is_ignored_until_a_set_is_there() {
    let pki = OpensslPki::new();
    let bad = pki.client();
    let list = pki.crl(&[&bad.cert], NextUpdate::InAMonth);
    let console = TestConsole::setup().custom(&vec![(FILE, list.into_bytes())]).start().await;
    let line = console.program().line("Ignored defender-crl.pem").await;
    assert!(line.starts_with("INFO"), "{line}");
    let mut defender = TestDefender::of(&console).await;
    holds("the Defender stays", Duration::from_secs(2), async || {
        match defender.program().count_after(0, "Disconnected") {
            0 => Ok(()),
            count => Err(count),
        }
    })
    .await;
    // While it is connected, the Console holds back a set that would cut it off.
    defender.stop().await;
    Manner::InPlace.place(&console.custom_dir(), &Channel::WebSocket.files(&pki.server()));
    console.program().line("Revocation list in use").await;
    assert!(refusal(&console, &bad.into()).await.contains("CertificateRevoked"));
}
