//! One Defender from the first day on: its own renewals, two rotations of the CA, custom certificates and back, and a
//! Console that is restored from a backup. `openssl` judges what is issued; every report is stored exactly once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};
use system_tests::place::{Manner, write};
use system_tests::program::{binary, run};
use system_tests::{Api, Channel, OpensslPki, SOON, TestConsole, TestDefender, eventually};

use crate::stage::only_defender;

/// The Console, its Defender, and what both are expected to be.
struct Life {
    console: TestConsole,
    defender: TestDefender,
    api: Api,
    id: String,
    /// The data directory of the Console.
    folder: &'static str,
}

impl Life {
    async fn begin() -> Self {
        let console = TestConsole::setup()
            .short_life("8s")
            .flag("--rotation-grace", "2s")
            .flag("--heartbeat", "1s")
            .start()
            .await;
        let api = console.api().await;
        let defender = TestDefender::of(&console).await;
        let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
        Self { console, defender, api, id, folder: "data" }
    }

    async fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        self.api.defender(&self.id, what, condition).await
    }

    async fn authority(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        eventually(what, Duration::from_secs(40), async || {
            let shown = self.api.get("authority").await;
            if condition(&shown) { Ok(shown) } else { Err(shown) }
        })
        .await
    }

    async fn step(&self, path: &str, body: Option<Value>) {
        let answer = self.api.call(Method::POST, path, body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }

    /// Two certificates more of its own, and what `openssl` says of the last one.
    async fn renews(&self) {
        let mut seen = std::collections::BTreeSet::new();
        eventually("two renewals", Duration::from_secs(40), async || {
            let shown = self.api.get(&format!("defenders/{}", self.id)).await;
            seen.insert(shown["certificate"]["sha256"].to_string());
            if seen.len() >= 3 { Ok(()) } else { Err(seen.len()) }
        })
        .await;
        self.openssl_verifies();
    }

    /// What the Defender keeps is a certificate for it, of a CA that it trusts, for a key that fits.
    fn openssl_verifies(&self) {
        let dir = self.defender.dir();
        let path = dir.join("data/own-certificate.json");
        let files: Value =
            serde_json::from_str(&std::fs::read_to_string(path).expect("there")).expect("JSON");
        for (name, file) in [("ca", "defender-ca.pem"), ("cert", "defender-client-cert.pem")] {
            write(&dir.join(format!("{name}.pem")), files[file].as_str().expect("PEM").as_bytes());
        }
        write(&dir.join("key.pem"), files["defender-client-key.pem"].as_str().expect("PEM").as_bytes());
        let at = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let openssl = |arguments: &[&str]| {
            let output = run("openssl", arguments);
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let (ca, cert, key) = (at("ca.pem"), at("cert.pem"), at("key.pem"));
        openssl(&[
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-CAfile",
            &ca,
            "-untrusted",
            &cert,
            &cert,
        ]);
        let text = openssl(&["x509", "-in", &cert, "-noout", "-text"]);
        assert!(text.contains(&format!("URI:urn:uuid:{}", self.id)), "{text}");
        assert!(text.contains("TLS Web Client Authentication") && !text.contains("CA:TRUE"), "{text}");
        let public = openssl(&["x509", "-in", &cert, "-noout", "-pubkey"]);
        assert_eq!(public, openssl(&["pkey", "-in", &key, "-pubout"]));
    }

    /// A whole rotation of the CA.
    async fn rotates(&self) {
        let before = self.api.get("authority").await["authorities"][0]["sha256"].clone();
        self.step("authority/rotation", None).await;
        self.authority("it trusts the next CA", |shown| shown["trust"] == 1).await;
        self.step("authority/rotation/advance", None).await;
        self.authority("it has moved", |shown| shown["moved"] == 1).await;
        self.step("authority/rotation/retire", Some(json!({}))).await;
        let after = self.authority("settled", |shown| shown["stage"] == "settled").await;
        assert_ne!(after["authorities"][0]["sha256"], before);
        self.renews().await;
    }

    /// Killed and started again, the Defender reports the facts of its host anew.
    async fn reports(&mut self) {
        let before = self.stored().await.len();
        self.defender.kill_and_restart().await;
        eventually("another report is stored", SOON, async || {
            let now = self.stored().await.len();
            if now > before { Ok(()) } else { Err((before, now)) }
        })
        .await;
    }

    /// The reports of the Defender in the Console's database, by their numbers.
    async fn stored(&self) -> BTreeMap<i64, String> {
        reports_in(&self.data(), &self.id).await
    }

    fn data(&self) -> PathBuf {
        self.console.dir().join(self.folder)
    }

    /// A tool of the Console.
    fn tool(&self, what: &str, file: &Path, data: &Path) {
        let secret = self.console.dir().join("passphrase");
        write(&secret, b"three words and a number 7");
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let (file, data, secret) = (text(file), text(data), text(&secret));
        let given = [what, &file, "--data-dir", &data, "--passphrase-file", &secret];
        let output = run(binary("console"), &given);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

/// The reports of a Defender in a database, by their numbers. That there is one row for a number the table sees to.
async fn reports_in(data: &Path, id: &str) -> BTreeMap<i64, String> {
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}", data.join("console.db").display());
    let mut database = sqlx::AnyConnection::connect(&url).await.expect("opens");
    let query = sqlx::query("SELECT seq, body FROM reports WHERE defender = $1").bind(id.to_owned());
    let rows = query.fetch_all(&mut database).await.expect("reads");
    let read = |row: &sqlx::any::AnyRow| (row.get::<i64, _>("seq"), row.get::<String, _>("body"));
    rows.iter().map(read).collect()
}

/// Whether the numbers go from one to the next.
fn have_no_gap(numbers: &[i64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_installed_on_the_first_day_lives_through_everything_and_every_report_is_stored_once() {
    let mut life = Life::begin().await;
    life.renews().await;
    for _ in 0..2 {
        life.rotates().await;
        life.reports().await;
    }

    // Custom certificates: the host gets its files first, then the Console.
    let pki = OpensslPki::new();
    let client = pki.client();
    Manner::InPlace.place(&life.defender.custom_dir(), &Channel::Defender.files(&client));
    let sha256 = system_tests::tls::leaf_sha256(&client.cert);
    eventually("it has reported its files", SOON, async || {
        let stored = life.stored().await;
        if stored.values().any(|body| body.contains(&sha256)) { Ok(()) } else { Err(stored) }
    })
    .await;
    Manner::InPlace.place(&life.console.custom_dir(), &Channel::WebSocket.files(&pki.server()));
    let is_connected =
        |shown: &Value, source: &str| shown["connected"] == true && shown["certificate"]["source"] == source;
    life.until("uses its custom files", |shown| is_connected(shown, "custom")).await;
    life.reports().await;

    // And back: the Console first, then the host.
    for (file, _) in Channel::WebSocket.files(&pki.server()) {
        std::fs::remove_file(life.console.custom_dir().join(file)).expect("removed");
    }
    life.console.restart().await;
    life.api = life.console.api().await;
    life.until("is back on its own certificate", |shown| is_connected(shown, "self-signed")).await;
    for (file, _) in Channel::Defender.files(&client) {
        std::fs::remove_file(life.defender.custom_dir().join(file)).expect("removed");
    }
    life.reports().await;
    life.renews().await;

    // What is acknowledged after the backup is lost with the Console's disk, and nothing else.
    let (file, fresh) = (life.console.dir().join("console.backup"), life.console.dir().join("fresh"));
    life.tool("backup", &file, &life.data());
    life.reports().await;
    life.console.program_mut().kill();
    let lost = life.stored().await;
    life.tool("restore", &file, &fresh);
    life.console.set_flag("--data-dir", fresh.to_str().expect("UTF-8"));
    life.folder = "fresh";
    life.console.start_again().await;
    life.api = life.console.api().await;
    life.until("is back after the restore", |shown| is_connected(shown, "self-signed")).await;
    life.reports().await;
    life.renews().await;

    let kept = life.stored().await;
    let (first, last): (Vec<i64>, Vec<i64>) = kept.keys().partition(|seq| lost.contains_key(seq));
    let all: Vec<i64> = lost.keys().chain(&last).copied().collect();
    assert!(first.len() >= 6 && !last.is_empty(), "{first:?} {last:?}");
    assert!(have_no_gap(&first) && first[0] == 1, "{first:?}");
    assert!(have_no_gap(&all), "nothing is missing and no number is used again: {all:?}");
    assert!(first.iter().all(|seq| kept[seq] == lost[seq]), "what was in the backup is as it was");
    let lines = life.defender.program().lines();
    let is_bad =
        |line: &&String| line.starts_with("CRIT ") || line.contains("panicked") || line.contains("4001");
    assert_eq!(lines.iter().find(is_bad), None);
}
