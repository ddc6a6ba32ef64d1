//! What happens is seen without reloading: Defenders that come and go, rotations, a decommission.

use system_tests::console::PASSWORD;
use system_tests::place::Manner;
use system_tests::{Channel, OpensslPki, TestDefender};

use super::{console_and_browser, id_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_that_connects_and_goes_is_seen_without_reloading() {
    let (console, browser) = console_and_browser().await;
    let page = browser.signed_in("admin", PASSWORD).await;
    let list = browser.signed_in("admin", PASSWORD).await;
    list.open("/defenders").await;
    list.shows("No Defender yet").await;
    for page in [&page, &list] {
        page.eval("window.sameDocument = true").await;
    }
    let bundle = console.api().await.bundle().await;
    let setup = TestDefender::setup(&console.address()).bundle(&bundle).flag("--hostname", "web-1");
    let mut defender = setup.connect().await;
    page.until("document.querySelector('#connected').textContent === '1'").await;
    page.shows("web-1").await;
    list.open("/defenders").await;
    list.eval("window.sameDocument = true").await;
    list.until("document.querySelector('tr[data-row] .state.good')").await;
    defender.stop().await;
    page.until("document.querySelector('#connected').textContent === '0'").await;
    list.until("document.querySelector('tr[data-row] .state.quiet')").await;
    for page in [&page, &list] {
        assert_eq!(page.eval("window.sameDocument").await, true, "not reloaded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_and_a_refusal_are_seen_on_the_certificates_page_as_they_happen() {
    let (console, browser) = console_and_browser().await;
    let page = browser.signed_in("admin", PASSWORD).await;
    page.open("/certificates").await;
    page.until("document.querySelector('#console-https [data-source=self-signed]')").await;
    page.eval("window.sameDocument = true").await;
    let pki = OpensslPki::new();
    let first = pki.server();
    Manner::Renamed.place(&console.custom_dir(), &Channel::Https.files(&first));
    page.until("document.querySelector('#console-https [data-source=custom]')").await;
    let shown = page.eval("document.querySelector('#console-https [data-sha256]').textContent").await;
    assert_eq!(shown, system_tests::tls::leaf_sha256(&first.cert));

    let mut wrong = Channel::Https.files(&pki.server());
    wrong[1].1 = b"no key".to_vec();
    Manner::Renamed.place(&console.custom_dir(), &wrong);
    page.until("document.querySelector('#console-https [data-refusal]')").await;
    page.shows("To mend it:").await;
    let shown = page.eval("document.querySelector('#console-https [data-sha256]').textContent").await;
    assert_eq!(shown, system_tests::tls::leaf_sha256(&first.cert), "what ran goes on");
    assert_eq!(page.eval("window.sameDocument").await, true, "not reloaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn decommissioning_asks_first_and_says_what_will_happen() {
    let (console, browser) = console_and_browser().await;
    let defender = TestDefender::of(&console).await;
    let hostname = console.api().await.get("defenders").await[0]["hostname"].clone();
    let id = id_of(&console, hostname.as_str().expect("a name")).await;
    let page = browser.signed_in("admin", PASSWORD).await;
    page.open(&format!("/defenders/{id}")).await;
    page.click("#decommission button", "Decommission").await;
    page.shows("will be disconnected now and refused from then on").await;
    assert_eq!(
        page.eval("document.activeElement.textContent").await,
        "Cancel",
        "the harmless answer is at hand"
    );
    page.press("Enter").await;
    page.until("!document.querySelector('#confirm').open").await;
    assert_eq!(console.api().await.get("defenders").await[0]["connected"], true, "nothing has happened");

    page.click("#decommission button", "Decommission").await;
    page.click("#confirm-yes", "Decommission").await;
    page.until("location.pathname === '/defenders'").await;
    page.shows("The Defender was decommissioned.").await;
    defender.program().line("decommissioned").await;
    assert_eq!(console.api().await.get("defenders").await, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_would_lose_a_defender_is_shown_with_its_names_and_accepting_it_asks_first() {
    let (console, browser) = console_and_browser().await;
    let bundle = console.api().await.bundle().await;
    let setup = TestDefender::setup(&console.address()).bundle(&bundle).flag("--hostname", "web-1");
    let _defender = setup.connect().await;
    let page = browser.signed_in("admin", PASSWORD).await;
    page.open("/certificates").await;
    Manner::Renamed.place(&console.custom_dir(), &Channel::WebSocket.files(&OpensslPki::new().server()));
    page.until("document.querySelector('#console-defender [data-held]')").await;
    page.shows("1 connected Defender would be lost").await;
    page.click("[data-held] button", "Take it now and lose 1 Defender").await;
    page.shows("cannot come back before their hosts have files that fit: web-1").await;
    assert_eq!(page.violations().await, [""; 0]);
    page.click("#confirm-yes", "Lose them").await;
    page.until("document.querySelector('#console-defender [data-source=custom]')").await;
    page.until("!document.querySelector('#console-defender [data-held]')").await;
    console.program().line(Channel::WebSocket.rotated_text()).await;
}
