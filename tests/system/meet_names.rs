//! Names that Defenders use and a custom server certificate does not have are warned of, and nothing is refused for it.

use reqwest::Method;
use serde_json::json;
use system_tests::openssl::{KeyKind, Validity};
use system_tests::place::Manner;
use system_tests::{Channel, OpensslPki, SOON, TestConsole, TestDefender, eventually};

const WARNED: &str = "Names that Defenders use are not in the custom console defender server certificate";

#[tokio::test(flavor = "multi_thread")]
async fn names_of_connected_and_exported_defenders_that_a_custom_certificate_lacks_are_warned_of_once() {
    let console = TestConsole::setup().flag("--san", "custom.test").start().await;
    let (api, pki) = (console.api().await, OpensslPki::new());
    let _defender = TestDefender::setup(&console.address())
        .bundle(&api.bundle().await)
        .custom(&Channel::Defender.files(&pki.client()))
        .flag("--console-server-name", "custom.test")
        .connect()
        .await;
    api.get("defenders/install-bundle?consoleaddr=Elsewhere.example:18084").await;
    let extensions = "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,DNS:*.fleet.example\n";
    let set = pki.leaf_with(KeyKind::Ec, Validity::Now, extensions);
    Manner::Renamed.place(&console.custom_dir(), &Channel::WebSocket.files(&set));
    let line = console.program().line(WARNED).await;
    assert!(line.starts_with("WARN ") && line.contains("defenders=1 exported=1"), "{line}");
    assert!(line.contains("custom.test, elsewhere.example") && !line.contains("localhost"), "{line}");
    console.program().line(Channel::WebSocket.rotated_text()).await;
    let missing = json!([
        {"name": "custom.test", "defenders": 1, "exported": 0},
        {"name": "elsewhere.example", "defenders": 0, "exported": 1},
    ]);
    assert_eq!(api.certificate("console-defender").await["missing_names"], missing);
    assert_eq!(api.certificate("console-https").await["missing_names"], json!([]));

    // A name that it has, and one that it does not have.
    for (name, total) in [("a.fleet.example", 1), ("b.other.example", 2)] {
        let mark = console.program().mark();
        let body = json!({"consoleAddr": name, "customCertsSecret": "own"});
        assert_eq!(api.call(Method::POST, "defenders/daemonset.yaml", Some(body)).await.status, 200);
        if total == 2 {
            console.program().line_after(mark, "b.other.example").await;
        }
        assert_eq!(console.program().count_after(0, WARNED), total, "{:#?}", console.program().lines());
    }
    assert_eq!(console.program().count_after(0, "ERRO "), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_added_in_settings_are_served_at_once_and_no_defender_is_lost() {
    let console = TestConsole::start().await;
    let defender = TestDefender::of(&console).await;
    let api = console.api().await;
    let (pid, mark) = (console.program().pid(), defender.program().mark());
    let body = json!({"consoleSAN": ["another.example", "192.0.2.7"]});
    assert_eq!(api.call(Method::POST, "settings/certs", Some(body)).await.status, 200);
    for channel in ["console-https", "console-defender"] {
        eventually("the names are served", SOON, async || {
            let sans = api.certificate(channel).await["sans"].clone();
            let has = |name: &str| sans.as_array().is_some_and(|sans| sans.contains(&json!(name)));
            if has("another.example") && has("192.0.2.7") { Ok(()) } else { Err(sans) }
        })
        .await;
    }
    defender.program().line_after(mark, "Connected to Console").await;
    assert_eq!(defender.program().count_after(mark, "Disconnected from Console"), 0);
    crate::stage::only_defender(&api).await;
    assert_eq!(console.program().pid(), pid);
}
