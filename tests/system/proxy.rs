//! A proxy on the way to the Console: squid, with and without credentials.

use std::process::Command;

use system_tests::console::PASSWORD;
use system_tests::program::binary;
use system_tests::{Squid, TestConsole, TestDefender};

async fn console() -> TestConsole {
    TestConsole::setup().flag("--san", "console.test").start().await
}

/// A Defender whose host does not know the Console's name: only the proxy does.
async fn defender(
    console: &TestConsole,
    proxy: &str,
    address: &str,
) -> system_tests::defender::DefenderSetup {
    let bundle = console.api().await.bundle().await;
    TestDefender::setup(address).bundle(&bundle).variable("HTTPS_PROXY", proxy)
}

fn behind(console: &TestConsole) -> String {
    format!("wss://console.test:{}", console.defenders)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_reaches_its_console_through_a_proxy_with_credentials_that_no_log_holds() {
    let (console, squid) = (console().await, Squid::start(Some(("user", "p@ss:%word"))).await);
    let proxy = format!("http://user:p%40ss%3A%25word@{}", squid.address);
    let defender = defender(&console, &proxy, &behind(&console)).await.connect().await;
    let shown = crate::stage::only_defender(&console.api().await).await;
    assert_eq!(shown["connected"], true);
    let (code, text) = defender.doctor(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("ok    proxy: {} makes a tunnel", squid.address)), "{text}");
    assert!(text.contains("skip  dns:") && text.contains("ok    access:"), "{text}");
    for line in defender.program().lines().iter().map(String::as_str).chain(text.lines()) {
        assert!(!line.contains("p@ss") && !line.contains("p%40ss"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_through_the_proxy_too_and_says_so_when_it_cannot() {
    let (console, open) = (console().await, Squid::start(None).await);
    let closed = Squid::start(Some(("user", "right"))).await;
    std::fs::write(console.dir().join("password"), PASSWORD).expect("written");
    let address = format!("https://console.test:{}", console.https);
    let export = |proxy: &str| {
        let mut defender = Command::new(binary("defender"));
        defender.current_dir(console.dir()).env("HTTPS_PROXY", proxy);
        defender.args([
            "export",
            "kubernetes",
            "--address",
            &address,
            "--cluster-address",
            "c",
            "--output",
            "-",
        ]);
        defender.args(["--ca", "data/certificates/ca.pem", "--user", "admin", "--password-file", "password"]);
        defender.output().expect("it runs")
    };
    let output = export(&open.address);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("kind: DaemonSet"), "{output:?}");
    for (proxy, code, cause) in [
        (closed.address.as_str(), 1, "it wants a user and a password"),
        ("ftp://nonsense", 2, "HTTPS_PROXY: "),
    ] {
        let output = export(proxy);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(cause) && told.contains("HTTPS_PROXY"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_a_proxy_has_its_own_cause_in_the_log_and_for_the_doctor() {
    let (console, closed) = (console().await, Squid::start(Some(("user", "right"))).await);
    let open = Squid::start(None).await;
    let strict = Squid::start_with(None, "acl safe port 443\nhttp_access deny CONNECT !safe").await;
    let good = behind(&console);
    for (proxy, address, cause, remedy) in [
        (
            closed.address.clone(),
            good.clone(),
            "it wants a user and a password (HTTP status 407",
            "HTTPS_PROXY",
        ),
        (
            format!("http://user:wrong@{}", closed.address),
            good.clone(),
            "it does not take the user and password",
            "knows",
        ),
        (
            strict.address.clone(),
            good.clone(),
            "it does not allow this connection (HTTP status 403",
            "allow CONNECT",
        ),
        (open.address.clone(), "wss://nowhere.invalid:8084".to_owned(), "it cannot re", "resolve its name"),
        (
            open.address.clone(),
            "wss://console.test:1".to_owned(),
            "it cannot reach the Console (HTTP status 503",
            "Console runs",
        ),
        ("127.0.0.1:1".to_owned(), good.clone(), "it cannot be reached", "HTTPS_PROXY"),
        (format!("127.0.0.1:{}", console.https), good.clone(), "is of no use", "HTTPS_PROXY"),
    ] {
        let setup = defender(&console, &proxy, &address).await;
        let (code, text) = setup.doctor(&[]);
        let failed: Vec<_> = text.lines().filter(|line| line.starts_with("FAIL")).collect();
        assert_eq!(code, Some(1), "{proxy}: {text}");
        let is_told = |line: &str| line.contains(cause) && line.contains(remedy) && !line.contains("wrong@");
        assert!(
            failed.len() == 1 && failed[0].starts_with("FAIL  proxy: ") && is_told(failed[0]),
            "{proxy}: {text}"
        );
        let running = setup.start();
        let line = running.program().line("Cannot connect to Console").await;
        assert!(is_told(&line), "{proxy}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_proxy_names_is_reached_directly() {
    let console = TestConsole::start().await;
    for (variable, list) in [("NO_PROXY", "other,localhost:8084,LOCALHOST"), ("no_proxy", "*")] {
        let setup =
            defender(&console, "http://127.0.0.1:1", &console.address()).await.variable(variable, list);
        setup.connect().await;
    }
    // What is no proxy is wrong usage, and not repeated.
    let setup = defender(&console, "socks5://user:secret@proxy", &console.address()).await;
    let ended = setup.start_in_vain().await;
    assert_eq!(ended.code(), Some(2));
    let lines = ended.program.lines();
    assert!(lines.iter().any(|line| line.contains("HTTPS_PROXY: only proxies")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("secret")), "{lines:?}");
}
