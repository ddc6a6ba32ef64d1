//! What a Defender does when its Console or its connection goes.

use std::time::Duration;

use system_tests::place::Manner;
use system_tests::{Channel, OpensslPki, SOON, TestConsole, TestDefender, eventually, pass};

use crate::stage::only_defender;

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_waits_for_a_console_that_is_not_there_yet_and_comes_back_after_each_restart() {
    let mut console = TestConsole::start().await;
    let defender = TestDefender::of(&console).await;
    let id = only_defender(&console.api().await).await["id"].clone();
    for orderly in [true, false] {
        let mark = defender.program().mark();
        if orderly {
            console.restart().await;
        } else {
            console.kill_and_restart().await;
        }
        let deadline = Duration::from_secs(40);
        let line = defender.program().try_line(mark, "Connected to Console", deadline).await;
        assert!(line.is_some(), "comes back, orderly: {orderly}");
        assert_eq!(only_defender(&console.api().await).await["id"], id, "the identity is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_welcome_line_has_the_address() {
    let console = TestConsole::start().await;
    let defender = TestDefender::of(&console).await;
    let line = defender.program().line("Connected to Console").await;
    assert!(line.starts_with("INFO ") && line.contains("Connected to Console address="), "{line}");
    assert!(line.contains(&console.address()), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_whose_console_falls_silent_drops_the_connection_and_comes_back() {
    use nix::sys::signal::Signal;
    let console = TestConsole::setup().flag("--heartbeat", "1s").start().await;
    let defender = TestDefender::of(&console).await;
    let mark = defender.program().mark();
    console.program().signal(Signal::SIGSTOP);
    let gone = eventually("the Defender notices", SOON, async || match defender.status() {
        (Some(1), text) => Ok(text),
        other => Err(other),
    })
    .await;
    assert!(!gone.is_empty(), "status says why");
    console.program().signal(Signal::SIGCONT);
    // Attempts are up to a minute apart, and the first ones meet a Console that is still silent.
    let back = defender.program().try_line(mark, "Connected to Console", Duration::from_secs(90)).await;
    assert!(back.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_defender_says_why_and_new_certificates_are_tried_at_once() {
    let pki = OpensslPki::new();
    let console = TestConsole::setup().custom(&Channel::WebSocket.files(&pki.server())).start().await;
    let mut foreign = OpensslPki::new().client();
    foreign.ca = pki.ca.clone();
    let setup = TestDefender::setup(&console.address()).custom(&Channel::Defender.files(&foreign));
    let defender = setup.start();
    eventually("the refusal is logged", SOON, async || {
        let lines = defender.program().lines();
        let told = |line: &String| {
            (line.starts_with("WARN ") || line.starts_with("ERRO "))
                && line.to_lowercase().contains("certificate")
        };
        if lines.iter().any(told) { Ok(()) } else { Err(lines) }
    })
    .await;
    pass(Duration::from_secs(8), "far into the back-off, a new set is tried without waiting for it").await;
    let mark = defender.program().mark();
    Manner::Renamed.place(&defender.custom_dir(), &Channel::Defender.files(&pki.client()));
    defender.program().line_after(mark, Channel::Defender.rotated_text()).await;
    let connected = defender.program().try_line(mark, "Connected to Console", Duration::from_secs(5)).await;
    assert!(connected.is_some(), "{:#?}", defender.program().lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_of_another_authority_or_name_is_not_trusted() {
    let pki = OpensslPki::new();
    let console = TestConsole::setup().custom(&Channel::WebSocket.files(&pki.server())).start().await;
    let mut other_roots = pki.client();
    other_roots.ca = OpensslPki::new().ca.clone();
    let distrusting =
        TestDefender::setup(&console.address()).custom(&Channel::Defender.files(&other_roots)).start();
    let other_name = TestDefender::setup(&console.address())
        .custom(&Channel::Defender.files(&pki.client()))
        .flag("--console-server-name", "console.example.com")
        .start();
    for defender in [&distrusting, &other_name] {
        eventually("the distrust is logged", SOON, async || {
            let lines = defender.program().lines();
            let told = |line: &String| line.starts_with("WARN ") || line.starts_with("ERRO ");
            if lines.iter().any(told) { Ok(()) } else { Err(lines) }
        })
        .await;
        assert_eq!(defender.program().count_after(0, "Connected to Console"), 0);
    }
    TestDefender::setup(&console.address())
        .custom(&Channel::Defender.files(&pki.client()))
        .flag("--console-server-name", "custom.test")
        .connect()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_report_shows_in_the_api() {
    let console = TestConsole::start().await;
    let bundle = console.api().await.bundle().await;
    let _defender = TestDefender::setup(&console.address())
        .bundle(&bundle)
        .flag("--hostname", "named-for-the-test")
        .connect()
        .await;
    let shown = only_defender(&console.api().await).await;
    assert_eq!(shown["hostname"], "named-for-the-test");
    for field in ["os", "kernel", "arch", "version", "last_seen"] {
        assert!(shown[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {shown}");
    }
}
