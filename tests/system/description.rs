//! The API against its own description, judged by `schemathesis` (PyPI): whatever is called, in whatever way, no answer
//! is a 5xx, and none is of a status, type or shape that the description does not name.

use std::process::Command;

use system_tests::{TestConsole, repository};

/// Calls that are left out, each with its reason.
const LEFT_OUT: [&str; 6] = [
    // Streams that do not end.
    "--exclude-path-regex=^/events$|/stream$",
    // The caller would lose the password, the session or the user that it calls with.
    "--exclude-path=/password",
    "--exclude-path=/sessions/{id}",
    "--exclude-path=/users/{username}",
    // Slowed down on purpose when called with wrong passwords.
    "--exclude-path=/authenticate",
    "--exclude-path=/signup",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_answered_with_a_5xx_or_outside_the_description() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let description = console.dir().join("openapi.json");
    std::fs::write(&description, api.get("openapi.json").await.to_string()).expect("writable");
    let mut schemathesis = Command::new(repository().join("target/schemathesis/bin/schemathesis"));
    schemathesis.env("SCHEMATHESIS_HOOKS", repository().join("tests/schemathesis_hooks.py"));
    schemathesis.current_dir(console.dir()).arg("run").arg(&description).args([
        &format!("--url=https://127.0.0.1:{}/api/v1", console.https),
        &format!("--header=Authorization: Bearer {}", api.token()),
        "--tls-verify=false",
        "--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--phases=examples,coverage,fuzzing",
        "--max-examples=6",
        "--seed=1",
        "--request-timeout=10",
        "--workers=2",
        "--no-color",
    ]);
    let running = tokio::task::spawn_blocking(move || schemathesis.args(LEFT_OUT).output());
    let output = running.await.expect("ends").expect("schemathesis: `cargo xtask test` installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{faults}");
    // A thread of it that fails leaves calls out, and says so here only.
    assert!(!faults.contains("Traceback"), "{faults}");
    assert!(said.contains("passed"), "nothing was called: {said}");
}
