//! Behind a real Envoy that is set up by what `console export istio` writes, as Istio's ingress gateway is: HTTPS that
//! ends there and HTTPS that does not, Defenders, rotations, and the addresses of those who call.

use std::net::Ipv4Addr;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::console::{ConsoleSetup, PASSWORD};
use system_tests::envoy::istio::Export;
use system_tests::envoy::{Announce, Ends, export, own_address};
use system_tests::place::Manner;
use system_tests::proxied::{connect_from, join_from};
use system_tests::tls::leaf_sha256;
use system_tests::{
    Api, Browser, Channel, Dialer, Envoy, Identity, OpensslPki, PemSet, SOON, TestConsole, TestDefender,
    Wire, eventually,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use crate::stage::{only_defender, served};
use crate::under_load::{Load, Reporter};

/// A Console behind a gateway.
struct Ingress {
    console: TestConsole,
    envoy: Envoy,
    own: Ipv4Addr,
    export: Export,
    /// What the gateway shows where TLS ends there.
    credential: PemSet,
}

impl Ingress {
    async fn start(flags: &[&str], announce: Announce) -> Self {
        Self::start_with(flags, announce, |setup| setup).await
    }

    /// With the settings that the export gives to the Console, which trusts the gateway.
    async fn start_with(
        flags: &[&str],
        announce: Announce,
        change: impl FnOnce(ConsoleSetup) -> ConsoleSetup,
    ) -> Self {
        let (own, export) = (own_address(), export(flags));
        let mut setup = TestConsole::setup().flag("--trusted-proxies", &own.to_string());
        for (name, value) in &export.settings {
            setup = setup.variable(name, value);
        }
        if announce == Announce::Clients {
            setup = setup.variable("CONSOLE_DEFENDER_PROXY_PROTOCOL", "true");
            setup = setup.variable("CONSOLE_HTTPS_PROXY_PROTOCOL", "true");
        }
        let has_http = !export.ways.http.is_empty();
        if has_http {
            setup = setup.flag("--http-listen", "127.0.0.1:0");
        }
        let console = change(setup).start().await;
        let http = if has_http { console.http_port().await } else { 0 };
        let ends = Ends { http, https: console.https, defenders: console.defenders };
        let credential = OpensslPki::new().server();
        let envoy = Envoy::start(own, &export, ends, &credential, announce).await;
        Self { console, envoy, own, export, credential }
    }

    /// A dialer that goes through the gateway, asking for this name.
    fn through(&self, dialer: Dialer, name: &str) -> Dialer {
        dialer.to(self.own, name)
    }

    fn users(&self) -> u16 {
        self.envoy.at(443).port()
    }

    /// Port of Defenders at the gateway.
    fn defenders(&self) -> u16 {
        let server = self.export.gateway.servers.iter().find(|server| server.port.name == "tls-defender");
        self.envoy.at(server.expect("a port for Defenders").port.number).port()
    }

    /// A Defender that dials the gateway, by a name that its host does not know.
    fn defender(&self, name: &str) -> system_tests::defender::DefenderSetup {
        let address = format!("wss://{}:{}", self.own, self.defenders());
        TestDefender::setup(&address).flag("--console-server-name", name)
    }

    /// The connected Defender, once its first report is there.
    async fn reported(&self, api: &Api) -> Value {
        let shown = only_defender(api).await;
        let path = format!("defenders/{}/host", shown["id"].as_str().expect("an id"));
        eventually("the report of the host", SOON, async || {
            let answer = api.call(Method::GET, &path, None).await;
            if answer.status == 200 { Ok(()) } else { Err(answer.text) }
        })
        .await;
        shown
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_gateway_ends_tls_a_browser_signs_in_and_sees_live_what_defenders_do() {
    let ingress = Ingress::start(&["--host", "custom.test"], Announce::Nobody).await;
    let users = ingress.users();
    let seen = ingress.through(Dialer::trusting(&[&ingress.credential.ca]), "custom.test");
    let (status, body, seen) = seen.get(users, "/api/v1/_ping").await.expect("the gateway's certificate");
    assert_eq!((status, body.as_str()), (200, "\"OK\""));
    assert_eq!(seen.leaf_sha256, leaf_sha256(&ingress.credential.cert));

    let hosts = format!("MAP custom.test:443 {}:{users}", ingress.own);
    let browser = Browser::start_at("https://custom.test", &hosts).await;
    let page = browser.signed_in("admin", PASSWORD).await;
    page.eval("window.sameDocument = true").await;
    let api = ingress.console.api().await;
    let mut defender = ingress.defender("custom.test").bundle(&api.bundle().await).connect().await;
    page.until("document.querySelector('#connected').textContent === '1'").await;
    ingress.reported(&api).await;
    defender.stop().await;
    page.until("document.querySelector('#connected').textContent === '0'").await;
    assert_eq!(page.eval("window.sameDocument").await, true, "not reloaded");
    // A change by the cookie: the Console knows its own page by the host that the browser has called.
    page.open("/access").await;
    page.until("document.body.textContent.includes('https://custom.test/')").await;
    let script = "fetch('/api/v1/users', {method: 'POST', headers: {'Content-Type': 'application/json'}, \
         body: JSON.stringify({username: 'eve', password: 'a long password 7', role: 'viewer'})}).then(a => a.status)";
    assert_eq!(page.eval(script).await, 201);
    let entry = api.get("audits?limit=1").await[0].clone();
    assert_eq!((&entry["action"], &entry["user"]), (&json!("user.added"), &json!("admin")), "{entry}");
    assert_ne!(entry["address"], ingress.own.to_string(), "whom the gateway speaks for, not the gateway");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_gateway_ends_tls_the_audit_log_has_the_address_of_the_user_whatever_he_sends() {
    let ingress = Ingress::start(&["--host", "custom.test"], Announce::Nobody).await;
    let dialer = ingress.through(Dialer::blind(), "custom.test");
    let body = json!({"username": "admin", "password": PASSWORD}).to_string();
    for invented in ["", "X-Forwarded-For: 198.51.100.1\r\n", "Forwarded: for=198.51.100.1\r\n"] {
        let tcp = connect_from("127.0.0.7", ingress.own, ingress.users()).await.expect("accepted");
        let mut stream = dialer.dial_from(tcp).await.expect("a handshake");
        let request = format!(
            "POST /api/v1/authenticate HTTP/1.1\r\nHost: custom.test\r\nContent-Type: application/json\r\n\
             {invented}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("whole");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("strict-transport-security"), "the gateway says that it is HTTPS: {answer}");
        let api = ingress.console.api().await;
        let entries = api.get("audits?limit=2").await;
        assert_eq!(entries[1]["address"], "127.0.0.7", "{entries}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passed_through_by_name_the_console_s_own_certificates_reach_users_and_defenders() {
    let flags = [
        "--host",
        "*.garrison.test",
        "--host",
        "localhost",
        "--https",
        "passthrough",
        "--defender-port",
        "9443",
    ];
    let ingress = Ingress::start(&flags, Announce::Nobody).await;
    let api = ingress.console.api().await;
    let ca = api.call(Method::GET, "certs/ca.pem", None).await.text;
    for name in ["console.garrison.test", "localhost"] {
        let dialer = ingress.through(Dialer::trusting(&[&ca]), name);
        let (status, _, seen) = dialer.get(ingress.users(), "/api/v1/_ping").await.expect("verified");
        assert_eq!((status, seen.leaf_sha256), (200, served(ingress.console.https).await), "{name}");
    }
    let stranger = ingress.through(Dialer::blind(), "other.example");
    stranger.look(ingress.users()).await.expect_err("no way leads on for this name");
    assert_eq!(ingress.defenders(), 9443);
    let name = "console.garrison.test";
    let defender = ingress.defender(name).bundle(&api.bundle().await).connect().await;
    assert_eq!(ingress.reported(&api).await["address"], ingress.own.to_string(), "nobody has told otherwise");
    let (code, text) = defender.doctor(&[]);
    assert_eq!(code, Some(0), "{text}");
    // Mutual TLS goes end to end: without a certificate of the Console's, nobody is let in.
    let other = Identity::from(OpensslPki::new().client());
    let other = Identity { ca: api.bundle().await.ca, ..other };
    let dialer = ingress.through(Dialer::with_identity(&other), name);
    Wire::join_by(&dialer, ingress.defenders(), Uuid::new_v4()).await.expect_err("a stranger's certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_by_proxy_protocol_each_client_is_seen_by_its_own_address() {
    let flags = ["--host", "*", "--https", "passthrough"];
    let ingress = Ingress::start(&flags, Announce::Clients).await;
    let (own, api) = (ingress.own, ingress.console.api().await);
    let identity = api.bundle().await;
    let _defender = ingress.defender("localhost").bundle(&identity).connect().await;
    assert_eq!(ingress.reported(&api).await["address"], "127.0.0.1");
    let (_wire, id) = join_from("127.0.0.7", own, ingress.defenders(), &identity).await;
    let shown = api.defender(&id.to_string(), "is connected", |shown| shown["connected"] == true).await;
    assert_eq!(shown["address"], "127.0.0.7");

    let tcp = connect_from("127.0.0.8", own, ingress.users()).await.expect("accepted");
    let mut stream = Dialer::blind().dial_from(tcp).await.expect("a handshake");
    let body = json!({"username": "admin", "password": "wrong"}).to_string();
    for _ in 0..5 {
        let request = format!(
            "POST /api/v1/authenticate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await.expect("open");
        assert!(answer[..length].starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
    }
    let entries = api.get("audits?limit=3").await;
    assert!(entries.to_string().contains("127.0.0.8"), "the burst of failed sign-ins: {entries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_behind_the_gateway_refuse_nobody_and_lose_no_report() {
    let pki = OpensslPki::new();
    let flags = ["--host", "*", "--https", "passthrough"];
    let ingress = Ingress::start_with(&flags, Announce::Clients, |setup| {
        setup.custom(&Channel::Https.files(&pki.server())).custom(&Channel::WebSocket.files(&pki.server()))
    })
    .await;
    let (api, users, defenders) = (ingress.console.api().await, ingress.users(), ingress.defenders());
    let defender =
        ingress.defender("localhost").custom(&Channel::Defender.files(&pki.client())).connect().await;
    let identity = Identity::from(pki.client());
    let joining = ingress.through(Dialer::with_identity(&identity), "localhost");
    let browsing = ingress.through(Dialer::trusting(&[&pki.ca]), "localhost");
    ingress.reported(&api).await;
    let events = api.events().await;

    let comers = Load::start(2, {
        let joining = joining.clone();
        move |_| {
            let joining = joining.clone();
            async move {
                Wire::join_by(&joining, defenders, Uuid::new_v4()).await?.0.close().await;
                Ok(())
            }
        }
    });
    let readers = Load::start(2, {
        let browsing = browsing.clone();
        move |_| {
            let browsing = browsing.clone();
            async move {
                let answer = browsing.get(users, "/api/v1/_ping").await.map_err(|e| e.to_string())?;
                if answer.0 == 200 { Ok(()) } else { Err(answer.1) }
            }
        }
    });
    let reporter = Reporter::start_by(joining.clone(), defenders);
    let watching = ingress.through(Dialer::blind(), "localhost");
    for round in 0..ROTATIONS {
        let manner = [Manner::Renamed, Manner::InPlace, Manner::Projected][round % 3];
        for (channel, port) in [(Channel::Https, users), (Channel::WebSocket, defenders)] {
            let (set, mark) = (pki.server(), ingress.console.program().mark());
            manner.place(&ingress.console.custom_dir(), &channel.files(&set));
            ingress.console.program().line_after(mark, channel.rotated_text()).await;
            eventually("the new certificate comes through the gateway", SOON, async || {
                let seen = watching.look(port).await.map_err(|error| error.to_string())?.leaf_sha256;
                if seen == leaf_sha256(&set.cert) { Ok(()) } else { Err(seen) }
            })
            .await;
        }
    }
    let (joined, read, moves) = (comers.stop().await, readers.stop().await, reporter.stop().await);
    assert!(joined > 10 && read > 10 && moves > 0, "{joined} connects, {read} calls, {moves} moves");
    let all = events.all();
    let id = only_id(&api, &defender).await;
    let gone =
        all.iter().any(|(name, data)| name == "defender.disconnected" && data.to_string().contains(&id));
    assert!(!gone, "{all:?}");
    assert_eq!(defender.program().count_after(0, "ERRO "), 0);
}

/// The id of the real Defender among those by hand.
async fn only_id(api: &Api, defender: &TestDefender) -> String {
    let id = std::fs::read_to_string(defender.dir().join("data/identity")).expect("an identity");
    let id = id.trim().to_owned();
    assert_eq!(api.get(&format!("defenders/{id}")).await["connected"], true);
    id
}

const ROTATIONS: usize = 6;
