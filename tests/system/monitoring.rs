//! The page of metrics and the files in `deploy/monitoring/`, judged by `promtool` of Debian's package `prometheus`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Method;
use system_tests::{OpensslPki, TestConsole, Wire, repository};
use uuid::Uuid;

fn monitoring() -> PathBuf {
    repository().join("deploy/monitoring")
}

/// What promtool says of `input`; it must be content.
fn promtool(dir: &Path, arguments: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: `cargo xtask test` unpacks it, or install Debian's package prometheus");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    assert!(arguments[1] != "metrics" || said.trim().is_empty(), "promtool has doubts: {said}");
}

#[test]
fn the_alert_rules_are_valid_and_pass_their_own_tests() {
    promtool(&monitoring(), &["check", "rules", "garrison.rules.yaml"], "");
    promtool(&monitoring(), &["test", "rules", "garrison.rules.test.yaml"], "");
}

#[test]
fn the_sample_configuration_is_valid() {
    let dir = tempfile::tempdir().expect("a directory");
    for file in ["prometheus.yaml", "garrison.rules.yaml"] {
        std::fs::copy(monitoring().join(file), dir.path().join(file)).expect("a copy");
    }
    std::fs::write(dir.path().join("garrison-access-key"), "key").expect("written");
    std::fs::write(dir.path().join("garrison-ca.pem"), OpensslPki::new().ca).expect("written");
    promtool(dir.path(), &["check", "config", "prometheus.yaml"], "");
}

#[test]
fn every_expression_of_the_dashboard_can_be_evaluated() {
    let text = std::fs::read_to_string(monitoring().join("garrison-dashboard.json")).expect("a dashboard");
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let rows: Vec<_> = panels.iter().filter(|one| one["type"] == "row").map(|one| &one["title"]).collect();
    assert_eq!(rows, ["Fleet", "Certificates", "API", "Process"]);
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<String> = targets
        .map(|target| {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{target}");
            target["expr"].as_str().expect("an expression").replace("$__rate_interval", "5m")
        })
        .collect();
    assert!(expressions.len() > 30, "{expressions:?}");
    let rules: Vec<_> = expressions
        .iter()
        .enumerate()
        .map(|(number, expr)| serde_json::json!({"record": format!("dashboard:expression:{number}"), "expr": expr}))
        .collect();
    let rules = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("rules.yaml"), rules.to_string()).expect("written");
    promtool(dir.path(), &["check", "rules", "rules.yaml"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_metrics_of_a_console_with_a_defender_without_a_doubt() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let identity = api.bundle().await;
    let (_wire, _) = Wire::join(console.defenders, &identity, Uuid::new_v4()).await.expect("welcome");
    for path in ["defenders", "defenders?limit=0", "nowhere"] {
        api.call(Method::GET, path, None).await;
    }
    let page = api.call(Method::GET, "metrics", None).await.text;
    assert!(page.contains("garrison_defender_sessions 1\n"), "{page}");
    promtool(&monitoring(), &["check", "metrics"], &page);
}
