//! Backup and restore with the real programs: beside a running Console, into a fresh directory, and killed in the middle.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use system_tests::place::write;
use system_tests::program::{binary, run};
use system_tests::{Api, SOON, TestConsole, TestDefender, Wire, eventually, pass_blocking};
use uuid::Uuid;

use crate::stage::only_defender;

/// Runs a tool of the Console; what it says is on standard output and error.
fn tool(console: &TestConsole, what: &str, file: &Path, data: &Path, more: &[&str]) -> Output {
    let secret = console.dir().join("passphrase");
    write(&secret, PASSPHRASE.as_bytes());
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (file, data, secret) = (text(file), text(data), text(&secret));
    let given = [what, &file, "--data-dir", &data, "--passphrase-file", &secret];
    let output = run(binary("console"), &[&given, more].concat());
    assert!(!said(&output).contains(PASSPHRASE), "{output:?}");
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn data(console: &TestConsole) -> PathBuf {
    console.dir().join("data")
}

async fn ca(console: &TestConsole) -> String {
    Api::anonymous(console.https).call(Method::GET, "certs/ca.pem", None).await.text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_comes_back_from_a_backup_and_its_defenders_come_back_by_themselves() {
    let mut console = TestConsole::start().await;
    let defender = TestDefender::of(&console).await;
    let (api, before) = (console.api().await, ca(&console).await);
    let known = only_defender(&api).await["id"].clone();
    let (identity, id) = (api.bundle().await, Uuid::new_v4());
    let (mut wire, _) = Wire::join(console.defenders, &identity, id).await.expect("welcome");
    for seq in 1..=200 {
        wire.report(seq, "test", json!({"seq": seq, "text": "ü\u{0}'\"\n"})).await;
    }
    // While those are on their way to the disk.
    let file = console.dir().join("console.backup");
    let output = tool(&console, "backup", &file, &data(&console), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    wire.report(201, "test", json!(null)).await;
    wire.acked(201).await.expect("stored after the backup");
    drop(wire);

    let fresh = console.dir().join("fresh");
    let refused = tool(&console, "restore", &file, &data(&console), &["--replace"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("another process uses the data directory"), "{}", said(&refused));
    console.program_mut().kill();
    let mark = defender.program().mark();
    let output = tool(&console, "restore", &file, &fresh, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    console.set_flag("--data-dir", fresh.to_str().expect("UTF-8"));
    console.start_again().await;

    defender.program().line_after(mark, "Connected to Console").await;
    assert_eq!(ca(&console).await, before);
    let old = api.call(Method::GET, "defenders", None).await;
    assert_eq!(old.status, 401, "tokens are not in a backup");
    let api = console.api().await;
    assert_eq!(only_defender(&api).await["id"], known);
    console.program().line("The audit log is unbroken").await;

    // The Console is behind: what this Defender's outbox no longer has is not waited for, and nothing is stored twice.
    let (mut wire, welcome) = Wire::join(console.defenders, &identity, id).await.expect("welcome");
    let stored = welcome["last_seq"].as_u64().expect("a number");
    assert!(stored <= 200, "{welcome}");
    wire.report(202, "test", json!(null)).await;
    wire.report(202, "test", json!(null)).await;
    wire.acked(202).await.expect("a gap is taken");
    drop(wire);
    let (_, welcome) = Wire::join(console.defenders, &identity, id).await.expect("welcome");
    assert_eq!(welcome["last_seq"], 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_listed_downloaded_and_deleted_through_the_api() {
    let mut console = TestConsole::start().await;
    let api = console.api().await;
    let none = api.call(Method::POST, "backups", None).await;
    assert_eq!((none.status, none.json()["type"].as_str()), (409, Some("urn:garrison:problem:conflict")));
    let settings = json!({"schedule": "daily", "hour": 3, "keep": 2, "passphrase": PASSPHRASE});
    let answer = api.call(Method::POST, "settings/backups", Some(settings)).await;
    let shown = json!({"schedule": "daily", "hour": 3, "keep": 2, "passphraseSet": true});
    assert_eq!((answer.status, answer.json()), (200, shown.clone()), "without the passphrase");

    let made = api.call(Method::POST, "backups", None).await;
    assert_eq!(made.status, 201, "{made:?}");
    let listed = api.get("backups").await;
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]), (Some(1), &made.json()));
    assert_eq!(listed[0]["kind"], "requested");
    let name = listed[0]["name"].as_str().expect("a name").to_owned();
    for stranger in ["..%2Fconsole.db", "console.db", "%2e%2e%2f%2e%2e%2fetc%2fpasswd.backup", "x.backup"] {
        let answer = api.call(Method::GET, &format!("backups/{stranger}"), None).await;
        assert_eq!(answer.status, 404, "{stranger}: {answer:?}");
    }
    let viewer = json!({"username": "viewer", "password": "only for looking", "role": "viewer"});
    assert_eq!(api.call(Method::POST, "users", Some(viewer)).await.status, 201);
    let viewer = Api::sign_in(console.https, "viewer", "only for looking").await;
    for (method, path) in
        [(Method::GET, "backups"), (Method::POST, "backups"), (Method::GET, "settings/backups")]
    {
        assert_eq!(viewer.call(method, path, None).await.status, 403, "{path}");
    }

    let file = console.dir().join("downloaded");
    std::fs::write(&file, api.download(&format!("backups/{name}")).await).expect("writable");
    assert_eq!(api.call(Method::DELETE, &format!("backups/{name}"), None).await.status, 204);
    assert_eq!(api.get("backups").await, json!([]));
    let actions: Vec<_> = api.get("audits").await.as_array().expect("a list").clone();
    for action in ["backup.made", "backup.downloaded", "backup.deleted", "setting.changed"] {
        assert!(actions.iter().any(|entry| entry["action"] == action), "{action}");
    }
    console.restart().await;
    assert_eq!(console.api().await.get("settings/backups").await, shown);
    console.program_mut().kill();
    let fresh = console.dir().join("fresh");
    let output = tool(&console, "restore", &file, &fresh, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_each_step_of_a_rotation_there_is_a_backup_that_the_defenders_trust() {
    let mut console =
        TestConsole::setup().flag("--rotation-grace", "2s").flag("--heartbeat", "1s").start().await;
    let defender = TestDefender::of(&console).await;
    let api = console.api().await;
    let settings = json!({"schedule": "monthly", "keep": 2, "passphrase": PASSPHRASE});
    assert_eq!(api.call(Method::POST, "settings/backups", Some(settings)).await.status, 200);
    let mut newest = String::new();
    for (step, progress) in [("", "trust"), ("/advance", "moved"), ("/retire", "moved")] {
        let body = (step == "/retire").then(|| json!({}));
        let answer = api.call(Method::POST, &format!("authority/rotation{step}"), body).await;
        assert_eq!(answer.status, 200, "{step}: {answer:?}");
        let listed = eventually("a backup after the step", SOON, async || {
            let listed = api.get("backups").await;
            if listed[0]["name"].as_str().is_some_and(|name| name != newest) {
                Ok(listed)
            } else {
                Err(listed)
            }
        })
        .await;
        assert_eq!(listed[0]["kind"], "scheduled");
        newest = listed[0]["name"].as_str().expect("a name").to_owned();
        eventually("the Defender follows the step", SOON, async || {
            let shown = api.get("authority").await;
            if shown[progress] == 1 { Ok(()) } else { Err(shown) }
        })
        .await;
    }
    eventually("the oldest of three is gone", SOON, async || {
        let listed = api.get("backups").await;
        if listed.as_array().is_some_and(|all| all.len() == 2) { Ok(()) } else { Err(listed) }
    })
    .await;
    let file = console.dir().join("downloaded");
    std::fs::write(&file, api.download(&format!("backups/{newest}")).await).expect("writable");

    console.program_mut().kill();
    let mark = defender.program().mark();
    let fresh = console.dir().join("fresh");
    let output = tool(&console, "restore", &file, &fresh, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    console.set_flag("--data-dir", fresh.to_str().expect("UTF-8"));
    console.start_again().await;
    defender.program().line_after(mark, "Connected to Console").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_fails_is_an_alert_until_one_is_made() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let events = api.events().await;
    let settings = json!({"schedule": "daily", "passphrase": PASSPHRASE});
    assert_eq!(api.call(Method::POST, "settings/backups", Some(settings)).await.status, 200);
    let (there, away) = (data(&console).join("certificates"), data(&console).join("elsewhere"));
    std::fs::rename(&there, &away).expect("there");
    let failed = api.call(Method::POST, "backups", None).await;
    assert!(failed.status >= 500, "{failed:?}");
    let raised = events.expect("alert.raised", |data| data["alert"] == "backup-failed").await;
    assert!(raised["summary"].as_str().is_some_and(|text| text.contains("certificates")), "{raised}");
    std::fs::rename(&away, &there).expect("there");
    assert_eq!(api.call(Method::POST, "backups", None).await.status, 201);
    events.expect("alert.resolved", |data| data["alert"] == "backup-failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_told_apart_from_a_file_that_cannot_be_taken() {
    let mut console = TestConsole::start().await;
    let file = console.dir().join("console.backup");
    assert_eq!(run(binary("console"), &["backup", "x"]).status.code(), Some(2), "no passphrase");
    let output = tool(&console, "backup", &file, &console.dir().join("nothing"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("holds no data of a Console") && !console.dir().join("nothing").exists());
    console.program_mut().kill();
    for (content, words) in
        [("", "it was cut short"), ("hello, this is another file altogether", "it is no backup")]
    {
        write(&file, content.as_bytes());
        let output = tool(&console, "restore", &file, &console.dir().join("nothing"), &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(words) && said(&output).contains("remedy="), "{}", said(&output));
        assert!(!console.dir().join("nothing").exists(), "nothing was touched");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_either_leaves_the_old_or_the_new_and_never_half() {
    let mut console = TestConsole::start().await;
    let (file, place) = (console.dir().join("console.backup"), data(&console));
    let output = tool(&console, "backup", &file, &place, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let good = std::fs::read(&file).expect("there");
    for round in 0..8 {
        kill_after(&console, "backup", &file, &place, round);
        let now = std::fs::read(&file).expect("there");
        assert!(now == good || now.starts_with(b"GARRISON BACKUP\n"), "round {round}");
        if now != good {
            let fresh = console.dir().join(format!("fresh-{round}"));
            assert_eq!(tool(&console, "restore", &file, &fresh, &[]).status.code(), Some(0), "round {round}");
            write(&file, &good);
        }
    }
    console.program_mut().kill();
    for round in 0..10 {
        kill_after(&console, "restore", &file, &place, round);
        console.start_again().await;
        let api = console.api().await;
        assert_eq!(api.get("defenders").await, json!([]), "round {round}");
        console.program_mut().kill();
    }
    let output = tool(&console, "restore", &file, &place, &["--replace"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let left: Vec<_> =
        std::fs::read_dir(&place).expect("there").flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("restore.")), "{left:?}");
}

/// Starts a tool and kills it; each round a little later, over the time that it takes.
fn kill_after(console: &TestConsole, what: &str, file: &Path, data: &Path, round: u32) {
    let mut command = Command::new(binary("console"));
    command.arg(what).arg(file).arg("--data-dir").arg(data);
    if what == "restore" {
        command.arg("--replace");
    }
    command.arg("--passphrase-file").arg(console.dir().join("passphrase"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    pass_blocking(Duration::from_millis(40 + 110 * u64::from(round)), "the tool gets that far");
    let _ = child.kill();
    let _ = child.wait();
}

const PASSPHRASE: &str = "three words and a number 7";
