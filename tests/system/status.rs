//! `defender status`: what probes ask.

use std::process::Command;

use system_tests::program::{binary, run};
use system_tests::{SOON, TestConsole, TestDefender, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_0_while_connected_and_1_with_a_reason_otherwise() {
    let mut console = TestConsole::start().await;
    let mut defender = TestDefender::of(&console).await;
    eventually("status is 0", SOON, async || match defender.status() {
        (Some(0), _) => Ok(()),
        other => Err(other),
    })
    .await;
    console.program_mut().kill();
    let why = eventually("status is 1", SOON, async || match defender.status() {
        (Some(1), why) => Ok(why),
        other => Err(other),
    })
    .await;
    assert!(why.trim().len() > 10, "{why}");
    console.start_again().await;
    eventually("status is 0 again", SOON * 3, async || match defender.status() {
        (Some(0), _) => Ok(()),
        other => Err(other),
    })
    .await;
    defender.program_mut().kill();
    let (code, why) = defender.status();
    assert_eq!(code, Some(1), "a killed Defender is not connected: {why}");
    assert!(why.trim().len() > 10, "{why}");
}

#[test]
fn it_is_1_for_a_directory_without_a_defender() {
    let dir = tempfile::tempdir().expect("a directory");
    for path in [dir.path().to_string_lossy().into_owned(), "/nowhere/at/all".to_owned()] {
        let output = run(binary("defender"), &["status", "--data-dir", &path]);
        assert_eq!(output.status.code(), Some(1), "{path}");
    }
}

#[test]
fn the_variable_names_the_directory_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = Command::new(binary("defender"))
        .arg("status")
        .env("DEFENDER_DATA_DIR", dir.path())
        .output()
        .expect("started");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
}
