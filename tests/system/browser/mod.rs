//! The pages in a real browser, before two real programs. Every test also fails when a page's script has a fault, when
//! the Content-Security-Policy refuses something, or when a page asks another host for anything.
//!
//! ```text
//! sign_in.rs   first run, sign-in and sign-out, users and keys
//! authority.rs the rotation of the CA by clicks, and the approval of a return
//! deploy.rs    what the Deploy page writes and hands over
//! live.rs      what happens is seen without reloading
//! rights.rs    what viewers may not, and what hostile texts come to
//! looks.rs     every page: accessibility, themes, phones, keyboard, screenshots
//! ```

mod authority;
mod deploy;
mod live;
mod looks;
mod rights;
mod sign_in;

use serde_json::{Value, json};
use system_tests::console::PASSWORD;
use system_tests::{Browser, TestConsole};

/// A Console and the browser of its administrator.
async fn console_and_browser() -> (TestConsole, Browser) {
    let console = TestConsole::start().await;
    let browser = Browser::start(console.https).await;
    (console, browser)
}

/// Adds a user whose password is [`PASSWORD`].
async fn add_user(console: &TestConsole, username: &str, role: &str) {
    let body = json!({ "username": username, "password": PASSWORD, "role": role });
    let answer = console.api().await.call(reqwest::Method::POST, "users", Some(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// The id of the only Defender of that host name.
async fn id_of(console: &TestConsole, hostname: &str) -> String {
    let list = console.api().await.get(&format!("defenders?search={hostname}")).await;
    list[0]["id"].as_str().map(ToOwned::to_owned).unwrap_or_else(|| panic!("no {hostname} in {list}"))
}

/// A text as a script writes it.
fn quoted(text: &str) -> Value {
    json!(text)
}
