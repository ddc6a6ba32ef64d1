//! Deployment files: `console export`, `defender export`, and the call of the API behind it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::console::PASSWORD;
use system_tests::program::binary;
use system_tests::tls::leaf_sha256;
use system_tests::{Channel, OpensslPki, TestConsole};

#[test]
fn the_console_s_file_is_whole_and_always_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = || {
        let output = run("console", dir.path(), &["export", "kubernetes", "--http-port"]);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        std::fs::read_to_string(dir.path().join("twistlock_console.yaml")).expect("written")
    };
    let text = write();
    assert_eq!(text, write());
    for kind in ["Namespace", "ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "Deployment", "Service"]
    {
        assert!(text.contains(&format!("\nkind: {kind}\n")), "{kind} in {text}");
    }
    assert!(text.contains("--http-listen=[::]:8081"), "{text}");
    for (arguments, file, expected) in [
        (vec!["openshift"], "twistlock_console.yaml", "kind: SecurityContextConstraints"),
        (vec!["istio", "--host", "c.example.com"], "twistlock_console.yaml", "kind: VirtualService"),
        (
            vec!["istio", "--host", "c.example.com", "--gateway-api"],
            "twistlock_console.yaml",
            "kind: TLSRoute",
        ),
        (vec!["compose", "--onebox"], "docker-compose.yaml", "twistlock-defender:"),
    ] {
        let output = run("console", dir.path(), &[&["export"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        let text = std::fs::read_to_string(dir.path().join(file)).expect("written");
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let output = run("console", dir.path(), &["export", "kubernetes", "--http-port", "--output", "-"]);
    assert_eq!(String::from_utf8(output.stdout).expect("text"), text);
}

#[test]
fn wrong_usage_of_export_is_2_and_what_fails_is_1_and_neither_leaves_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let kubernetes = |more: &[&'static str]| [&["export", "kubernetes"], more].concat();
    let defender =
        ["--address", "https://localhost:1", "--user", "u", "--cluster-address", "c", "--password-file"];
    let pair = ["--custom-certs-secret", "a", "--cert-manager", "b"];
    for (program, arguments, code, expected) in [
        ("console", vec!["export", "mars"], 2, "mars"),
        ("console", vec!["export"], 2, "Usage"),
        ("console", kubernetes(&["--nonsense"]), 2, "--nonsense"),
        ("console", kubernetes(&["--namespace", "A_b"]), 2, "--namespace"),
        ("console", kubernetes(&pair), 2, "give one source"),
        ("console", kubernetes(&["--image", "https://r/a:b"]), 2, "scheme"),
        ("console", kubernetes(&["--output", "none/x.yaml"]), 1, "make its directory"),
        (
            "console",
            vec!["export", "kubernetes", "--label", "a=1", "--label", "a=2"],
            2,
            "--label: a has two values",
        ),
        ("console", vec!["export", "istio"], 2, "--host: it is missing"),
        ("console", vec!["export", "compose", "--custom-certs-host-path", "certs"], 2, "absolute"),
        ("console", vec!["export", "compose", "--helm"], 2, "--helm"),
        (
            "console",
            vec!["export", "istio", "--host", "https://c.example.com"],
            2,
            "without scheme, port and path",
        ),
        ("console", vec!["export", "openshift", "--route-host", "c.example.com/x"], 2, "without scheme"),
        ("console", kubernetes(&["--public-url", "c.example.com"]), 2, "write https://"),
        ("console", kubernetes(&["--public-url", "http://c.example.com"]), 2, "write https://"),
        ("console", kubernetes(&["--image", ""]), 2, "--image is empty"),
        ("console", kubernetes(&["--san", "a.example.com,"]), 2, "--san is empty"),
        ("console", vec!["export", "istio", "--host", " "], 2, "--host is empty"),
        ("console", vec!["export", "openshift", "--namespace="], 2, "--namespace is empty"),
        ("console", vec!["export", "compose", "--output", ""], 2, "--output"),
        ("console", vec!["help", "export", "mars"], 2, "mars"),
        ("defender", kubernetes(&["--cluster-address", ""]), 2, "--cluster-address is empty"),
        ("console", kubernetes(&["--helm", "--output", "none/x.tar.gz"]), 1, "make its directory"),
        ("console", kubernetes(&["--output", "/dev/full"]), 1, "make room"),
        ("defender", kubernetes(&["--cluster", "two words"]), 2, "--cluster: "),
        ("defender", kubernetes(&["--address", "https://c/api"]), 2, "has a path"),
        ("defender", kubernetes(&["--user", "u", "--token-file", "t"]), 2, "--token-file: "),
        ("defender", vec!["export", "istio"], 2, "istio"),
        ("defender", vec!["export", "mars"], 2, "mars"),
        ("defender", kubernetes(&[]), 2, "--address: it is missing"),
        ("defender", kubernetes(&["--address", "http://c"]), 2, "https://"),
        (
            "defender",
            kubernetes(&["--cluster-address", "wss://c:8084"]),
            2,
            "--cluster-address: wss://c:8084 has a scheme",
        ),
        ("defender", kubernetes(&["--ca", "a", "--ca-fingerprint", "b"]), 2, "--ca-fingerprint"),
        ("defender", kubernetes(&[&defender[..], &["none"]].concat()), 1, "reading the password"),
        (
            "defender",
            kubernetes(&[&defender[..], &["/proc/self/comm"]].concat()),
            1,
            "see that the Console runs",
        ),
    ] {
        let output = run(program, dir.path(), &arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", told(&output));
        assert!(told(&output).contains(expected), "{expected} in {}", told(&output));
        assert_eq!(std::fs::read_dir(dir.path()).expect("ours").count(), 0, "{arguments:?}");
    }
}

#[test]
fn help_of_export_is_told_for_each_platform_either_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let help = |program, arguments: &[&str]| {
        let output = run(program, dir.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{program} {arguments:?}: {}", told(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    for (program, platforms) in [
        ("console", &["compose", "istio", "kubernetes", "openshift"][..]),
        ("defender", &["compose", "kubernetes", "openshift"]),
    ] {
        let whole = help(program, &["help", "export"]);
        for &platform in platforms {
            assert!(whole.contains(&format!("  {platform} ")), "{platform} in {whole}");
            let one = help(program, &["help", "export", platform]);
            assert!(one.contains("--output <FILE>"), "{one}");
            assert_eq!(one, help(program, &["export", platform, "--help"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defender_asks_a_console_that_it_can_verify_and_writes_a_closed_file() {
    let console = TestConsole::start().await;
    let address = format!("https://localhost:{}", console.https);
    let ca = console.dir().join("data/certificates/ca.pem");
    let fingerprint = leaf_sha256(&std::fs::read_to_string(&ca).expect("the Console's CA"));
    let export_to = |platform: &str, password: &str, more: &[&str]| {
        let fixed = ["export", platform, "--address", &address, "--cluster-address", "console.example.com"];
        let who = ["--user", "admin", "--password-file", password];
        run("defender", console.dir(), &[&fixed[..], &who, more].concat())
    };
    let export_with = |password: &str, more: &[&str]| export_to("kubernetes", password, more);
    let export = |more: &[&str]| export_with("password", more);
    let file = console.dir().join("defender.yaml");

    for more in [vec![], vec!["--ca-fingerprint", &*"ab".repeat(32)]] {
        let output = export(&more);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(told(&output).contains(&format!("--ca-fingerprint {fingerprint}")), "{}", told(&output));
        assert!(!file.exists() && !told(&output).contains(PASSWORD));
    }
    for more in [["--ca-fingerprint", &*fingerprint], ["--ca", ca.to_str().expect("UTF-8")]] {
        let output = export(&more);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        assert_eq!(std::fs::metadata(&file).expect("written").permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).expect("written");
        for expected in ["kind: DaemonSet", &format!("wss://console.example.com:{}", console.defenders)] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert!(!text.contains("kind: Namespace"));
        std::fs::remove_file(&file).expect("ours");
    }
    for (platform, file, expected) in [
        ("openshift", "defender.yaml", "SecurityContextConstraints"),
        ("compose", "docker-compose.yaml", "INSTALL_BUNDLE"),
    ] {
        let output = export_to(platform, "password", &["--ca-fingerprint", &fingerprint]);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        let file = console.dir().join(file);
        assert_eq!(std::fs::metadata(&file).expect("written").permissions().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(&file).expect("written").contains(expected));
        std::fs::remove_file(&file).expect("ours");
    }
    // A person at a terminal is shown the fingerprint and asked.
    for (answer, code) in [("yes", 0), ("no", 1)] {
        let line = format!(
            "{} export kubernetes --address {address} --cluster-address c --user admin --password-file password",
            binary("defender").display()
        );
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(console.dir());
        let mut asked = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script");
        std::io::Write::write_all(&mut asked.stdin.take().expect("piped"), format!("{answer}\n").as_bytes())
            .expect("written");
        let output = asked.wait_with_output().expect("ended");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains(&fingerprint) && shown.contains("Type yes"), "{shown}");
        assert_eq!((output.status.code(), file.exists()), (Some(code), code == 0), "{shown}");
        let _ = std::fs::remove_file(&file);
    }
    std::fs::write(console.dir().join("wrong"), "wrong").expect("written");
    let output = export_with("wrong", &["--ca-fingerprint", &fingerprint]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("wrong user name or password") && !file.exists(), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_writes_the_daemon_set_and_judges_its_fields() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let ask = async |body: Value| api.call(Method::POST, "defenders/daemonset.yaml", Some(body)).await;
    let answer = ask(json!({"consoleAddr": "console:443", "namespace": "sec", "label": ["a=b"]})).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/yaml"), "{answer:?}");
    for expected in ["kind: DaemonSet", "kind: Secret", "namespace: sec", "a: b", "wss://console:443"] {
        assert!(answer.text.contains(expected), "{expected} in {}", answer.text);
    }
    for (body, expected) in [
        (json!({}), "consoleAddr: it is missing"),
        (json!({"consoleAddr": "https://c"}), "consoleAddr: "),
        (json!({"consoleAddr": "c", "nonsense": 1}), "nonsense"),
        (json!({"consoleAddr": "c", "namespace": "A"}), "namespace: "),
        (
            json!({"consoleAddr": "c", "customCertsSecret": "a", "certManager": "b"}),
            "customCertsSecret, certManager",
        ),
    ] {
        let answer = ask(body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.json()["detail"].as_str().is_some_and(|told| told.contains(expected)), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_certificates_need_a_source_for_defenders_too() {
    let pki = OpensslPki::new();
    let console = TestConsole::setup().custom(&Channel::WebSocket.files(&pki.server())).start().await;
    let api = console.api().await;
    let ask = async |body: Value| api.call(Method::POST, "defenders/daemonset.yaml", Some(body)).await;
    let answer = ask(json!({"consoleAddr": "c"})).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.text.contains("customCertsSecret"), "{answer:?}");
    let answer = ask(json!({"consoleAddr": "c", "customCertsSecret": "own"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.text.contains("kind: Secret\n") && answer.text.contains("secretName: own"), "{answer:?}");
}

fn run(program: &str, dir: &Path, arguments: &[&str]) -> Output {
    Command::new(binary(program)).args(arguments).current_dir(dir).output().expect("started")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
