//! How the programs end: signals and exit status (contract section 1).

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use system_tests::program::{binary, run};
use system_tests::wire::End;
use system_tests::{SOON, TestConsole, TestDefender, Wire};
use uuid::Uuid;

const WITHIN: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_console_with_live_sessions_ends_within_seconds_and_tells_them_to_come_back() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut console = TestConsole::start().await;
        let identity = console.api().await.bundle().await;
        let (mut wire, _) = Wire::join(console.defenders, &identity, Uuid::new_v4()).await.expect("welcome");
        let idle = tokio::net::TcpStream::connect(("127.0.0.1", console.https)).await.expect("a connection");
        console.program().signal(signal);
        let end = wire.end(SOON).await;
        assert!(matches!(end, End::Closed(1012, _)), "{signal}: {end:?}");
        assert_eq!(console.program_mut().exit(WITHIN).await.code(), Some(0), "{signal}");
        drop(idle);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_ends_within_seconds_connected_or_not() {
    let console = TestConsole::start().await;
    let bundle = console.api().await.bundle().await;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut connected = TestDefender::of(&console).await;
        connected.program().signal(signal);
        assert_eq!(connected.program_mut().exit(WITHIN).await.code(), Some(0), "{signal}");

        let mut dialling = TestDefender::setup("wss://localhost:1").bundle(&bundle).start();
        dialling.program().line("localhost").await;
        dialling.program().signal(signal);
        assert_eq!(dialling.program_mut().exit(WITHIN).await.code(), Some(0), "{signal}");

        let mut waiting = TestDefender::setup("wss://localhost:1").start();
        waiting.program().line("custom").await;
        waiting.program().signal(signal);
        assert_eq!(waiting.program_mut().exit(WITHIN).await.code(), Some(0), "{signal}");
    }
}

#[test]
fn wrong_usage_is_exit_status_2_and_says_what_is_wrong() {
    let cases: [(&str, &[&str], &str); 16] = [
        ("console", &["--no-such-flag"], "--no-such-flag"),
        ("console", &["no-such-command"], "no-such-command"),
        ("console", &["--https-listen", "nonsense"], "nonsense"),
        ("console", &["--defender-listen", "1.2.3.4:99999"], "1.2.3.4:99999"),
        ("console", &["--heartbeat", "soon"], "soon"),
        ("console", &["--heartbeat", "0s"], "heartbeat"),
        ("console", &["--heartbeat", "1h"], "heartbeat"),
        ("console", &["--rotation-grace", "60"], "60"),
        ("console", &["--log-level", "loud"], "loud"),
        ("console", &["--log-format", "xml"], "xml"),
        ("console", &["--san", "not a name"], "not a name"),
        ("console", &["certs", "check"], "DIR"),
        ("defender", &["--data-dir", "/tmp/garrison-unused"], "console-address"),
        ("defender", &["--console-address", "https://host:8084"], "https://host:8084"),
        ("defender", &["--console-address", "wss://host:port"], "wss://host:port"),
        ("defender", &["--console-address", "wss://h:1", "--console-server-name", "no name"], "no name"),
    ];
    for (program, arguments, named) in cases {
        let begin = Instant::now();
        let output = run(binary(program), arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{program} {arguments:?}: {text}");
        assert!(text.contains(named), "{program} {arguments:?} names `{named}`: {text}");
        assert!(begin.elapsed() < WITHIN);
    }
}

#[test]
fn help_and_version_are_exit_status_0_and_name_every_flag() {
    let flags: [(&str, &[&str]); 2] = [
        (
            "console",
            &[
                "--data-dir",
                "--https-listen",
                "--defender-listen",
                "--http-listen",
                "--custom-certs-dir",
                "--custom-certs-poll",
                "--san",
                "--rotation-grace",
                "--admin-user",
                "--admin-password-file",
                "--install-bundle-dir",
                "--heartbeat",
                "--log-level",
                "--log-format",
                "CONSOLE_HTTPS_LISTEN",
                "CONSOLE_CUSTOM_CERTS_DIR",
            ],
        ),
        (
            "defender",
            &[
                "--console-address",
                "--console-server-name",
                "--data-dir",
                "--install-bundle-dir",
                "--custom-certs-dir",
                "--custom-certs-poll",
                "--hostname",
                "--log-level",
                "WS_ADDRESS",
                "DEFENDER_DATA_DIR",
            ],
        ),
    ];
    for (program, flags) in flags {
        let output = run(binary(program), &["--help"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0));
        flags.iter().for_each(|flag| assert!(text.contains(flag), "{program} --help names {flag}: {text}"));
        let output = run(binary(program), &["--version"]);
        assert_eq!(output.status.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_or_a_taken_data_directory_is_exit_status_1_and_named() {
    let console = TestConsole::start().await;
    let port = console.https.to_string();
    let other = TestConsole::setup().flag("--https-listen", &format!("[::]:{port}"));
    let ended = other.start_in_vain().await;
    assert_eq!(ended.code(), Some(1));
    let line = ended.program.line("CRIT ").await;
    assert!(line.contains(&port), "{line}");

    let data = console.dir().join("data").to_string_lossy().into_owned();
    let ended = TestConsole::setup().flag("--data-dir", &data).start_in_vain().await;
    assert_eq!(ended.code(), Some(1));
    let line = ended.program.line("CRIT ").await;
    assert!(line.contains(&data), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_variables_set_what_flags_do_and_a_flag_wins() {
    let console = TestConsole::setup()
        .flag("--heartbeat", "")
        .variable("CONSOLE_HEARTBEAT", "7s")
        .variable("CONSOLE_CUSTOM_CERTS_POLL", "nonsense")
        .start()
        .await;
    let identity = console.api().await.bundle().await;
    let (_, welcome) = Wire::join(console.defenders, &identity, Uuid::new_v4()).await.expect("welcome");
    assert_eq!(welcome["heartbeat_seconds"], 7);
    let defender = TestDefender::setup("wss://localhost:1")
        .bundle(&identity)
        .variable("WS_ADDRESS", &format!("wss://127.0.0.1:{}", console.defenders))
        .start();
    drop(defender);
}
