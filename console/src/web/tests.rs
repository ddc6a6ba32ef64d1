//! Every kind of answer of the API, without a socket. What needs connections is in `listener/tests.rs`.

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::CustomDir;
use http_body_util::BodyExt as _;
use lifecycle::Tasks;
use protocol::message::{CertificateSource, CertificateSummary, DefenderIdentity, Hello};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::*;
use crate::authority::AuthorityRotation;
use crate::channels::{Channels, Renewal};
use crate::config::{Database, FirstAdministrator};
use crate::enroll::Lives;
use crate::meet::Policy;
use crate::store::users::Role;
use crate::store::writer::Writer;

mod alerts;
mod audits;
mod events;
mod history;
mod keys;
mod metrics;
mod openapi;
mod roster;
mod sessions;
mod settings;
mod users;

/// A Console without listeners, with one administrator `admin`.
pub(super) struct Api {
    pub(super) router: Router,
    pub(super) state: AppState,
    /// Issues other certificates, which rotates both channels.
    pub(super) renewal: Arc<Renewal>,
    dir: tempfile::TempDir,
    _shutdown: tokio_util::sync::DropGuard,
}

impl Api {
    pub(super) async fn new() -> Self {
        let api = Self::without_users().await;
        let token = api.state.access.setup_token();
        let here = "127.0.0.1".parse().expect("an address");
        api.state.access.sign_up("admin", PASSWORD, &token, here).await.expect("there was no user");
        api
    }

    pub(super) async fn without_users() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&Database::Embedded(dir.path().join("console.db"))).await.expect("opens");
        let admin = FirstAdministrator { username: "admin".to_owned(), password_file: None };
        let access = Access::open(store.clone(), &admin).await.expect("opens");
        let shutdown = CancellationToken::new();
        let tasks = Tasks::new();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let nowhere = CustomDir::open(Path::new("/nowhere"), Duration::from_secs(10));
        let own_dir = dir.path().join("certificates");
        let channels =
            Channels::open(&own_dir, &nowhere, names, &[], &certs::Guard::default(), now()).expect("opens");
        let (https, defender) = (channels.https.clone(), channels.defender.clone());
        let (renewal, authority) = (Arc::clone(&channels.renewal), Arc::clone(&channels.authority));
        let (outcomes, mut received) = tokio::sync::mpsc::channel(8);
        channels.run(&tasks, &outcomes, &shutdown);
        let (writer, task) = Writer::new(store.clone(), &[]);
        tasks.spawn("store writer", task.run(shutdown.clone()));
        let fleet = Fleet::new(Vec::new(), Vec::new(), writer, certs::Guard::default());
        let announced = fleet.clone();
        tasks.spawn("outcomes", async move {
            while let Some(outcome) = received.recv().await {
                announced.announce(now(), outcome.into());
            }
        });
        let lives = Lives { own: MONTH, return_within: MONTH };
        let known = crate::enroll::State::default();
        let enrolment = Enrolment::new(authority, defender.clone(), store.clone(), known, lives);
        let names = ExtraNames::new(store.clone(), Arc::clone(&renewal));
        let backups =
            Keeper::new(store.clone(), Database::Embedded(dir.path().join("console.db")), dir.path());
        let sources = (&backups, &fleet, &https, &defender, &names, &enrolment);
        let alerts = alerts::opened(&store, sources).await;
        let rotation = AuthorityRotation {
            renewal: Arc::clone(&renewal),
            names: names.clone(),
            enrolment: enrolment.clone(),
            fleet: fleet.clone(),
            store: store.clone(),
            backups: backups.clone(),
        };
        let metrics = Metrics::new(now());
        let state = AppState {
            refusals: Refusals::new(fleet.clone(), metrics.clone()),
            meeting: Meeting::new(fleet.clone(), store.clone(), defender.clone(), Policy::Hold),
            alerts,
            access,
            backups,
            authority: rotation,
            custom_dir: nowhere.clone(),
            defender: defender.clone(),
            defender_port: 8084,
            enrolment,
            fleet,
            https,
            metrics,
            names,
            public_url: PublicAddress::open(store.clone(), None).await.expect("opens"),
            ready: Ready::default(),
            store: store.clone(),
        };
        let router = router(state.clone());
        Self { router, state, renewal, dir, _shutdown: shutdown.drop_guard() }
    }

    pub(super) async fn call(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.expect("infallible")
    }

    async fn get(&self, path: &str) -> Response<Body> {
        self.call(get_as(path, "admin")).await
    }

    pub(super) async fn connect(&self, hostname: &str) -> Uuid {
        self.connect_as(hostname, "0.1.0").await
    }

    pub(super) async fn connect_as(&self, hostname: &str, version: &str) -> Uuid {
        let id = Uuid::new_v4();
        let text = str::to_owned;
        let hello = Hello {
            defender: DefenderIdentity {
                id,
                hostname: text(hostname),
                version: text(version),
                os: text("Debian"),
                kernel: text("6.1"),
                arch: text("x86_64"),
                cluster: None,
            },
            boot: Uuid::new_v4(),
            certificate: CertificateSummary {
                source: CertificateSource::SelfSigned,
                not_after: now(),
                sha256: "0".repeat(64),
            },
            authorities: Vec::new(),
            time: None,
        };
        let address = "192.0.2.7".parse().expect("an address");
        std::mem::forget(self.state.fleet.arrive(&hello, address, now()).expect("welcome"));
        id
    }
}

