//! First run, sign-in and sign-out, users and keys, as a person meets them.

use serde_json::json;
use system_tests::console::PASSWORD;
use system_tests::{Api, Browser, TestConsole};

use super::console_and_browser;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_person_makes_an_administrator_with_the_token_from_the_log() {
    let console = TestConsole::setup().flag("--admin-password-file", "").start().await;
    let line = console.program().line("Setup token for the first administrator: ").await;
    let token = line.rsplit(' ').next().expect("a token");
    let browser = Browser::start(console.https).await;
    let page = browser.page().await;
    page.open("/defenders").await;
    page.until("location.pathname === '/setup'").await;
    page.fill("#password", PASSWORD).await;
    page.fill("#setup_token", "not this one").await;
    page.press("Enter").await;
    page.shows("This is not the setup token.").await;
    assert_eq!(page.eval("document.querySelector('#username').value").await, "admin", "the name stays");
    page.fill("#password", PASSWORD).await;
    page.fill("#setup_token", token).await;
    page.click("button", "Make the administrator").await;
    page.until("location.pathname === '/'").await;
    page.shows("This Console is ready for its first Defender").await;
    Api::sign_in(console.https, "admin", PASSWORD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_where_they_wanted_to_go_and_sign_out_for_good() {
    let (_console, browser) = console_and_browser().await;
    let page = browser.page().await;
    page.open("/audit?action=user.added").await;
    page.until("location.pathname === '/login'").await;
    page.sign_in("admin", "not the password").await;
    page.shows("Wrong user name or password.").await;
    assert_eq!(page.eval("document.activeElement.id").await, "password", "the name is there already");
    page.fill("#password", PASSWORD).await;
    page.press("Enter").await;
    page.until("location.pathname + location.search === '/audit?action=user.added'").await;
    assert_eq!(page.eval("document.cookie").await, "", "no script reads the session");

    let other = browser.page().await;
    other.open("/").await;
    other.until("location.pathname === '/login'").await;

    page.click("button", "Sign out").await;
    page.until("location.pathname === '/login'").await;
    page.open("/audit").await;
    page.until("location.pathname === '/login'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_adds_a_user_makes_a_key_and_ends_what_is_not_needed() {
    let (console, browser) = console_and_browser().await;
    let page = browser.signed_in("admin", PASSWORD).await;
    page.open("/access").await;
    page.click("button", "Add a user").await;
    page.fill("#user-name", "eve").await;
    page.fill("#user-password", "short").await;
    page.click("#user-dialog button", "Add the user").await;
    page.until("document.querySelector('#user-password').matches(':invalid')").await;
    page.fill("#user-password", PASSWORD).await;
    page.click("#user-dialog button", "Add the user").await;
    page.until("document.querySelector('[data-row=user-eve]')").await;
    page.shows("Added eve.").await;

    page.click("button", "Make an access key").await;
    page.fill("#key-name", "ci").await;
    page.press("Enter").await;
    page.until("document.querySelector('#secret-dialog').open").await;
    let key = page.eval("document.querySelector('#secret').textContent").await;
    let key = key.as_str().expect("a text");
    assert!(key.starts_with("garrison_"), "{key}");
    let client = Api::with_token(console.https, key);
    assert_eq!(client.get("version").await, json!(env!("CARGO_PKG_VERSION")));
    page.click("#secret-dialog button", "I have copied it").await;
    page.click("[data-row=key-ci] button", "Delete").await;
    page.shows("are refused from now on").await;
    page.click("#confirm-yes", "Delete the key").await;
    page.until("!document.querySelector('[data-row=key-ci]')").await;
    assert_eq!(client.call(reqwest::Method::GET, "version", None).await.status, 401);

    let eve = browser.signed_in("eve", PASSWORD).await;
    page.open("/access").await;
    page.click("[data-row=user-eve] button", "Delete").await;
    page.click("#confirm-yes", "Delete the user").await;
    page.until("!document.querySelector('[data-row=user-eve]')").await;
    // The open page of the user who is gone shows nothing new: it leads to the sign-in.
    eve.until("location.pathname === '/login'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_changes_the_own_password_and_stays_signed_in() {
    let (console, browser) = console_and_browser().await;
    let page = browser.signed_in("admin", PASSWORD).await;
    let other = browser.signed_in("admin", PASSWORD).await;
    page.open("/access").await;
    page.click("button", "Change my password").await;
    page.fill("#old", "not the password").await;
    page.fill("#new", "a new password").await;
    page.press("Enter").await;
    page.shows("The old password is another one.").await;
    page.fill("#old", PASSWORD).await;
    page.fill("#new", "a new password").await;
    page.press("Enter").await;
    page.shows("Your password is changed.").await;
    page.open("/access").await;
    page.until("document.querySelectorAll('[data-row^=session-]').length === 1").await;
    other.until("location.pathname === '/login'").await;
    Api::sign_in(console.https, "admin", "a new password").await;
}
