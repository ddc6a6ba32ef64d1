//! Every page as it looks: to assistive technology, in both themes, on a phone, from the keyboard. With
//! `GARRISON_SCREENSHOTS=DIR` pictures are written there (`cargo xtask screenshots`).

use std::path::PathBuf;

use serde_json::Value;
use system_tests::browser::Page;
use system_tests::console::PASSWORD;
use system_tests::place::Manner;
use system_tests::{Channel, OpensslPki, TestConsole, TestDefender};

use super::{add_user, console_and_browser, id_of};

/// A Console that has something on every page.
struct Stage {
    console: TestConsole,
    defenders: Vec<TestDefender>,
}

impl Stage {
    async fn new(console: TestConsole) -> Self {
        let bundle = console.api().await.bundle().await;
        let mut defenders = Vec::new();
        for hostname in ["web-1", "web-2", "database-1"] {
            let setup = TestDefender::setup(&console.address()).bundle(&bundle).flag("--hostname", hostname);
            defenders.push(setup.connect().await);
        }
        defenders[1].stop().await;
        let files = Channel::Https.files(&OpensslPki::new().server());
        Manner::Renamed.place(&console.custom_dir(), &files);
        console.program().line(Channel::Https.rotated_text()).await;
        add_user(&console, "olga", "operator").await;
        add_user(&console, "anna", "auditor").await;
        let key = serde_json::json!({ "name": "ci-pipeline", "role": "defender-manager", "days": 90 });
        let made = console.api().await.call(reqwest::Method::POST, "access-keys", Some(key)).await;
        assert_eq!(made.status, 201);
        Self { console, defenders }
    }

    /// Every page: the entries of the navigation, and one Defender; with a name for its picture.
    async fn pages(&self, page: &Page) -> Vec<(String, String)> {
        let links =
            page.eval("[...document.querySelectorAll('nav a')].map(link => link.getAttribute('href'))").await;
        let links = links.as_array().expect("a list").iter().filter_map(Value::as_str);
        let mut pages: Vec<_> = links.map(|link| (link.to_owned(), name(link))).collect();
        let id = id_of(&self.console, "web-1").await;
        pages.push((format!("/defenders/{id}"), "defender".to_owned()));
        let console = "/deploy?program=console&serviceType=LoadBalancer&san=console.example.com";
        pages.push((console.to_owned(), "deploy-console".to_owned()));
        pages.push(("/nothing".to_owned(), "error".to_owned()));
        assert!(pages.len() > 7, "{pages:?}");
        pages
    }
}

fn name(path: &str) -> String {
    match path.trim_start_matches('/') {
        "" => "overview".to_owned(),
        name => name.to_owned(),
    }
}

/// Where pictures go, when they are wanted.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("GARRISON_SCREENSHOTS").map(PathBuf::from)
}