const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

pub(super) fn get_as(path: &str, username: &str) -> Request<Body> {
    let credentials = STANDARD.encode(format!("{username}:{PASSWORD}"));
    let request = Request::get(format!("/api/v1/{path}"));
    request.header(header::AUTHORIZATION, format!("Basic {credentials}")).body(Body::empty()).expect("valid")
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(format!("/api/v1/{path}"));
    request.header(header::CONTENT_TYPE, "application/json").body(body.into()).expect("valid")
}

async fn json_of(response: Response<Body>) -> Value {
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}

async fn assert_problem(response: Response<Body>, status: StatusCode, code: &str) -> Value {
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(response.status(), status);
    let problem = json_of(response).await;
    assert_eq!(problem["type"], format!("urn:garrison:problem:{code}"), "{problem}");
    assert_eq!(problem["status"], status.as_u16());
    assert!(!problem.to_string().contains(PASSWORD));
    problem
}

pub(super) const PASSWORD: &str = "correct horse";

#[tokio::test]
async fn ping_says_whether_the_console_is_ready_and_version_asks_who_is_calling() {
    let api = Api::new().await;
    let ping = || Request::get("/api/v1/_ping").body(Body::empty()).expect("valid");
    assert_problem(api.call(ping()).await, StatusCode::SERVICE_UNAVAILABLE, "unavailable").await;
    api.state.ready.set();
    let pong = api.call(ping()).await;
    assert_eq!(pong.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(json_of(pong).await, "OK");

    assert_eq!(json_of(api.get("version").await).await, env!("CARGO_PKG_VERSION"));
    for authorization in [None, Some("Basic !!!"), Some("Basic YWRtaW4="), Some("Digest x"), Some("Bearer x")]
    {
        let mut request = Request::get("/api/v1/version");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = api.call(request.body(Body::empty()).expect("valid")).await;
        assert_eq!(response.headers().get_all(header::WWW_AUTHENTICATE).iter().count(), 2);
        assert_problem(response, StatusCode::UNAUTHORIZED, "unauthorized").await;
    }
}

#[tokio::test]
async fn sign_up_and_authenticate_lead_to_a_token_that_works() {
    let api = Api::without_users().await;
    let token = api.state.access.setup_token();
    let body =
        |token: &str| json!({"username": "admin", "password": PASSWORD, "setup_token": token}).to_string();
    let wrong = api.call(post("signup", body("wrong"))).await;
    assert_problem(wrong, StatusCode::FORBIDDEN, "forbidden").await;
    assert_eq!(api.call(post("signup", body(&token))).await.status(), StatusCode::CREATED);
    assert_problem(api.call(post("signup", body(&token))).await, StatusCode::CONFLICT, "conflict").await;

    let credentials = json!({"username": "admin", "password": PASSWORD}).to_string();
    let answer = json_of(api.call(post("authenticate", credentials)).await).await;
    let bearer = format!("bearer {}", answer["token"].as_str().expect("a token"));
    let request = Request::get("/api/v1/version").header(header::AUTHORIZATION, bearer);
    let response = api.call(request.body(Body::empty()).expect("valid")).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn guessing_is_answered_with_401_and_then_429() {
    let api = Api::new().await;
    let guess = || post("authenticate", json!({"username": "admin", "password": "wrong horse"}).to_string());
    for _ in 0..5 {
        assert_problem(api.call(guess()).await, StatusCode::UNAUTHORIZED, "unauthorized").await;
    }
    let response = api.call(guess()).await;
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    assert_problem(response, StatusCode::TOO_MANY_REQUESTS, "too-many-requests").await;
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused_without_repeating_them() {
    let api = Api::new().await;
    let samples = [
        ("{".to_owned(), "not valid JSON"),
        (json!({"username": "admin", "password": 123_456_789, "x": 1}).to_string(), "wrong type"),
        (json!({"username": "admin", "password": "x", "role": "administrator"}).to_string(), "`role`"),
        (json!({"username": "admin"}).to_string(), "`password`"),
        (r#"{"username":"a","username":"b","password":"c"}"#.to_owned(), "`username`"),
        ("[]".to_owned(), "wrong type"),
    ];
    for (body, expected) in samples {
        let response = api.call(post("authenticate", body.clone())).await;
        let problem = assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await.to_string();
        assert!(problem.contains(expected) && !problem.contains("123456789"), "{body}: {problem}");
    }
    let large = api.call(post("authenticate", vec![b' '; MOST_BODY_BYTES + 1])).await;
    assert_problem(large, StatusCode::PAYLOAD_TOO_LARGE, "too-large").await;
    let plain = Request::post("/api/v1/authenticate").body(Body::from("{}")).expect("valid");
    let response = api.call(plain).await;
    assert_problem(response, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type").await;
}

#[tokio::test]
async fn unknown_paths_are_404_and_unknown_methods_405_with_allow() {
    let api = Api::new().await;
    for path in ["nothing", "../etc/passwd", "defenders/x/y"] {
        assert_problem(api.get(path).await, StatusCode::NOT_FOUND, "not-found").await;
    }
    let request = Request::builder().method(Method::PUT).uri(format!("/api/v1/defenders/{}", Uuid::nil()));
    let response = api.call(request.body(Body::empty()).expect("valid")).await;
    assert_eq!(response.headers()[header::ALLOW], "GET,HEAD,DELETE");
    assert_problem(response, StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed").await;
}

#[tokio::test]
async fn defenders_are_listed_filtered_paged_and_decommissioned() {
    let api = Api::new().await;
    let mut ids = Vec::new();
    for hostname in ["web-2", "db-1", "web-1", "web-1"] {
        ids.push(api.connect(hostname).await);
    }
    let response = api.get("defenders?limit=2&offset=1&search=WEB").await;
    assert_eq!(response.headers()["total-count"], "3");
    let list = json_of(response).await;
    let names: Vec<_> = list.as_array().expect("a list").iter().map(|d| d["hostname"].clone()).collect();
    assert_eq!(names, ["web-1", "web-2"]);
    assert_eq!(list[0]["address"], "192.0.2.7");
    assert_eq!(json_of(api.get("defenders?connected=false").await).await, json!([]));
    assert_eq!(json_of(api.get("defenders/names").await).await, json!(["db-1", "web-1", "web-2"]));

    for bad in ["limit=1001", "limit=-1", "offset=x", "connected=yes", "page=1", "limit=1&limit=2"] {
        let response = api.get(&format!("defenders?{bad}")).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }

    let path = format!("defenders/{}", ids[0]);
    assert_eq!(json_of(api.get(&path).await).await["id"], ids[0].to_string());
    let delete = || {
        let mut request = get_as(&path, "admin");
        *request.method_mut() = Method::DELETE;
        request
    };
    assert_eq!(api.call(delete()).await.status(), StatusCode::NO_CONTENT);
    assert_problem(api.call(delete()).await, StatusCode::NOT_FOUND, "not-found").await;
    assert_problem(api.get(&path).await, StatusCode::NOT_FOUND, "not-found").await;
    assert_problem(api.get("defenders/x").await, StatusCode::BAD_REQUEST, "bad-request").await;
}

#[tokio::test]
async fn a_viewer_reads_but_gets_no_bundle_and_decommissions_nobody() {
    let api = Api::new().await;
    let copy = "INSERT INTO users SELECT $1, password, $2, created_at FROM users WHERE username = 'admin'";
    for (name, role) in [("eve", Role::Viewer), ("olga", Role::Operator)] {
        let query = sqlx::query(copy).bind(name).bind(role.as_str());
        query.execute(api.state.store.pool()).await.expect("copied");
    }
    assert_eq!(api.call(get_as("defenders", "eve")).await.status(), StatusCode::OK);
    let bundle = "defenders/install-bundle?consoleaddr=console.example.com";
    assert_problem(api.call(get_as(bundle, "eve")).await, StatusCode::FORBIDDEN, "forbidden").await;

    let answer = json_of(api.call(get_as(bundle, "olga")).await).await;
    assert_eq!(answer["wsAddress"], "wss://console.example.com:8084");
    let files = STANDARD.decode(answer["installBundle"].as_str().expect("base64")).expect("base64");
    let files: Value = serde_json::from_slice(&files).expect("JSON");
    let names: Vec<_> = files.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["defender-ca.pem", "defender-client-cert.pem", "defender-client-key.pem"]);

    for bad in ["", "?consoleaddr=https://console", "?consoleaddr=", "?consoleaddr=a&x=1"] {
        let response = api.get(&format!("defenders/install-bundle{bad}")).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
}

#[tokio::test]
async fn certificates_and_the_ca_are_shown() {
    let api = Api::new().await;
    let list = json_of(api.get("certificates").await).await;
    assert_eq!(
        (&list[0]["channel"], &list[1]["channel"]),
        (&json!("console-https"), &json!("console-defender"))
    );
    assert_eq!(list[0]["source"], "self-signed");
    assert_eq!(list[0]["sans"], json!(["localhost", "127.0.0.1"]));
    assert_eq!(list[0]["last_error"], Value::Null);
    let page = api.get("certificates?search=HTTPS&limit=5").await;
    assert_eq!(page.headers()["total-count"], "1");
    assert_eq!(json_of(page).await[0]["channel"], "console-https");
    assert_eq!(json_of(api.get("certificates?offset=1").await).await[0]["channel"], "console-defender");
    for bad in ["limit=1001", "x=1"] {
        let response = api.get(&format!("certificates?{bad}")).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
    let ca = api.call(Request::get("/api/v1/certs/ca.pem").body(Body::empty()).expect("valid")).await;
    assert_eq!(ca.headers()[header::CONTENT_TYPE], "application/x-pem-file");
    assert!(api.dir.path().join("certificates").is_dir());
}

#[tokio::test]
async fn a_handler_that_panics_is_a_500_and_tells_the_caller_nothing() {
    let doomed = Router::new()
        .route(
            "/",
            get(|| async {
                if true {
                    panic!("correct horse")
                }
            }),
        )
        .layer(middleware::from_fn(guard::guard));
    let request = Request::get("/").body(Body::empty()).expect("valid");
    let response = doomed.oneshot(request).await.expect("infallible");
    assert_problem(response, StatusCode::INTERNAL_SERVER_ERROR, "internal").await;
}
