//! What viewers may not, and what hostile texts come to.

use system_tests::console::PASSWORD;
use system_tests::{TestConsole, TestDefender, Wire};
use uuid::Uuid;

use super::{add_user, console_and_browser, id_of, quoted};

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_offered_nothing_that_changes_and_refused_when_trying_anyway() {
    let (console, browser) = console_and_browser().await;
    let _defender = TestDefender::of(&console).await;
    add_user(&console, "eve", "viewer").await;
    let hostname = console.api().await.get("defenders").await[0]["hostname"].clone();
    let id = id_of(&console, hostname.as_str().expect("a name")).await;
    let page = browser.signed_in("eve", PASSWORD).await;
    for path in ["/", "/defenders", &format!("/defenders/{id}"), "/certificates", "/authority"] {
        page.open(path).await;
        assert_eq!(page.eval("document.querySelectorAll('[data-call]').length").await, 0, "{path}");
    }
    let call =
        format!("fetch('/api/v1/defenders/{id}', {{ method: 'DELETE' }}).then(answer => answer.status)");
    assert_eq!(page.eval(&call).await, 403);
    page.open("/audit").await;
    page.shows("Only administrators and auditors may read the audit log.").await;
    assert_eq!(console.api().await.get("defenders").await[0]["connected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn host_names_of_strangers_are_text_wherever_they_are_shown() {
    let (console, browser) = console_and_browser().await;
    let hostile = "</title><img src=x onerror=alert(1)>\"'><script>alert(2)</script>";
    let identity = console.api().await.bundle().await;
    let mut wire = Wire::connect(console.defenders, &identity).await.expect("connected");
    let id = Uuid::new_v4();
    let mut hello = system_tests::wire::hello(id);
    hello["defender"]["hostname"] = quoted(hostile);
    wire.send(&hello).await;
    wire.expect("welcome").await;
    let page = browser.signed_in("admin", PASSWORD).await;
    for path in ["/", "/defenders", &format!("/defenders/{id}"), "/certificates"] {
        page.open(path).await;
        page.until(&format!("document.body.textContent.includes({})", quoted(hostile))).await;
        assert_eq!(page.eval("document.querySelectorAll('img').length").await, 0, "{path}");
    }
    page.open("/defenders?search=%22%3E%3Cscript%3Ealert(3)%3C%2Fscript%3E").await;
    assert_eq!(
        page.eval("document.querySelector('[name=search]').value").await,
        "\"><script>alert(3)</script>"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_changes_nothing_with_somebody_s_session() {
    let (console, browser) = console_and_browser().await;
    add_user(&console, "eve", "viewer").await;
    let mut page = browser.signed_in("admin", PASSWORD).await;
    // The same host on another port is the same site: the browser sends even this cookie along.
    let other = TestConsole::start().await;
    page.become_foreign().await;
    page.open(&format!("https://localhost:{}/login", other.https)).await;
    for (path, kind) in [("logout", "application/x-www-form-urlencoded"), ("api/v1/password", "text/plain")] {
        let forge = format!(
            "fetch('https://localhost:{}/{path}', {{ method: 'POST', mode: 'no-cors', credentials: 'include', \
             headers: {{ 'Content-Type': '{kind}' }}, body: '{{}}' }}).then(() => true)",
            console.https
        );
        assert_eq!(page.eval(&forge).await, true, "the request was sent");
    }
    page.open("/access").await;
    page.shows("eve").await;
    assert_eq!(page.eval("location.pathname").await, "/access", "still signed in");

    // A form of a page from nowhere: the browser keeps the cookie back, but would forget it if the Console said so.
    let form = format!(
        "<form method=post action=https://localhost:{}/logout><button>Go</button></form>",
        console.https
    );
    page.open(&format!("data:text/html,{form}")).await;
    page.click("button", "Go").await;
    page.until("location.protocol === 'https:'").await;
    page.open("/access").await;
    page.shows("eve").await;
}