async fn photograph(page: &Page, name: &str) {
    if let Some(dir) = pictures() {
        page.screenshot(&dir.join(format!("{name}.png"))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_in_both_themes_and_on_a_phone() {
    let (console, browser) = console_and_browser().await;
    let stranger = browser.page().await;
    let stage = Stage::new(console).await;
    let page = browser.signed_in("admin", PASSWORD).await;
    let mut faults = Vec::new();
    for (width, height, dark) in [(1280, 800, false), (1280, 800, true), (390, 844, false)] {
        page.size(width, height).await;
        page.dark(dark).await;
        for (path, name) in stage.pages(&page).await {
            page.open(&path).await;
            // The description of the API is long; it is the same on a phone.
            let is_known = name == "api" && width < 600;
            let found = if is_known { Vec::new() } else { page.violations().await };
            faults.extend(found.into_iter().map(|fault| format!("{name} {width} dark={dark}: {fault}")));
            let too_wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
            if page.eval(too_wide).await == true {
                faults.push(format!("{name} {width}: the page scrolls sideways"));
            }
        }
        page.open("/").await;
        stranger.size(width, height).await;
        stranger.dark(dark).await;
        stranger.open("/login").await;
        faults.extend(stranger.violations().await);
    }
    assert!(faults.is_empty(), "{} violations: {faults:#?}", faults.len());
    drop(stage.defenders);
}

#[tokio::test(flavor = "multi_thread")]
async fn dialogs_are_accessible_too() {
    let (_console, browser) = console_and_browser().await;
    let page = browser.signed_in("admin", PASSWORD).await;
    for dark in [false, true] {
        page.dark(dark).await;
        page.open("/access").await;
        for dialog in ["user-dialog", "password-dialog", "key-dialog", "keys"] {
            page.click(&format!("[data-open={dialog}]"), "").await;
            page.until(&format!("document.querySelector('#{dialog}').open")).await;
            assert_eq!(page.violations().await, Vec::<String>::new(), "{dialog} dark={dark}");
            page.press("Escape").await;
            page.until(&format!("!document.querySelector('#{dialog}').open")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_run_page_is_accessible() {
    let console = TestConsole::setup().flag("--admin-password-file", "").start().await;
    let browser = system_tests::Browser::start(console.https).await;
    let page = browser.page().await;
    for dark in [false, true] {
        page.dark(dark).await;
        page.open("/setup").await;
        page.click("summary", "How to read the log").await;
        assert_eq!(page.violations().await, Vec::<String>::new(), "dark={dark}");
        if !dark {
            photograph(&page, "setup").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_theme_follows_the_system_until_a_person_chooses() {
    let (_console, browser) = console_and_browser().await;
    let page = browser.signed_in("admin", PASSWORD).await;
    let ground = "getComputedStyle(document.body).backgroundColor";
    page.dark(false).await;
    let light = page.eval(ground).await;
    page.dark(true).await;
    page.until(&format!("{ground} !== {light}")).await;
    page.click("[data-theme-toggle]", "").await;
    page.until(&format!("{ground} === {light}")).await;
    page.open("/certificates").await;
    assert_eq!(page.eval(ground).await, light, "the choice stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_the_menu_opens_and_leads_everywhere() {
    let (_console, browser) = console_and_browser().await;
    let page = browser.signed_in("admin", PASSWORD).await;
    page.size(390, 844).await;
    page.open("/").await;
    assert_eq!(page.eval("document.querySelector('nav a').checkVisibility()").await, false);
    page.click("[data-menu]", "Menu").await;
    page.click("nav a", "Certificates").await;
    page.until("location.pathname === '/certificates'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_can_be_done_without_a_mouse() {
    let (console, browser) = console_and_browser().await;
    let stage = Stage::new(console).await;
    let page = browser.page().await;
    page.open("/login").await;
    // The first field has the focus.
    page.type_text("admin").await;
    page.press("Tab").await;
    page.type_text(PASSWORD).await;
    page.press("Enter").await;
    page.until("location.pathname === '/'").await;
    page.open("/").await;
    page.press("Tab").await;
    assert_eq!(page.eval("document.activeElement.className").await, "skip", "past the navigation at once");
    page.press("g").await;
    page.press("d").await;
    page.until("location.pathname === '/defenders' && document.querySelector('tr[data-row]')").await;
    page.shows("Live").await;
    page.press("/").await;
    page.until("document.activeElement.id === 'search'").await;
    page.type_text("web-").await;
    page.press("Enter").await;
    page.until("location.search.includes('search=web-')").await;
    page.shows("Live").await;
    page.press("j").await;
    page.press("j").await;
    page.until("document.activeElement.textContent === 'web-2'").await;
    page.press("Enter").await;
    page.until("location.pathname.startsWith('/defenders/')").await;
    page.shows("Live").await;
    page.press("?").await;
    page.until("document.querySelector('#keys').open").await;
    page.press("Escape").await;
    page.until("!document.querySelector('#keys').open").await;
    for _ in 0..60 {
        if page.eval("document.activeElement.textContent.trim()").await == "Decommission" {
            break;
        }
        page.press("Tab").await;
    }
    page.press("Enter").await;
    page.until("document.querySelector('#confirm').open").await;
    page.press("Tab").await;
    assert_eq!(page.eval("document.activeElement.id").await, "confirm-yes");
    page.press("Enter").await;
    page.until("location.pathname === '/defenders'").await;
    drop(stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_every_page_are_taken_when_they_are_wanted() {
    if pictures().is_none() {
        return;
    }
    let (console, browser) = console_and_browser().await;
    let stranger = browser.page().await;
    stranger.open("/login").await;
    photograph(&stranger, "login").await;
    let stage = Stage::new(console).await;
    let page = browser.signed_in("admin", PASSWORD).await;
    page.dark(false).await;
    for (path, name) in stage.pages(&page).await {
        page.open(&path).await;
        photograph(&page, &name).await;
    }
    page.dark(true).await;
    for (path, name) in [("/", "overview-dark"), ("/certificates", "certificates-dark")] {
        page.open(path).await;
        photograph(&page, name).await;
    }
    page.dark(false).await;
    page.size(390, 844).await;
    for (path, name) in [("/", "overview-phone"), ("/defenders", "defenders-phone")] {
        page.open(path).await;
        photograph(&page, name).await;
    }
}
