//! `kill -9` of either side in mid stream: no acknowledged report is lost, none is stored twice.

use std::time::Duration;

use serde_json::json;
use system_tests::place::Manner;
use system_tests::{Channel, SOON, TestConsole, Wire, eventually};
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
    for round in 0..4 {
        // Each set is a changed fact: reports are being written when the kill comes.
        let set = stage.pki.client();
        stage.place(Channel::Defender, Manner::Renamed, &Channel::Defender.files(&set));
        tokio::time::sleep(Duration::from_millis(150 * round + 200)).await;
        stage.defender.kill_and_restart().await;
        let shown = only_defender(&stage.api).await;
        assert_eq!(shown["id"], stage.id.as_str(), "the identity survives");
        let lines = stage.defender.program().lines();
        assert!(
            !lines.iter().any(|line| line.starts_with("CRIT ") || line.contains("panicked")),
            "{lines:#?}"
        );
    }
    assert_eq!(stage.console.program().count_after(0, "4000"), 0, "{:#?}", stage.console.program().lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_made_while_the_console_is_down_arrive_after_it_is_back() {
    let mut stage = Stage::start().await;
    let last_seq = async |stage: &mut Stage| {
        stage.defender.stop().await;
        let identity = stage.pki.client().into();
        let id = stage.id.parse().expect("a UUID");
        let (wire, welcome) = Wire::join(stage.console.defenders, &identity, id).await.expect("welcome");
        wire.close().await;
        stage.defender.start_again();
        stage.defender.program().line("Connected to Console").await;
        welcome["last_seq"].as_u64().expect("a number")
    };
    let before = last_seq(&mut stage).await;
    stage.console.program_mut().kill();
    let mut sets = Vec::new();
    for _ in 0..3 {
        let set = stage.pki.client();
        let mark = stage.defender.program().mark();
        stage.place(Channel::Defender, Manner::Renamed, &Channel::Defender.files(&set));
        stage.defender.program().line_after(mark, Channel::Defender.rotated_text()).await;
        sets.push(set);
    }
    stage.defender.program_mut().kill();
    stage.defender.start_again();
    stage.console.start_again().await;
    let back = stage.defender.program().try_line(0, "Connected to Console", Duration::from_secs(60)).await;
    assert!(back.is_some());
    let after = eventually("the reports have arrived", SOON * 2, async || {
        let after = last_seq(&mut stage).await;
        if after > before { Ok(after) } else { Err((before, after)) }
    })
    .await;
    assert!(after > before);
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
