//! Chromium as a person uses it: pages with mouse and keyboard, over the DevTools protocol. What a page must never do
//! is looked for in every test: a fault in its scripts, something that the Content-Security-Policy refuses, a request
//! to another host.
//!
//! ```text
//! mod.rs    Browser: one Chromium; Page: open, look, click, type, wait
//! wire.rs   the DevTools protocol: calls, answers, events
//! axe.rs    axe-core's judgement of a page
//! ```

mod axe;
mod wire;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use wire::Wire;

use crate::{Program, SOON, eventually, repository};

/// One Chromium with an empty profile.
pub struct Browser {
    wire: Arc<Wire>,
    base: String,
    _chromium: Program,
    _profile: TempDir,
    _turn: SemaphorePermit<'static>,
}

/// Where downloads go.
pub struct Downloads(TempDir);

/// One tab with cookies of its own.
pub struct Page {
    wire: Arc<Wire>,
    session: String,
    base: String,
    /// Whether it may do what no page of a Console may do.
    is_foreign: bool,
}

impl Browser {
    /// A Chromium for the pages of the Console whose HTTPS listener has this port.
    pub async fn start(port: u16) -> Self {
        Self::start_at(&format!("https://localhost:{port}"), "").await
    }

    /// A Chromium for the pages at `base`, with rules of where hosts are, as `MAP HOST ADDRESS`.
    pub async fn start_at(base: &str, hosts: &str) -> Self {
        let turn = TURNS.acquire().await.expect("never closed");
        let profile = tempfile::Builder::new().prefix("garrison-chromium-").tempdir().expect("a directory");
        let mut command = Command::new("chromium");
        command.args(FLAGS).arg(format!("--host-resolver-rules={hosts}")).arg("about:blank");
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let chromium = Program::start("chromium", command);
        let place = profile.path().join("DevToolsActivePort");
        let address = eventually("Chromium listens", SOON, async || {
            let text = std::fs::read_to_string(&place).map_err(|error| error.to_string())?;
            match text.split_once('\n') {
                Some((port, path)) if !path.is_empty() => Ok(format!("ws://127.0.0.1:{port}{path}")),
                _ => Err(text),
            }
        })
        .await;
        let wire = Arc::new(Wire::open(&address).await);
        Self { wire, base: base.to_owned(), _chromium: chromium, _profile: profile, _turn: turn }
    }

    /// A new tab, as of another person: it shares no cookies.
    pub async fn page(&self) -> Page {
        let context = self.wire.call(None, "Target.createBrowserContext", json!({})).await;
        let target = json!({ "url": "about:blank", "browserContextId": context["browserContextId"] });
        let target = self.wire.call(None, "Target.createTarget", target).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.wire.call(None, "Target.attachToTarget", attach).await;
        let session = session["sessionId"].as_str().expect("a session").to_owned();
        let page = Page { wire: Arc::clone(&self.wire), session, base: self.base.clone(), is_foreign: false };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        page.size(1280, 800).await;
        page
    }

    /// Lets pages that are open download files.
    pub async fn downloads(&self) -> Downloads {
        let folder = tempfile::Builder::new().prefix("garrison-downloads-").tempdir().expect("a directory");
        let contexts = self.wire.call(None, "Target.getBrowserContexts", json!({})).await;
        for context in contexts["browserContextIds"].as_array().expect("contexts") {
            let place = json!({
                "behavior": "allow", "downloadPath": folder.path(), "browserContextId": context
            });
            self.wire.call(None, "Browser.setDownloadBehavior", place).await;
        }
        Downloads(folder)
    }

    /// A new tab, signed in with the form.
    pub async fn signed_in(&self, username: &str, password: &str) -> Page {
        let page = self.page().await;
        page.open("/login").await;
        page.sign_in(username, password).await;
        page.until("location.pathname === '/'").await;
        page
    }
}

impl Downloads {
    /// The content of a file, once it is there: Chromium renames it when it is complete.
    pub async fn file(&self, name: &str) -> Vec<u8> {
        eventually(name, SOON, async || std::fs::read(self.0.path().join(name))).await
    }
}

impl Page {
    /// Goes to a path of the Console, or to a URL, and waits until it is there.
    pub async fn open(&self, path: &str) {
        let url = if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        let answer = self.call("Page.navigate", json!({ "url": url })).await;
        assert_eq!(answer["errorText"], Value::Null, "{path}");
        self.until(&format!(
            "document.readyState === 'complete' && location.href !== 'about:blank' && {READY}"
        ))
        .await;
    }

    /// Fills in the form of `/login` and sends it.
    pub async fn sign_in(&self, username: &str, password: &str) {
        self.fill("#username", username).await;
        self.fill("#password", password).await;
        self.press("Enter").await;
    }

    /// What a script's expression comes to.
    pub async fn eval(&self, script: &str) -> Value {
        self.try_eval(script).await.unwrap_or_else(|fault| panic!("{script}: {fault}"))
    }

