//! The Authority page: a whole rotation of the CA by clicks with Defenders that are there and away, the approval of a
//! return, and the revocation of a registration.

use std::time::Duration;

use serde_json::json;
use system_tests::browser::Page;
use system_tests::console::PASSWORD;
use system_tests::{Browser, SOON, TestConsole, TestDefender, eventually, pass};

/// Presses a button, and the one that confirms it.
async fn confirm(page: &Page, region: &str, button: &str, action: &str) {
    // What happens in the fleet may move the button away under the pointer.
    eventually("the question", SOON, async || {
        page.click(&format!("{region} button[type=submit]"), button).await;
        pass(Duration::from_millis(200), "the question opens").await;
        if page.eval("document.querySelector('#confirm').open").await == true { Ok(()) } else { Err(()) }
    })
    .await;
    page.click("#confirm-yes", action).await;
    page.until("!document.querySelector('#confirm').open").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ca_is_rotated_by_clicks_and_who_is_left_behind_is_named() {
    let console = TestConsole::setup().flag("--rotation-grace", "2s").flag("--heartbeat", "1s").start().await;
    let browser = Browser::start(console.https).await;
    let bundle = console.api().await.bundle().await;
    let setup = |name: &str| TestDefender::setup(&console.address()).bundle(&bundle).flag("--hostname", name);
    let there = setup("there").connect().await;
    let mut away = setup("away").connect().await;
    away.stop().await;
    let page = browser.signed_in("admin", PASSWORD).await;
    page.open("/authority").await;
    page.shows("No rotation is under way").await;
    let first = page.eval("document.querySelector('[data-ca]').textContent").await;
    assert_eq!(page.eval("document.querySelectorAll('#registrations tbody tr').length").await, 1);
    page.shows("Live").await;
    page.eval("window.sameDocument = true").await;

    confirm(&page, "#rotation", "Begin a rotation", "Begin the rotation").await;
    page.shows("Stage 1 of 2").await;
    assert_eq!(page.eval("document.querySelectorAll('[data-ca]').length").await, 2);
    page.until("document.querySelector('[data-trust]').textContent === '1'").await;
    confirm(&page, "#rotation", "Let the next CA sign", "Let the next CA sign").await;
    page.shows("Stage 2 of 2").await;
    page.until("document.querySelector('[data-moved]').textContent === '1'").await;

    // Refused until the one that is away is named.
    confirm(&page, "#rotation", "Retire the old CA", "Retire the old CA").await;
    page.shows("have not moved to the next authority, for example away").await;
    page.click("#behind tbody [data-pick]", "").await;
    confirm(&page, "#rotation", "Retire the old CA", "Retire the old CA").await;
    page.shows("No rotation is under way").await;
    let second = page.eval("document.querySelector('[data-ca]').textContent").await;
    assert_ne!(first, second);
    assert_eq!(page.eval("window.sameDocument").await, true, "not reloaded");
    away.start_again();
    away.program().line("Connected to Console").await;
    eventually("both are there", SOON, async || {
        let shown = console.api().await.get("defenders?connected=true").await;
        if shown.as_array().map(Vec::len) == Some(2) { Ok(()) } else { Err(shown) }
    })
    .await;

    confirm(&page, "#registrations", "Revoke", "Revoke the registration").await;
    page.until("document.querySelector('#registrations').textContent.includes('revoked')").await;
    assert_eq!(page.faults(), Vec::<String>::new());
    drop(there);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_that_waits_to_come_back_is_seen_told_of_and_approved() {
    let console = TestConsole::setup().short_life("4s").flag("--defender-return-within", "0s").start().await;
    let browser = Browser::start(console.https).await;
    let mut defender = TestDefender::of(&console).await;
    let page = browser.signed_in("admin", PASSWORD).await;
    page.open("/authority").await;
    page.shows("Nobody waits").await;
    page.shows("Live").await;
    defender.stop().await;
    std::fs::remove_dir_all(defender.bundle_dir()).expect("removed");
    let events = console.api().await.events().await;
    pass(Duration::from_secs(6), "the certificate ends").await;
    defender.start_again();
    page.until("document.querySelector('#returns form')").await;
    events.expect("return.waiting", |_| true).await;
    eventually("an alert", SOON, async || {
        let alerts = console.api().await.get("alerts?open=true").await;
        let is_told = alerts.as_array().into_iter().flatten().any(|one| one["kind"] == "return-waiting");
        if is_told { Ok(()) } else { Err(alerts) }
    })
    .await;
    for dark in [false, true] {
        page.dark(dark).await;
        assert_eq!(page.violations().await, Vec::<String>::new(), "dark={dark}");
    }
    confirm(&page, "#returns", "Approve", "Let it come back").await;
    page.shows("Nobody waits").await;
    let api = console.api().await;
    eventually("it is back", Duration::from_secs(70), async || {
        let shown = api.get("defenders?connected=true").await;
        if shown == json!([]) { Err(shown) } else { Ok(()) }
    })
    .await;
}
