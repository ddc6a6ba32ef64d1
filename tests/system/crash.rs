//! `kill -9` of either side in mid stream: no acknowledged report is lost, none is stored twice.

use std::time::Duration;

use serde_json::json;
use system_tests::place::Manner;
use system_tests::{Channel, SOON, TestConsole, Wire, eventually, pass};
use uuid::Uuid;

use crate::stage::{Stage, only_defender};

#[tokio::test(flavor = "multi_thread")]
async fn reports_acknowledged_before_a_kill_of_the_console_are_stored_and_the_others_can_be_sent_again() {
    let mut console = TestConsole::start().await;
    let identity = console.api().await.bundle().await;
    let id = Uuid::new_v4();
    let mut next = 1;
    for _ in 0..5 {
        let (mut wire, welcome) = Wire::join(console.defenders, &identity, id).await.expect("welcome");
        let stored = welcome["last_seq"].as_u64().expect("a number");
        assert!(stored + 1 >= next, "acknowledged {next}, stored {stored}");
        next = stored + 1;
        let mut acked = stored;
        // The kill comes while reports are on their way.
        for seq in next..next + 150 {
            wire.report(seq, "test", json!({"seq": seq})).await;
        }
        console.program_mut().kill();
        while let Ok(message) = wire.message().await {
            if message["type"] == "ack" {
                acked = message["seq"].as_u64().expect("a number");
            }
        }
        next = acked + 1;
        console.start_again().await;
    }
    let (mut wire, welcome) = Wire::join(console.defenders, &identity, id).await.expect("welcome");
    let stored = welcome["last_seq"].as_u64().expect("a number");
    assert!(stored + 1 >= next, "acknowledged {next}, stored {stored}");
    wire.report(stored + 1, "test", json!(null)).await;
    wire.acked(stored + 1).await.expect("and on it goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_killed_in_mid_stream_goes_on_where_it_was_and_numbers_nothing_twice() {
    let mut stage = Stage::start().await;
    let mut stored = last_seq(&mut stage).await;
    for round in 0..4 {
        // Reports are being written, sent or acknowledged when the kill comes.
        change_facts(&stage).await;
        pass(Duration::from_millis(round), "the kill comes at another step each round").await;
        stage.defender.kill_and_restart().await;
        let shown = only_defender(&stage.api).await;
        assert_eq!(shown["id"], stage.id.as_str(), "the identity survives");
        let lines = stage.defender.program().lines();
        assert!(
            !lines.iter().any(|line| line.starts_with("CRIT ") || line.contains("panicked")),
            "{lines:#?}"
        );
        let now = last_seq(&mut stage).await;
        assert!(now > stored, "round {round}: {stored} before, {now} now");
        stored = now;
    }
    assert_eq!(stage.console.program().count_after(0, "4000"), 0, "{:#?}", stage.console.program().lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_made_while_the_console_is_down_arrive_after_it_is_back() {
    let mut stage = Stage::start().await;
    let before = last_seq(&mut stage).await;
    stage.console.program_mut().kill();
    for _ in 0..3 {
        change_facts(&stage).await;
    }
    // Only what is on disk can arrive.
    stage.defender.program_mut().kill();
    stage.defender.start_again();
    stage.console.start_again().await;
    let back = stage.defender.program().try_line(0, "Connected to Console", Duration::from_secs(60)).await;
    assert!(back.is_some());
    eventually("three times two changes have arrived", SOON * 2, async || {
        let after = last_seq(&mut stage).await;
        if after >= before + 6 { Ok(()) } else { Err((before, after)) }
    })
    .await;
}

/// Two changes of the host's facts, each waited for: a set that would not load, and one that would.
async fn change_facts(stage: &Stage) {
    for is_good in [false, true] {
        let mut set = stage.pki.client();
        if !is_good {
            set.key = stage.pki.client().key;
        }
        let mark = stage.defender.program().mark();
        stage.place(Channel::Defender, Manner::Renamed, &Channel::Defender.files(&set));
        let told = if is_good { Channel::Defender.rotated_text() } else { "Failed to load defender client" };
        stage.defender.program().line_after(mark, told).await;
        stage.defender.program().line_after(mark, "The facts of the host are to be reported").await;
    }
}

/// The number of the Defender's last report that the Console has. The Defender is stopped for a moment, so that
/// nobody else asks under its identity.
async fn last_seq(stage: &mut Stage) -> u64 {
    stage.defender.stop().await;
    let identity = stage.pki.client().into();
    let id = stage.id.parse().expect("a UUID");
    let (wire, welcome) = Wire::join(stage.console.defenders, &identity, id).await.expect("welcome");
    wire.close().await;
    stage.defender.start_again();
    stage.defender.program().line("Connected to Console").await;
    welcome["last_seq"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_console_starts_again_on_the_same_material() {
    let mut console = TestConsole::start().await;
    let before = (crate::stage::served(console.https).await, crate::stage::served(console.defenders).await);
    console.kill_and_restart().await;
    let after = (crate::stage::served(console.https).await, crate::stage::served(console.defenders).await);
    assert_eq!(before, after, "good material is never written anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_authority_is_an_error_with_a_remedy_and_never_replaced() {
    let mut console = TestConsole::start().await;
    console.program_mut().kill();
    let folder = console.dir().join("data/certificates");
    let mode = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&folder), 0o700);
    let mut keys = 0;
    let mut contents = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("listing").flatten() {
        let content = std::fs::read_to_string(entry.path()).unwrap_or_default();
        if content.contains("PRIVATE KEY") {
            keys += 1;
            assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
            std::fs::write(entry.path(), &content[..content.len() / 2]).expect("writing");
        }
        contents.push((entry.path(), std::fs::read(entry.path()).expect("reading")));
    }
    assert!(keys > 0, "there are keys in {folder:?}");
    let mark = console.program().mark();
    assert!(mark > 0);
    let ended = console.start_again_in_vain().await;
    assert_eq!(ended.status.code(), Some(1));
    let line = ended.program.line("CRIT ").await;
    assert!(line.contains("certificates"), "{line}");
    for (path, content) in contents {
        assert_eq!(std::fs::read(&path).expect("still there"), content, "{path:?} is as it was");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_a_killed_console_left_open_is_ended_at_the_next_start() {
    let mut console = TestConsole::start().await;
    let api = console.api().await;
    let id = Uuid::new_v4();
    let identity = api.bundle().await;
    let wire = Wire::join(console.defenders, &identity, id).await.expect("welcome");
    let path = format!("defenders/{id}/connections");
    let open = api.get(&path).await;
    assert_eq!(
        (open[0]["disconnected_at"].is_null(), open.as_array().map(Vec::len)),
        (true, Some(1)),
        "{open}"
    );
    console.program_mut().kill();
    drop(wire);
    console.start_again().await;
    let api = console.api().await;
    let list = eventually("the end of the connection", SOON, async || {
        let list = api.get(&path).await;
        if list[0]["disconnected_at"].is_null() { Err(list) } else { Ok(list) }
    })
    .await;
    assert_eq!(list[0]["cause"], "the Console stopped", "{list}");
    let _wire = Wire::join(console.defenders, &identity, id).await.expect("welcome");
    let list = api.get(&path).await;
    assert_eq!((list[0]["cause"].is_null(), list.as_array().map(Vec::len)), (true, Some(2)), "{list}");
}
