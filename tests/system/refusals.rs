//! Each cause of a refusal is told apart: in both logs, in events, in the API, and in figures.

use serde_json::{Value, json};
use system_tests::openssl::{KeyKind, Role, Validity};
use system_tests::wire::{End, hello};
use system_tests::{
    Api, Channel, Dialer, OpensslPki, SOON, TestConsole, TestDefender, Wire, eventually, holds,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::stage::only_defender;

/// The entry of the Refused list with this cause, once it is there.
async fn listed(api: &Api, cause: &str) -> Value {
    eventually(&format!("{cause} is listed"), SOON, async || {
        let all = api.get("defenders/refused").await;
        let found = all.as_array().into_iter().flatten().find(|one| one["cause"] == cause);
        found.cloned().ok_or(all.clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_refused_are_told_apart_everywhere() {
    let pki = OpensslPki::new();
    let console = TestConsole::setup().custom(&Channel::WebSocket.files(&pki.server())).start().await;
    let api = console.api().await;
    let events = api.events().await;
    let leaf = |validity| pki.leaf(Role::Client, KeyKind::Ec, validity);
    let foreign = OpensslPki::new().client();
    for (cause, set, in_log, in_defender) in [
        ("not-trusted", foreign, "does not trust the CA", "does not know the CA"),
        (
            "expired",
            leaf(Validity::Expired),
            "has expired 24 h ago",
            "it has expired by this host's clock too",
        ),
        (
            "not-yet-valid",
            leaf(Validity::NotYet),
            "not valid yet for another 364 days",
            "not valid yet by this",
        ),
    ] {
        let set = system_tests::PemSet { ca: pki.ca.clone(), ..set };
        let defender = TestDefender::setup(&console.address()).custom(&Channel::Defender.files(&set)).start();
        let line = defender.program().line("refuses this Defender's certificate").await;
        assert!(line.contains(in_defender), "{cause}: {line}");
        let line = console.program().line(&format!("reason={cause}")).await;
        assert!(line.starts_with("WARN") && line.contains("Defender refused"), "{line}");
        assert!(line.contains(in_log) && line.contains("remedy="), "{line}");
        let entry = listed(&api, cause).await;
        assert!(entry["detail"].as_str().is_some_and(|text| text.contains(in_log)), "{entry}");
        let subject = entry["certificate"]["subject"].as_str().expect("a subject");
        assert!(subject.contains("CN=leaf-") && entry["address"] == "127.0.0.1", "{entry}");
        let event = events.expect("defender.refused", |event| event["cause"] == cause).await;
        assert!(event["address"] == "127.0.0.1" && event["remedy"].is_string(), "{event}");
    }
    // Somebody who is no Defender is listed, and nobody hears of it.
    let _ = Dialer::blind().get(console.defenders, "/").await;
    listed(&api, "no-certificate").await;
    assert_eq!(events.count("defender.refused"), 3);
    let metrics = api.call(reqwest::Method::GET, "metrics", None).await.text;
    assert!(metrics.contains("garrison_defender_refusals_total{cause=\"no-certificate\"} 1"), "{metrics}");
    assert_eq!(api.get("defenders/refused?search=EXPIRED").await.as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_that_does_not_trust_the_console_is_named_by_what_it_has_against_it() {
    let pki = OpensslPki::new();
    let console = TestConsole::setup().custom(&Channel::WebSocket.files(&pki.server())).start().await;
    let api = console.api().await;
    let mut set = pki.client();
    set.ca = OpensslPki::new().ca;
    let _defender = TestDefender::setup(&console.address()).custom(&Channel::Defender.files(&set)).start();
    let entry = listed(&api, "console-not-trusted").await;
    assert!(entry["detail"].as_str().is_some_and(|text| text.contains("does not know the CA")), "{entry}");
    let line = console.program().line("reason=console-not-trusted").await;
    assert!(line.starts_with("WARN"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_certificate_out_of_its_dates_is_told_with_what_the_clocks_say() {
    let pki = OpensslPki::new();
    for (validity, says) in [(Validity::Expired, "it is expired"), (Validity::NotYet, "it is not valid yet")]
    {
        let server = pki.leaf(Role::Server, KeyKind::Ec, validity);
        let console = TestConsole::setup().custom(&Channel::WebSocket.files(&server)).start().await;
        let files = Channel::Defender.files(&pki.client());
        let defender = TestDefender::setup(&console.address()).custom(&files).start();
        let line = defender.program().line("Cannot connect to Console").await;
        assert!(line.contains(&format!("{says}: the clocks agree")), "{line}");
        let entry = listed(&console.api().await, "console-not-trusted").await;
        let detail = entry["detail"].as_str().expect("a text");
        assert!(detail.contains("out of its dates by the clock of that host"), "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hello_is_refused_for_is_listed_with_the_host() {
    let console = TestConsole::start().await;
    let (api, id) = (console.api().await, Uuid::new_v4());
    let identity = api.bundle().await;
    let said = async |message: &Value| {
        let mut wire = Wire::connect(console.defenders, &identity).await.expect("an upgrade");
        wire.send(message).await;
        wire.message().await
    };
    assert!(said(&hello(id)).await.is_ok(), "welcome");
    let answer = api.call(reqwest::Method::DELETE, &format!("defenders/{id}"), None).await;
    assert_eq!(answer.status, 204);
    let end = said(&hello(id)).await;
    assert!(matches!(&end, Err(End::Closed(4003, _))), "{end:?}");
    let entry = listed(&api, "decommissioned").await;
    assert_eq!(entry["defender"], id.to_string());
    assert!(entry["hostname"].as_str().is_some_and(|name| name.starts_with("host-")), "{entry}");
    assert!(entry["next_step"].as_str().is_some_and(|text| text.contains("install it anew")), "{entry}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_a_host_is_compared_with_the_console_s() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let (identity, id) = (api.bundle().await, Uuid::new_v4());
    let mut late = hello(id);
    let now = time::OffsetDateTime::now_utc() - time::Duration::minutes(192);
    late["time"] = json!(now.format(&time::format_description::well_known::Rfc3339).expect("formats"));
    let mut wire = Wire::connect(console.defenders, &identity).await.expect("an upgrade");
    wire.send(&late).await;
    wire.expect("welcome").await;
    let line = console.program().line("clock is 3 h 12 min behind the Console's").await;
    assert!(line.starts_with("WARN") && line.contains("NTP"), "{line}");
    let shown = api.get(&format!("defenders/{id}")).await;
    let ahead = shown["clock_ahead_seconds"].as_i64().expect("known");
    assert!((-11_540..=-11_500).contains(&ahead), "{ahead}");
    // A real one agrees.
    let _defender = TestDefender::of(&console).await;
    let all = eventually("both are there", SOON, async || {
        let all = api.get("defenders?connected=true").await;
        if all.as_array().is_some_and(|all| all.len() == 2) { Ok(all) } else { Err(all) }
    })
    .await;
    let real = all.as_array().into_iter().flatten().find(|one| one["id"] != id.to_string()).expect("it");
    assert!(real["clock_ahead_seconds"].as_i64().is_some_and(|ahead| ahead.abs() <= 10), "{real}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_disk_is_noticed_and_named_and_does_not_flap() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let events = api.events().await;
    let mut first = TestDefender::of(&console).await;
    let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
    first.stop().await;
    let copy = TestDefender::setup(&console.address()).flag("--hostname", "the-copy");
    let status =
        std::process::Command::new("cp").arg("-a").arg(first.dir().join("data")).arg(copy.dir()).status();
    assert!(status.is_ok_and(|status| status.success()));
    first.start_again();
    first.program().line("Connected to Console").await;
    let copy = copy.connect().await;
    let event = events.expect("defender.cloned", |event| event["id"] == id.as_str()).await;
    assert_eq!(event["other_hostname"], "the-copy", "{event}");
    let line = console.program().line("Two hosts use the identity of one Defender").await;
    assert!(line.starts_with("WARN") && line.contains("other_hostname=the-copy"), "{line}");
    let line = copy.program().line("another host with this identity is connected").await;
    assert!(line.contains("delete its data directory"), "{line}");
    let shown = api.defender(&id, "is marked", |shown| shown["cloned"]["hostname"] == "the-copy").await;
    assert!(shown["connected"] == true && shown["hostname"] != "the-copy", "{shown}");
    let connects = first.program().count_after(0, "Connected to Console");
    holds(
        "the first one is not driven out any more",
        std::time::Duration::from_secs(5),
        async || match first.program().count_after(0, "Connected to Console") {
            count if count == connects => Ok(()),
            count => Err(count),
        },
    )
    .await;
    listed(&api, "cloned").await;
}

/// What a network does to a Defender, one connection after the other.
async fn vandal(listener: TcpListener) {
    let alerts: [&[u8]; 4] = [
        b"\x15\x03\x03\x00\x02\x02\x2c", // TLS alert: certificate revoked
        b"\x15\x03\x03\x00\x02\x02\x30", // TLS alert: unknown CA
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for turn in 0.. {
        let Ok((mut tcp, _)) = listener.accept().await else { return };
        let mut hello = [0; 512];
        let _ = tcp.read(&mut hello).await;
        if let Some(bytes) = alerts.get(turn % 5) {
            let _ = tcp.write_all(bytes).await;
        }
        // Reset instead of a proper end, now and then.
        if turn % 2 == 0 {
            let _ = socket2::SockRef::from(&tcp).set_linger(Some(std::time::Duration::ZERO));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_the_network_touches_the_identity() {
    let mut console = TestConsole::start().await;
    let mut defender = TestDefender::of(&console).await;
    let id = only_defender(&console.api().await).await["id"].clone();
    let own = defender.dir().join("data/own-certificate.json");
    let before = std::fs::read(&own).expect("enrolled");
    console.program_mut().kill();
    let listener = TcpListener::bind(("127.0.0.1", console.defenders)).await.expect("its port");
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(vandal(listener));
    for _ in 0..2 {
        let mark = defender.program().mark();
        eventually("four attempts", std::time::Duration::from_secs(60), async || {
            match defender.program().count_after(mark, "Cannot connect to Console") {
                4.. => Ok(()),
                count => Err(count),
            }
        })
        .await;
        assert_eq!(defender.program().count_after(mark, "idles"), 0, "a stranger's alert is nothing");
        assert!(std::fs::read(&own).expect("kept") == before, "the certificate is as it was");
        // Also while it starts.
        defender.stop().await;
        defender.start_again();
    }
    tasks.shutdown().await;
    console.start_again().await;
    let api = console.api().await;
    let id = id.as_str().expect("an id").to_owned();
    eventually("the Defender is back as itself", std::time::Duration::from_secs(60), async || {
        let shown = api.get(&format!("defenders/{id}")).await;
        if shown["connected"] == true { Ok(()) } else { Err(shown) }
    })
    .await;
    assert!(std::fs::read(&own).expect("kept") == before, "nor renewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_of_another_console_on_this_port_keeps_its_certificate() {
    let (mine, other) = (TestConsole::start().await, TestConsole::start().await);
    let mut defender = TestDefender::of(&mine).await;
    let own = defender.dir().join("data/own-certificate.json");
    let before = std::fs::read(&own).expect("enrolled");
    defender.stop().await;
    let elsewhere = TestDefender::setup(&other.address());
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(defender.dir().join("data"))
        .arg(elsewhere.dir())
        .status();
    assert!(status.is_ok_and(|status| status.success()));
    let elsewhere = elsewhere.start();
    let line = elsewhere.program().line("Cannot connect to Console").await;
    assert!(line.contains("no CA that issued it"), "{line}");
    assert!(std::fs::read(elsewhere.dir().join("data/own-certificate.json")).expect("kept") == before);
    listed(&other.api().await, "console-not-trusted").await;
}
