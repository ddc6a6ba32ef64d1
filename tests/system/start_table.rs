//! What a channel starts on: the first rows of the table in contract section 2, for each channel.

use std::time::Duration;

use system_tests::console::Ended;
use system_tests::openssl::{KeyKind, Role, Validity};
use system_tests::place::{Files, Manner};
use system_tests::tls::leaf_sha256;
use system_tests::{Channel, OpensslPki, SOON, TestConsole, TestDefender, eventually, holds, pass};

use crate::stage::{only_defender, served};

const WATCHER_DISABLED: &str = "Custom certificates watcher disabled: certificates directory is not mounted";
const USING_CUSTOM: &str = "Using custom directory certificates";

#[tokio::test(flavor = "multi_thread")]
async fn a_console_without_the_directory_starts_self_signed_and_does_not_watch_until_restarted() {
    let mut console = TestConsole::setup().without_custom_dir().start().await;
    let line = console.program().line(WATCHER_DISABLED).await;
    assert!(line.starts_with("DEBU "), "{line}");
    let api = console.api().await;
    for channel in ["console-https", "console-defender"] {
        assert_eq!(api.certificate(channel).await["source"], "self-signed", "{channel}");
    }
    let set = OpensslPki::new().server();
    let own = served(console.https).await;
    std::fs::create_dir(console.custom_dir()).expect("free");
    Manner::InPlace.place(&console.custom_dir(), &Channel::Https.files(&set));
    holds("the new directory is not looked at", Duration::from_millis(1500), async || {
        let seen = served(console.https).await;
        if seen == own { Ok(()) } else { Err(seen) }
    })
    .await;
    console.restart().await;
    assert_eq!(served(console.https).await, leaf_sha256(&set.cert));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_without_the_directory_uses_its_bundle_and_does_not_watch() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let defender = TestDefender::setup(&console.address())
        .without_custom_dir()
        .bundle(&api.bundle().await)
        .connect()
        .await;
    defender.program().line(WATCHER_DISABLED).await;
    std::fs::create_dir(defender.custom_dir()).expect("free");
    let other = api.bundle().await.to_set();
    Manner::InPlace.place(&defender.custom_dir(), &Channel::Defender.files(&other));
    holds("the new directory is not looked at", Duration::from_millis(1500), async || {
        let source = only_defender(&api).await["certificate"]["source"].clone();
        if source == "self-signed" { Ok(()) } else { Err(source) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_channel_whose_files_are_missing_starts_self_signed_and_moves_once_they_are_complete() {
    let console = TestConsole::start().await;
    let text = format!("Watching custom certificates directory: {}", console.custom_dir().display());
    let line = console.program().line(&text).await;
    assert!(line.starts_with("DEBU ") && line.contains(&text), "{line}");
    let pki = OpensslPki::new();
    for (channel, port) in [(Channel::Https, console.https), (Channel::WebSocket, console.defenders)] {
        let set = pki.server();
        let own = served(port).await;
        let mark = console.program().mark();
        for file in channel.files(&set) {
            let seen = served(port).await;
            assert_eq!(seen, own, "{channel:?} waits for its whole set");
            assert_eq!(console.program().count_after(mark, "ERRO "), 0);
            Manner::Renamed.place(&console.custom_dir(), &vec![file]);
            pass(A_LOOK, "a set that is not whole must survive a look").await;
        }
        console.program().line_after(mark, channel.rotated_text()).await;
        eventually("the custom leaf is served", SOON, async || {
            let seen = served(port).await;
            if seen == leaf_sha256(&set.cert) { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_whose_files_are_missing_starts_on_its_bundle_and_moves_once_they_are_complete() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let events = api.events().await;
    let defender = TestDefender::of(&console).await;
    let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
    let custom = api.bundle().await.to_set();
    let mark = defender.program().mark();
    for file in Channel::Defender.files(&custom) {
        assert_eq!(defender.program().count_after(mark, Channel::Defender.rotated_text()), 0);
        Manner::Renamed.place(&defender.custom_dir(), &vec![file]);
        pass(A_LOOK, "a set that is not whole must survive a look").await;
    }
    defender.program().line_after(mark, Channel::Defender.rotated_text()).await;
    let moved = api
        .defender(&id, "shows the custom certificate", |defender| {
            defender["certificate"]["sha256"] == leaf_sha256(&custom.cert).as_str()
        })
        .await;
    assert_eq!(moved["certificate"]["source"], "custom");
    assert_eq!(events.count("defender.disconnected"), 0, "{:?}", events.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_there_at_start_are_used() {
    let pki = OpensslPki::new();
    let (https, websocket, client) = (pki.server(), pki.server(), pki.client());
    let console = TestConsole::setup()
        .custom(&Channel::Https.files(&https))
        .custom(&Channel::WebSocket.files(&websocket))
        .start()
        .await;
    assert_eq!(console.program().count_after(0, USING_CUSTOM), 2, "{:?}", console.program().lines());
    assert_eq!(served(console.https).await, leaf_sha256(&https.cert));
    assert_eq!(served(console.defenders).await, leaf_sha256(&websocket.cert));
    let defender =
        TestDefender::setup(&console.address()).custom(&Channel::Defender.files(&client)).connect().await;
    let line = defender.program().line(USING_CUSTOM).await;
    assert!(line.starts_with("DEBU "), "{line}");
    let shown = only_defender(&console.api().await).await;
    assert_eq!(shown["certificate"]["sha256"], leaf_sha256(&client.cert).as_str());
    assert_eq!(shown["certificate"]["source"], "custom");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_form_and_chains_with_an_intermediate_are_used() {
    let pki = OpensslPki::with_intermediate();
    let rsa = OpensslPki::with_key(KeyKind::Rsa(2048));
    let mut sets = vec![pki.server(), rsa.leaf(Role::Server, KeyKind::Rsa(2048), Validity::Now)];
    for (form, set) in [("ec", sets[0].clone()), ("rsa -traditional", sets[1].clone())] {
        let mut set = set;
        set.key = String::from_utf8(system_tests::openssl::transform(&set.key, form)).expect("PEM");
        assert!(!set.key.contains("BEGIN PRIVATE KEY"), "{form} makes another form");
        sets.push(set);
    }
    for set in &sets {
        let console = TestConsole::setup()
            .custom(&Channel::Https.files(set))
            .custom(&Channel::WebSocket.files(set))
            .start()
            .await;
        assert_eq!(served(console.https).await, leaf_sha256(&set.cert));
        assert_eq!(served(console.defenders).await, leaf_sha256(&set.cert));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_match_or_parse_at_start_is_debug_then_critical_and_exit_1() {
    let pki = OpensslPki::new();
    for channel in Channel::ALL {
        let mut mismatched = pki.set_for(channel);
        mismatched.key = pki.set_for(channel).key;
        let mut garbled = pki.set_for(channel);
        garbled.key = "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n".to_owned();
        for (set, cause) in [
            (mismatched, "tls: private key does not match public key"),
            (garbled, "tls: failed to parse private key"),
        ] {
            let (dir, ended) = start_in_vain(channel, &channel.files(&set)).await;
            assert_eq!(ended.code(), Some(1), "{channel:?}");
            let text = format!(
                "Failed to construct {} TLS config error reading X509 key pair ({dir}/{}, {dir}/{}): {cause}",
                channel.log_name(),
                channel.certificate_file(),
                channel.key_file(),
            );
            assert_debug_then_critical(&ended, &text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_ca_file_at_start_is_debug_then_critical_and_exit_1() {
    let pki = OpensslPki::new();
    for channel in [Channel::Defender, Channel::WebSocket] {
        for ca in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nbm90IGE=\n-----END CERTIFICATE-----\n"]
        {
            let mut set = pki.set_for(channel);
            set.ca = ca.to_owned();
            let (dir, ended) = start_in_vain(channel, &channel.files(&set)).await;
            assert_eq!(ended.code(), Some(1), "{channel:?}");
            let text = format!(
                "Failed to construct {} TLS config error reading CA certificate ({dir}/defender-ca.pem): ",
                channel.log_name()
            );
            assert_debug_then_critical(&ended, &text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_or_not_yet_valid_leaf_at_start_is_an_error_and_a_good_set_is_awaited() {
    let pki = OpensslPki::new();
    for validity in [Validity::Expired, Validity::NotYet] {
        let unfit = pki.leaf(Role::Server, KeyKind::Ec, validity);
        let console = TestConsole::setup()
            .custom(&Channel::Https.files(&unfit))
            .custom(&Channel::WebSocket.files(&unfit))
            .start()
            .await;
        for (channel, port) in [(Channel::Https, console.https), (Channel::WebSocket, console.defenders)] {
            assert_eq!(served(port).await, leaf_sha256(&unfit.cert));
            let lines = console.program().lines();
            let told = lines.iter().any(|line| {
                line.starts_with("ERRO ") && line.contains(channel.certificate_file()) && line.contains("20")
            });
            assert!(told, "{channel:?}: no ERRO with file and date in {lines:?}");
            let mark = console.program().mark();
            let set = pki.server();
            Manner::InPlace.place(&console.custom_dir(), &channel.files(&set));
            console.program().line_after(mark, channel.rotated_text()).await;
            assert_eq!(served(port).await, leaf_sha256(&set.cert));
        }
        let unfit = pki.leaf(Role::Client, KeyKind::Ec, validity);
        let setup = TestDefender::setup(&console.address()).custom(&Channel::Defender.files(&unfit));
        let defender = setup.start();
        let file = Channel::Defender.certificate_file();
        eventually("the Defender tells file and date", SOON, async || {
            let lines = defender.program().lines();
            let told =
                |line: &String| line.starts_with("ERRO ") && line.contains(file) && line.contains("20");
            if lines.iter().any(told) { Ok(()) } else { Err(lines) }
        })
        .await;
        Manner::InPlace.place(&defender.custom_dir(), &Channel::Defender.files(&pki.client()));
        defender.program().line("Connected to Console").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_with_neither_bundle_nor_custom_files_says_what_it_waits_for_and_waits() {
    let console = TestConsole::start().await;
    let defender = TestDefender::setup(&console.address()).start();
    let dir = defender.bundle_dir();
    let line = defender.program().line(&dir.to_string_lossy()).await;
    assert!(line.contains("defender-client-cert.pem") || line.contains("bundle"), "{line}");
    let bundle = console.api().await.bundle().await.to_set();
    Manner::Renamed.place(&dir, &Channel::Defender.files(&bundle));
    defender.program().line("Connected to Console").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_bundle_is_critical_and_exit_1() {
    let mut bundle = OpensslPki::new().client();
    bundle.key = OpensslPki::new().client().key;
    let setup = TestDefender::setup("wss://localhost:1").bundle(&bundle.into());
    let ended = setup.start_in_vain().await;
    assert_eq!(ended.code(), Some(1));
    assert_eq!(ended.program.count_after(0, "CRIT "), 1, "{:?}", ended.program.lines());

    let setup = TestDefender::setup("wss://localhost:1").variable("INSTALL_BUNDLE", "no base64!");
    let ended = setup.start_in_vain().await;
    assert_eq!(ended.code(), Some(1));
    let line = ended.program.line("CRIT ").await;
    assert!(line.contains("INSTALL_BUNDLE"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_in_the_variable_wins_over_the_directory() {
    let console = TestConsole::start().await;
    let answer = console.api().await.get("defenders/install-bundle?consoleaddr=localhost").await;
    let foreign = OpensslPki::new().client();
    TestDefender::setup(&console.address())
        .bundle(&foreign.into())
        .variable("INSTALL_BUNDLE", answer["installBundle"].as_str().expect("a bundle"))
        .connect()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_keeps_a_bundle_for_a_defender_of_its_host_in_a_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let bundle = dir.path().join("bundle");
    let setup = TestConsole::setup().flag("--install-bundle-dir", &bundle.to_string_lossy());
    let console = setup.start().await;
    let defender =
        TestDefender::setup(&console.address()).flag("--install-bundle-dir", &bundle.to_string_lossy());
    let defender = defender.connect().await;
    let key = std::fs::metadata(bundle.join("defender-client-key.pem")).expect("there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o077, 0, "for its owner only");
    drop(defender);
}

/// Starts the channel's program on these files and waits for its end; also the directory of the files.
pub async fn start_in_vain(channel: Channel, files: &Files) -> (String, Ended) {
    match channel {
        Channel::Defender => {
            let setup = TestDefender::setup("wss://localhost:1").custom(files);
            (setup.custom_dir().display().to_string(), setup.start_in_vain().await)
        }
        Channel::Https | Channel::WebSocket => {
            let setup = TestConsole::setup().custom(files);
            (setup.custom_dir().display().to_string(), setup.start_in_vain().await)
        }
    }
}

fn assert_debug_then_critical(ended: &Ended, text: &str) {
    let lines = ended.program.lines();
    let debug = lines.iter().position(|line| line.starts_with("DEBU ") && line.contains(USING_CUSTOM));
    let critical = lines.iter().position(|line| line.starts_with("CRIT ") && line.contains(text));
    assert!(debug.is_some() && debug < critical, "no DEBU and then CRIT `{text}` in {lines:#?}");
}

/// Longer than a settle time.
const A_LOOK: Duration = Duration::from_millis(600);