    /// Waits until a script's expression is true, also across pages, and returns what it came to.
    pub async fn until(&self, script: &str) -> Value {
        eventually(script, SOON, async || match self.try_eval(script).await {
            Ok(value) if is_true(&value) => Ok(value),
            other => Err(other),
        })
        .await
    }

    /// Waits until the page shows a text.
    pub async fn shows(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    /// Clicks the first visible element of `selector` that holds `text`, as a mouse does.
    pub async fn click(&self, selector: &str, text: &str) {
        let place = self.until(&format!("{FIND}({}, {})", json!(selector), json!(text))).await;
        let at = |kind: &str| json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            self.call("Input.dispatchMouseEvent", at(kind)).await;
        }
    }

    /// Puts a text in place of what a field holds.
    pub async fn fill(&self, selector: &str, text: &str) {
        let select = format!(
            "(field => field && (field.focus(), field.select?.(), true))(document.querySelector({}))",
            json!(selector)
        );
        self.until(&select).await;
        self.type_text(text).await;
    }

    /// Types a text where the focus is.
    pub async fn type_text(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key: `Tab`, `Enter`, `Escape`, `Space` or a character.
    pub async fn press(&self, key: &str) {
        let (key, code, number, text) = match key {
            "Tab" => ("Tab", "Tab", 9, ""),
            "Enter" => ("Enter", "Enter", 13, "\r"),
            "Escape" => ("Escape", "Escape", 27, ""),
            "Space" => (" ", "Space", 32, " "),
            character => (character, "", 0, character),
        };
        let mut event =
            json!({ "type": "keyDown", "key": key, "code": code, "windowsVirtualKeyCode": number });
        if !text.is_empty() {
            event["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", event.clone()).await;
        event["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", event).await;
    }

    /// Makes the window this large, in CSS pixels.
    pub async fn size(&self, width: u32, height: u32) {
        let mobile = width < 600;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Whether the person has asked the system for dark colours.
    pub async fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": value },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// Writes what is seen to a PNG file.
    pub async fn screenshot(&self, path: &Path) {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        let picture = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
        std::fs::write(path, picture).expect("written");
    }

    /// Makes the tab that of another site, which the Console's policy does not bind.
    pub async fn become_foreign(&mut self) {
        self.call("Page.setBypassCSP", json!({ "enabled": true })).await;
        self.is_foreign = true;
    }

    /// What axe-core finds wrong with the page, by WCAG 2.2 AA.
    pub async fn violations(&self) -> Vec<String> {
        axe::violations(self).await
    }

    /// What the page did that no page may do.
    pub fn faults(&self) -> Vec<String> {
        self.wire.events(&self.session).iter().filter_map(|event| fault(event, &self.base)).collect()
    }

    async fn try_eval(&self, script: &str) -> Result<Value, String> {
        let parameters = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let answer = self.wire.try_call(Some(&self.session), "Runtime.evaluate", parameters).await?;
        match answer.get("exceptionDetails") {
            Some(details) => Err(details["exception"]["description"].to_string()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    async fn call(&self, method: &str, parameters: Value) -> Value {
        self.wire.call(Some(&self.session), method, parameters).await
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let faults = if self.is_foreign { Vec::new() } else { self.faults() };
        if !std::thread::panicking() {
            assert!(faults.is_empty(), "{faults:#?}");
        } else if !faults.is_empty() {
            eprintln!("the page also did this: {faults:#?}");
        }
    }
}

/// A fault in a script, a refusal of the policy, a request to elsewhere. Answers that are no success are no fault.
fn fault(event: &Value, base: &str) -> Option<String> {
    let parameters = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(parameters["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if parameters["type"] == "error" => Some(parameters["args"].to_string()),
        "Log.entryAdded" => {
            let entry = &parameters["entry"];
            let is_fault = entry["level"] == "error" && entry["source"] != "network";
            is_fault.then(|| entry.to_string())
        }
        "Network.requestWillBeSent" => {
            let url = parameters["request"]["url"].as_str()?;
            let is_own = url.starts_with(base) || url.starts_with("data:") || url.starts_with("about:");
            (!is_own).then(|| format!("a request to {url}"))
        }
        _ => None,
    }
}

fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// A file below `target/`.
fn target(path: &str) -> PathBuf {
    repository().join("target").join(path)
}

/// The place of an element in the window, or `null`.
const FIND: &str = "((selector, text) => {
    const isThere = element => element.checkVisibility() && element.textContent.includes(text);
    const element = [...document.querySelectorAll(selector)].find(isThere);
    if (!element) return null;
    element.scrollIntoView({ block: 'center' });
    const box = element.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
})";

/// Scripts have run: a page with live regions hears the Console.
const READY: &str = "(!document.querySelector('#live-state') || \
     document.querySelector('#live-state').dataset.state === 'live')";

/// The last one: the Console's certificate is its own, and these tests do not look at it.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--ignore-certificate-errors",
];

/// A Chromium takes a core: not more at once than a small machine has.
static TURNS: Semaphore = Semaphore::const_new(2);
