//! A changed set is taken while running, by its channel alone. Each rotation is proved by four assertions: the old
//! client works before; the live session is told and loses nothing; a new dial that trusts only the old authority
//! is refused; one that trusts the new succeeds.

use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use serde_json::json;
use system_tests::place::{Manner, write};
use system_tests::tls::leaf_sha256;
use system_tests::wire::End;
use system_tests::{
    Api, Channel, Dialer, Identity, OpensslPki, SOON, TestConsole, TestDefender, Wire, eventually, holds,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use crate::stage::{Stage, assert_never_disconnected, only_defender, served};
use crate::under_load::Reporter;

#[tokio::test(flavor = "multi_thread")]
async fn https_moves_to_a_new_authority_and_nothing_else_is_disturbed() {
    let stage = Stage::start().await;
    let new = OpensslPki::new();
    let port = stage.console.https;
    let (old_client, new_client) = (Dialer::trusting(&[&stage.pki.ca]), Dialer::trusting(&[&new.ca]));
    let ping = "/api/v1/_ping";
    assert_eq!(old_client.get(port, ping).await.expect("the old authority is right before").0, 200);
    new_client.dial(port).await.expect_err("the new authority is wrong before");
    let untouched = stage.in_effect(Channel::WebSocket).await;
    let rotated_at = stage.api.certificate("console-defender").await["rotated_at"].clone();
    let defender_mark = stage.defender.program().mark();
    let mut live = old_client.dial(port).await.expect("a connection before");

    let set = new.server();
    stage.rotate(Channel::Https, Manner::Renamed, &set).await;

    let request = format!("GET {ping} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut answer = String::new();
    let asked = live.write_all(request.as_bytes()).await.is_ok();
    let read = tokio::time::timeout(SOON, live.read_to_string(&mut answer)).await;
    assert!(read.is_ok(), "the old connection is closed, after what it was asked: {asked} {answer}");
    old_client.dial(port).await.expect_err("the old authority is wrong now");
    let (status, _, seen) = new_client.get(port, ping).await.expect("the new authority is right now");
    assert_eq!((status, seen.leaf_sha256), (200, leaf_sha256(&set.cert)));

    assert_eq!(stage.in_effect(Channel::WebSocket).await, untouched);
    assert_eq!(stage.api.certificate("console-defender").await["rotated_at"], rotated_at);
    assert_eq!(stage.console.program().count_after(0, Channel::WebSocket.rotated_text()), 0);
    assert_eq!(stage.defender.program().mark(), defender_mark, "{:?}", stage.defender.program().lines());
    let told = stage.api.certificate("console-https").await;
    assert_eq!(told["sha256"], leaf_sha256(&set.cert).as_str());
    assert_eq!(told["source"], "custom");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_websocket_moves_to_a_new_authority_and_https_is_not_disturbed() {
    let old = OpensslPki::new();
    let new = OpensslPki::new();
    let console = TestConsole::setup()
        .custom(&Channel::Https.files(&old.server()))
        .custom(&Channel::WebSocket.files(&old.server()))
        .start()
        .await;
    let api = console.api().await;
    let events = api.events().await;
    let https = served(console.https).await;
    let (before, after) = (Identity::from(old.client()), Identity::from(new.client()));
    let id = Uuid::new_v4();
    let (mut live, _) =
        Wire::join(console.defenders, &before, id).await.expect("the old client works before");
    live.report(1, "test", json!({"n": 1})).await;
    live.acked(1).await.expect("stored");

    let set = new.server();
    Manner::Renamed.place(&console.custom_dir(), &Channel::WebSocket.files(&set));
    let reconnect = live.expect("reconnect").await;
    assert!(reconnect["spread_seconds"].is_u64() && reconnect["reason"].is_string(), "{reconnect}");
    console.program().line(Channel::WebSocket.rotated_text()).await;
    live.report(2, "test", json!({"n": 2})).await;
    live.acked(2).await.expect("the old session still stores");

    Wire::join(console.defenders, &before, Uuid::new_v4()).await.expect_err("an old client is refused now");
    let (next, welcome) = Wire::join(console.defenders, &after, id).await.expect("a new client gets in");
    assert_eq!(welcome["last_seq"], 2, "no report is lost");
    assert_eq!(next.seen().leaf_sha256, leaf_sha256(&set.cert));
    let end = live.end(SOON).await;
    assert!(matches!(end, End::Closed(4009, _)), "{end:?}");
    assert_never_disconnected(&events);
    assert_eq!(served(console.https).await, https);
    assert_eq!(console.program().count_after(0, Channel::Https.rotated_text()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_moves_to_a_new_certificate_and_only_its_own_connection_is_made_anew() {
    let stage = Stage::start().await;
    let events = stage.events().await;
    let console_before = (stage.in_effect(Channel::Https).await, stage.in_effect(Channel::WebSocket).await);
    let set = stage.pki.client();
    let mark = stage.defender.program().mark();
    stage.rotate(Channel::Defender, Manner::InPlace, &set).await;
    stage.defender.program().line_after(mark, "Connected to Console").await;
    let shown = stage.api.get(&format!("defenders/{}", stage.id)).await;
    assert_eq!(shown["connected"], true);
    assert_eq!(shown["certificate"]["sha256"], leaf_sha256(&set.cert).as_str());
    assert_never_disconnected(&events);
    let console_now = (stage.in_effect(Channel::Https).await, stage.in_effect(Channel::WebSocket).await);
    assert_eq!(console_now, console_before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_whose_new_set_the_console_refuses_keeps_its_old_connection_and_tries_again() {
    let stage = Stage::start().await;
    let events = stage.events().await;
    let before = stage.in_effect(Channel::Defender).await;
    let mut foreign = OpensslPki::new().client();
    foreign.ca = stage.pki.ca.clone();
    let mark = stage.defender.program().mark();
    stage.place(Channel::Defender, Manner::InPlace, &Channel::Defender.files(&foreign));
    stage.defender.program().line_after(mark, Channel::Defender.rotated_text()).await;
    holds("the old connection stays", Duration::from_secs(3), async || {
        let seen = stage.in_effect(Channel::Defender).await;
        if seen == before { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_never_disconnected(&events);
    let (code, text) = stage.defender.status();
    assert_eq!(code, Some(0), "{text}");
    let good = stage.pki.client();
    stage.rotate(Channel::Defender, Manner::InPlace, &good).await;
    assert_never_disconnected(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_openssl_sets_in_a_row_rotate_ten_times_with_the_defender_connected_throughout() {
    let mut stage = Stage::start().await;
    let events = stage.events().await;
    let identity = Identity::from(stage.pki.client());
    let reporter = Reporter::start(stage.console.defenders, &identity);
    for round in 1..=10 {
        // Both sides trust the same authority before and after; leaves and keys are new.
        stage.rotate(Channel::WebSocket, Manner::InPlace, &stage.pki.server()).await;
        stage.rotate(Channel::Defender, Manner::InPlace, &stage.pki.client()).await;
        let now = stage.api.get(&format!("defenders/{}", stage.id)).await;
        assert_eq!(now["connected"], true, "round {round}");
        assert_eq!(stage.defender.status().0, Some(0), "round {round}");
    }
    for (channel, program) in
        [(Channel::WebSocket, stage.console.program()), (Channel::Defender, stage.defender.program())]
    {
        assert_eq!(program.count_after(0, channel.rotated_text()), 10, "{channel:?}");
        assert_eq!(program.count_after(0, "ERRO "), 0, "{channel:?}: {:#?}", program.lines());
    }
    assert_never_disconnected(&events);
    reporter.stop().await;
    stage.defender.stop().await;
    let id = stage.id.parse().expect("a UUID");
    let (_, welcome) = Wire::join(stage.console.defenders, &identity, id).await.expect("welcome");
    assert!(welcome["last_seq"].as_u64() >= Some(1), "the facts of the host: {welcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_fleet_moves_to_a_new_authority_by_trusting_both_for_a_while() {
    let stage = Stage::start().await;
    let events = stage.events().await;
    let new = OpensslPki::new();
    let both = format!("{}{}", stage.pki.ca, new.ca);
    let with_both = |mut set: system_tests::PemSet| {
        set.ca = both.clone();
        set
    };
    stage.rotate(Channel::WebSocket, Manner::Projected, &with_both(stage.pki.server())).await;
    stage.rotate(Channel::Defender, Manner::Projected, &with_both(stage.pki.client())).await;
    stage.rotate(Channel::Defender, Manner::Projected, &with_both(new.client())).await;
    stage.rotate(Channel::WebSocket, Manner::Projected, &with_both(new.server())).await;
    stage.rotate(Channel::Defender, Manner::Projected, &new.client()).await;
    stage.rotate(Channel::WebSocket, Manner::Projected, &new.server()).await;
    let refused = Identity::from(stage.pki.client());
    Wire::join(stage.console.defenders, &refused, Uuid::new_v4())
        .await
        .expect_err("the old authority is gone");
    assert_never_disconnected(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_follow_is_closed_with_1012_when_the_grace_ends() {
    let pki = OpensslPki::new();
    for (grace, at_least, at_most) in [("3s", 2, 15), ("0s", 0, 8)] {
        let console = TestConsole::setup()
            .custom(&Channel::WebSocket.files(&pki.server()))
            .flag("--rotation-grace", grace)
            .start()
            .await;
        let identity = Identity::from(pki.client());
        let (mut wire, _) = Wire::join(console.defenders, &identity, Uuid::new_v4()).await.expect("welcome");
        let mark = console.program().mark();
        Manner::InPlace.place(&console.custom_dir(), &Channel::WebSocket.files(&pki.server()));
        console.program().line_after(mark, Channel::WebSocket.rotated_text()).await;
        let begin = Instant::now();
        let end = wire.end(SOON).await;
        assert!(matches!(end, End::Closed(1012, _)), "{grace}: {end:?}");
        let took = begin.elapsed().as_secs();
        assert!((at_least..at_most).contains(&took), "{grace}: closed after {took} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_tickets_die_with_the_configuration_that_issued_them() {
    let console = TestConsole::start().await;
    let client = Dialer::blind();
    let kind = async |what: &str| {
        let (status, _, seen) = client.get(console.https, "/api/v1/_ping").await.expect(what);
        assert_eq!(status, 200);
        seen.kind
    };
    assert_eq!(kind("the first dial").await, HandshakeKind::Full);
    assert_eq!(
        kind("a second dial").await,
        HandshakeKind::Resumed,
        "HTTPS resumes as long as nothing changes"
    );
    Manner::InPlace.place(&console.custom_dir(), &Channel::Https.files(&OpensslPki::new().server()));
    console.program().line(Channel::Https.rotated_text()).await;
    assert_ne!(kind("a dial after the rotation").await, HandshakeKind::Resumed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_finished_and_http_2_connections_are_told_to_go() {
    let grace = Duration::from_secs(4);
    let pki = OpensslPki::new();
    let console = TestConsole::setup()
        .custom(&Channel::Https.files(&pki.server()))
        .flag("--rotation-grace", "4s")
        .start()
        .await;
    let stream = Dialer::blind().alpn(&["h2"]).dial(console.https).await.expect("a handshake");
    let (mut idle, connection) = hyper::client::conn::http2::handshake::<_, _, String>(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .expect("HTTP/2");
    let mut connection = tokio::task::JoinSet::from_iter([connection]);
    let request =
        hyper::Request::get("https://localhost/api/v1/_ping").body(String::new()).expect("a request");
    assert_eq!(idle.send_request(request).await.expect("an answer").status(), 200);
    // An event stream is a request in flight that does not end by itself.
    let events = console.api().await.events().await;
    Manner::Renamed.place(&console.custom_dir(), &Channel::Https.files(&pki.server()));
    console.program().line(Channel::Https.rotated_text()).await;
    let begin = Instant::now();
    let ended = tokio::time::timeout(SOON, connection.join_next()).await;
    assert!(ended.is_ok(), "the idle HTTP/2 connection ends");
    assert!(begin.elapsed() < grace, "GOAWAY comes at once: {:?}", begin.elapsed());
    events.expect("certificates.rotated", |_| true).await;
    events.expect("stream.ended", |_| true).await;
    assert!(begin.elapsed() < grace * 3, "nothing outlives the grace: {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_content_and_other_files_change_nothing() {
    let stage = Stage::start().await;
    let set = stage.pki.server();
    stage.rotate(Channel::Https, Manner::Renamed, &set).await;
    let (console, defender) = (stage.console.program().mark(), stage.defender.program().mark());
    for manner in [Manner::InPlace, Manner::Renamed, Manner::LinkedElsewhere] {
        stage.place(Channel::Https, manner, &Channel::Https.files(&set));
        write(&stage.dir(Channel::Https).join("notes.txt"), b"not a certificate");
        write(&stage.dir(Channel::Defender).join("console-key.pem"), b"not of this program");
        holds("neither program tells of it", Duration::from_millis(800), async || {
            let mut told = stage.console.program().lines().split_off(console);
            told.extend(stage.defender.program().lines().split_off(defender));
            told.retain(|line| !line.starts_with("DEBU "));
            if told.is_empty() { Ok(()) } else { Err(told) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_files_are_a_warning_and_the_next_start_decides_afresh() {
    let mut stage = Stage::start().await;
    let before = stage.all_in_effect().await;
    for channel in Channel::ALL {
        let mark = stage.program(channel).mark();
        let file = stage.dir(channel).join(channel.key_file());
        let content = std::fs::read(&file).expect("there");
        std::fs::remove_file(&file).expect("there");
        let line = stage.program(channel).line_after(mark, channel.key_file()).await;
        assert!(line.starts_with("WARN "), "{line}");
        assert_eq!(stage.all_in_effect().await, before, "{channel:?}");
        write(&file, &content);
        holds(&format!("{channel:?}: the same set"), Duration::from_millis(700), async || {
            match stage.program(channel).count_after(mark, channel.rotated_text()) {
                0 => Ok(()),
                times => Err(times),
            }
        })
        .await;
    }
    std::fs::remove_file(stage.console.custom_dir().join("console-key.pem")).expect("there");
    stage.console.restart().await;
    let api = stage.console.api().await;
    assert_eq!(api.certificate("console-https").await["source"], "self-signed");
    assert_eq!(api.certificate("console-defender").await["source"], "custom");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_set_is_told_once_by_log_api_and_event_until_it_is_mended() {
    let stage = Stage::start().await;
    let events = stage.events().await;
    let mut bad = stage.pki.server();
    bad.key = stage.pki.server().key;
    let mark = stage.console.program().mark();
    stage.place(Channel::WebSocket, Manner::InPlace, &Channel::WebSocket.files(&bad));
    let text = "Failed to load console defender server custom certificates: ";
    stage.console.program().line_after(mark, text).await;
    let told = eventually("last_error is told", SOON, async || {
        let told = stage.api.certificate("console-defender").await;
        if told["last_error"].is_string() { Ok(told) } else { Err(told) }
    })
    .await;
    assert!(told["last_error"].as_str().expect("text").contains("defender-server-"), "{told}");
    events.expect("certificates.refused", |_| true).await;
    holds("once for this set and cause", Duration::from_millis(1200), async || {
        match stage.console.program().count_after(mark, text) {
            1 => Ok(()),
            times => Err(times),
        }
    })
    .await;
    stage.rotate(Channel::WebSocket, Manner::InPlace, &stage.pki.server()).await;
    events.expect("certificates.rotated", |_| true).await;
    assert!(stage.api.certificate("console-defender").await["last_error"].is_null());
    assert_never_disconnected(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_custom_websocket_set_bundle_clients_are_refused_and_no_bundle_is_issued() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let bundle = api.bundle().await;
    Wire::join(console.defenders, &bundle, Uuid::new_v4()).await.expect("a bundle client gets in before");
    let pki = OpensslPki::new();
    Manner::InPlace.place(&console.custom_dir(), &Channel::WebSocket.files(&pki.server()));
    console.program().line(Channel::WebSocket.rotated_text()).await;
    let mut bundle_with_right_ca = bundle.clone();
    bundle_with_right_ca.ca = pki.ca.clone();
    Wire::join(console.defenders, &bundle_with_right_ca, Uuid::new_v4()).await.expect_err("refused now");
    let path = "defenders/install-bundle?consoleaddr=localhost";
    let answer = api.call(reqwest::Method::GET, path, None).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.header("content-type").starts_with("application/problem+json"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_follows_its_console_from_self_signed_to_custom_and_back_after_a_restart() {
    let mut console = TestConsole::start().await;
    let defender = TestDefender::of(&console).await;
    let pki = OpensslPki::new();
    // The Defender first: its set waits until the Console knows the authority. Meanwhile the old connection stays.
    let mark = defender.program().mark();
    Manner::InPlace.place(&defender.custom_dir(), &Channel::Defender.files(&pki.client()));
    defender.program().line_after(mark, Channel::Defender.rotated_text()).await;
    Manner::InPlace.place(&console.custom_dir(), &Channel::WebSocket.files(&pki.server()));
    console.program().line(Channel::WebSocket.rotated_text()).await;
    let api: Api = console.api().await;
    eventually("the Defender has moved to the custom set", Duration::from_secs(60), async || {
        let all = api.get("defenders?connected=true").await;
        if all[0]["certificate"]["source"] == "custom" { Ok(()) } else { Err(all) }
    })
    .await;
    std::fs::remove_file(console.custom_dir().join("defender-server-key.pem")).expect("there");
    std::fs::remove_file(defender.custom_dir().join("defender-client-key.pem")).expect("there");
    console.restart().await;
    let mut defender = defender;
    defender.stop().await;
    defender.start_again();
    defender.program().line("Connected to Console").await;
    assert_eq!(only_defender(&console.api().await).await["certificate"]["source"], "self-signed");
}
