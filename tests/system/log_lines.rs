//! The shape of every log line (contract section 3), and what is never in one.

use serde_json::Value;
use system_tests::{Channel, TestConsole, TestDefender};

use crate::stage::Stage;

/// `LEVL 2026-11-22T17:37:46.645 file.rs:45 message`.
fn is_well_formed(line: &str) -> bool {
    let mut parts = line.splitn(4, ' ');
    let (Some(level), Some(time), Some(source), Some(message)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (file, number) = source.split_once(':').unwrap_or_default();
    ["DEBU", "INFO", "WARN", "ERRO", "CRIT"].contains(&level)
        && shape == "0000-00-00T00:00:00.000"
        && file.ends_with(".rs")
        && number.parse::<u32>().is_ok()
        && !message.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_lively_day_has_the_shape_of_the_contract() {
    let mut stage = Stage::start().await;
    for channel in Channel::ALL {
        stage.rotate(channel, system_tests::place::Manner::Renamed, &stage.pki.set_for(channel)).await;
    }
    std::fs::remove_file(stage.console.custom_dir().join("console-key.pem")).expect("there");
    stage.console.program().line("console-key.pem").await;
    stage.defender.stop().await;
    stage.console.restart().await;
    let lines = [stage.console.program().lines(), stage.defender.program().lines()].concat();
    assert!(lines.len() > 10);
    for line in lines {
        assert!(is_well_formed(&line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ready_line_is_info_and_names_both_addresses() {
    let console = TestConsole::start().await;
    let line = console.program().line("Console is ready").await;
    let expected =
        format!("Console is ready https=[::]:{} defender=[::]:{}", console.https, console.defenders);
    assert!(line.starts_with("INFO ") && line.ends_with(&expected), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_same_content_one_object_a_line() {
    let setup = TestConsole::setup().flag("--log-format", "json");
    let ended = setup.flag("--https-listen", "192.0.2.1:1").start_in_vain().await;
    let lines = ended.program.lines();
    assert!(!lines.is_empty());
    for line in lines {
        let object: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["level", "time", "source", "message"] {
            assert!(object[field].is_string(), "{field} in {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_leaves_out_what_is_below_it() {
    let console = TestConsole::setup().flag("--log-level", "info").start().await;
    let bundle = console.api().await.bundle().await;
    let setup = TestDefender::setup(&console.address()).bundle(&bundle).flag("--log-level", "info");
    let defender = setup.connect().await;
    for lines in [console.program().lines(), defender.program().lines()] {
        assert!(!lines.iter().any(|line| line.starts_with("DEBU ")), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_bundles_and_what_a_hostile_peer_sends_stay_out_or_are_escaped() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let bundle = api.bundle().await;
    let mut greeting = system_tests::wire::hello(uuid::Uuid::new_v4());
    greeting["defender"]["hostname"] = "evil\nCRIT 2026-01-01T00:00:00.000 x.rs:1 forged".into();
    let mut wire = system_tests::Wire::connect(console.defenders, &bundle).await.expect("an upgrade");
    wire.send(&greeting).await;
    let _ = wire.message().await;
    wire.send_text("\u{1b}[2Jnot json\nCRIT forged".to_owned()).await;
    wire.end(system_tests::SOON).await;
    let lines = console.program().lines();
    assert!(lines.iter().all(|line| is_well_formed(line) && !line.starts_with("CRIT")), "{lines:#?}");
    let secret = bundle.key.lines().nth(1).expect("base64");
    assert!(!lines.iter().any(|line| line.contains(api.token()) || line.contains(secret)));
}
