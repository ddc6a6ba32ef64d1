//! The HTTPS API as a user calls it, and its event stream. Certificates are not verified here: `tls.rs` is for
//! tests that look at them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::wire::Identity;
use crate::{SOON, eventually};

/// A signed-in user of one Console.
#[derive(Clone)]
pub struct Api {
    client: reqwest::Client,
    base: String,
    token: String,
}

/// An answer: status, headers, body.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: reqwest::header::HeaderMap,
    /// Body.
    pub text: String,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// A header; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Api {
    /// A caller that has not signed in.
    pub fn anonymous(port: u16) -> Self {
        crate::tls::install_provider();
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()
            .expect("a client");
        Self { client, base: format!("https://localhost:{port}/api/v1/"), token: String::new() }
    }

    /// Signs in.
    pub async fn sign_in(port: u16, username: &str, password: &str) -> Self {
        let mut api = Self::anonymous(port);
        let body = json!({"username": username, "password": password});
        let answer = api.call(Method::POST, "authenticate", Some(body)).await;
        assert_eq!(answer.status, 200, "signing in: {answer:?}");
        api.token = answer.json()["token"].as_str().expect("a token").to_owned();
        api
    }

    /// A caller with a token or an access key.
    pub fn with_token(port: u16, token: &str) -> Self {
        Self { token: token.to_owned(), ..Self::anonymous(port) }
    }

    /// The token, to look for in logs.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Any call.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.try_call(method, path, body).await.unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    /// Any call, also one that does not get through.
    ///
    /// # Errors
    /// What reqwest says.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).timeout(SOON);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status: status.as_u16(), headers, text: response.text().await? })
    }

    /// The bytes of a file.
    pub async fn download(&self, path: &str) -> Vec<u8> {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.bytes().await.expect("all of it").to_vec()
    }

    /// The bytes that a call with this body is answered with.
    pub async fn file(&self, path: &str, body: &Value) -> Vec<u8> {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.token).json(body);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.bytes().await.expect("all of it").to_vec()
    }

    /// `GET`, which must be answered with 200; its JSON.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, None).await;
        assert_eq!(answer.status, StatusCode::OK.as_u16(), "{path}: {answer:?}");
        answer.json()
    }

    /// What a Defender of this host can authenticate with, from a fresh install bundle.
    pub async fn bundle(&self) -> Identity {
        let bundle = self.get("defenders/install-bundle?consoleaddr=localhost").await;
        unpack(bundle["installBundle"].as_str().expect("a bundle"))
    }

    /// One Defender, once it is there and `condition` holds.
    pub async fn defender(&self, id: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("Defender {id} {what}"), SOON, async || {
            let answer = self.call(Method::GET, &format!("defenders/{id}"), None).await;
            let defender = answer.json();
            if answer.status == 200 && condition(&defender) { Ok(defender) } else { Err(answer.text) }
        })
        .await
    }

    /// One of the two channels of `certificates`.
    pub async fn certificate(&self, channel: &str) -> Value {
        let all = self.get("certificates").await;
        let found = all.as_array().into_iter().flatten().find(|entry| entry["channel"] == channel);
        found.unwrap_or_else(|| panic!("no {channel} in {all}")).clone()
    }

    /// Follows the event stream; returns once it is open.
    pub async fn events(&self) -> Events {
        self.follow("events").await
    }

    /// Follows any stream of server-sent events; returns once it is open.
    pub async fn follow(&self, path: &str) -> Events {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let mut response = request.send().await.expect("the event stream");
        assert_eq!(response.status(), StatusCode::OK);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut reader = JoinSet::new();
        reader.spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut text = String::new();
                while let Ok(Some(chunk)) = response.chunk().await {
                    text.push_str(&String::from_utf8_lossy(&chunk));
                    while let Some((event, rest)) = text.split_once("\n\n") {
                        seen.lock().expect("not poisoned").extend(parse_event(event));
                        text = rest.to_owned();
                    }
                }
                seen.lock().expect("not poisoned").push(("stream.ended".to_owned(), Value::Null));
            }
        });
        Events { seen, _reader: reader }
    }
}

/// The events since the stream was opened.
pub struct Events {
    seen: Arc<Mutex<Vec<(String, Value)>>>,
    _reader: JoinSet<()>,
}

impl Events {
    /// All of them: name and data; `stream.ended` when the Console has closed it.
    pub fn all(&self) -> Vec<(String, Value)> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// How many of this name.
    pub fn count(&self, name: &str) -> usize {
        self.all().iter().filter(|(seen, _)| seen == name).count()
    }

    /// The data of the first event of this name that fits, once it has come.
    pub async fn expect(&self, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
        self.within(SOON, name, condition).await
    }

    /// As `expect`, with a deadline.
    pub async fn within(&self, deadline: Duration, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("event {name}"), deadline, async || {
            let all = self.all();
            let found = all.iter().find(|(seen, data)| seen == name && fits(data));
            found.map(|(_, data)| data.clone()).ok_or(all)
        })
        .await
    }
}

/// Name and data of one server-sent event; `None` for a comment.
fn parse_event(text: &str) -> Option<(String, Value)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
    let data = serde_json::from_str(field("data:")?).unwrap_or(Value::Null);
    Some((field("event:").unwrap_or("message").to_owned(), data))
}

/// The three files of an install bundle.
pub fn unpack(bundle: &str) -> Identity {
    let json = base64::engine::general_purpose::STANDARD.decode(bundle).expect("base64");
    let files: Value = serde_json::from_slice(&json).expect("a JSON object");
    let file =
        |name: &str| files[name].as_str().unwrap_or_else(|| panic!("no {name} in the bundle")).to_owned();
    Identity {
        ca: file("defender-ca.pem"),
        cert: file("defender-client-cert.pem"),
        key: file("defender-client-key.pem"),
    }
}
