//! The Console's own CA is rotated under Defenders that are there, away, new, and back after a long time.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::{Api, SOON, TestConsole, TestDefender, eventually, pass};

use crate::stage::only_defender;

async fn post(api: &Api, path: &str, body: Option<Value>) -> Value {
    let answer = api.call(Method::POST, path, body).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// The authority once `condition` holds.
async fn authority(api: &Api, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    eventually(what, Duration::from_secs(40), async || {
        let shown = api.get("authority").await;
        if condition(&shown) { Ok(shown) } else { Err(shown) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rotations_lose_no_defender_whether_it_is_there_away_or_new() {
    let mut console =
        TestConsole::setup().flag("--rotation-grace", "2s").flag("--heartbeat", "1s").start().await;
    let mut api = console.api().await;
    let there = TestDefender::of(&console).await;
    let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
    let mut away = TestDefender::of(&console).await;
    away.stop().await;
    // An orderly end puts on disk who was there; a kill would take what is newer than a tenth of a second with it.
    console.restart().await;
    api = console.api().await;
    api.defender(&id, "is back", |shown| shown["connected"] == true).await;
    pass(GOOD, "the session is a good one").await;
    let old_bundle = api.bundle().await;
    let mut first_ca = String::new();
    for round in 1..=2 {
        let before = api.get("authority").await;
        assert_eq!(before["stage"], "settled");
        if round == 1 {
            first_ca = before["authorities"][0]["sha256"].as_str().expect("a digest").to_owned();
        }
        post(&api, "authority/rotation", None).await;
        console.kill_and_restart().await;
        api = console.api().await;
        let trusting =
            authority(&api, "the one that is there trusts the next CA", |shown| shown["trust"] == 1).await;
        assert_eq!(
            (&trusting["stage"], trusting["authorities"].as_array().map(Vec::len)),
            (&json!("trust"), Some(2))
        );
        // One that joins now has all it needs.
        let joined = TestDefender::of(&console).await;
        pass(GOOD, "the session is a good one").await;
        post(&api, "authority/rotation/advance", None).await;
        console.kill_and_restart().await;
        api = console.api().await;
        authority(&api, "both have moved", |shown| shown["moved"] == 2).await;
        pass(GOOD, "the session is a good one").await;
        let path = "authority/rotation/retire";
        let refused = api.call(Method::POST, path, Some(json!({}))).await;
        assert_eq!(refused.status, 409, "one is away: {refused:?}");
        let behind = api.get("authority").await["behind"].clone();
        let names: Vec<_> = behind.as_array().into_iter().flatten().map(|one| one["id"].clone()).collect();
        post(&api, path, Some(json!({ "except": names }))).await;
        console.kill_and_restart().await;
        api = console.api().await;
        let after = api.get("authority").await;
        assert_eq!(
            (&after["stage"], after["authorities"].as_array().map(Vec::len)),
            (&json!("settled"), Some(1))
        );
        assert_ne!(after["authorities"][0]["sha256"], first_ca.as_str());
        api.defender(&id, "is still there", |shown| shown["connected"] == true).await;
        pass(GOOD, "the session is a good one").await;
        let gone = only_path(&joined);
        drop(joined);
        api.call(Method::DELETE, &format!("defenders/{gone}"), None).await;
    }
    // Away through both, it comes back with its old key; a bundle of the first CA still enrols.
    away.start_again();
    away.program().line("Connected to Console").await;
    let late = TestDefender::setup(&console.address()).bundle(&old_bundle).connect().await;
    let all = eventually("all three are there with certificates of the newest CA", SOON, async || {
        let shown = api.get("authority").await;
        if shown["moved"] == 3 { Ok(shown) } else { Err(shown) }
    })
    .await;
    assert_eq!(all["behind"], json!([]));
    drop((there, late));
}

/// A session that lasts longer than a heartbeat is a good one, and starts a Defender's delays afresh.
const GOOD: Duration = Duration::from_millis(1500);

/// The identity of a Defender, from its data directory.
fn only_path(defender: &TestDefender) -> String {
    std::fs::read_to_string(defender.dir().join("data/identity")).expect("an identity").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_that_was_away_beyond_its_certificate_comes_back_by_itself_or_when_approved() {
    for within in ["1h", "0s"] {
        let console =
            TestConsole::setup().short_life("4s").flag("--defender-return-within", within).start().await;
        let api = console.api().await;
        let mut defender = TestDefender::of(&console).await;
        let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
        defender.stop().await;
        std::fs::remove_dir_all(defender.bundle_dir()).expect("removed");
        pass(Duration::from_secs(6), "the certificate ends").await;
        defender.start_again();
        if within == "0s" {
            let line = defender.program().line("4012").await;
            assert!(line.contains("administrator"), "{line}");
            let waiting = eventually("it waits", SOON, async || {
                let waiting = api.get("returns").await;
                if waiting[0]["id"] == id.as_str() { Ok(waiting) } else { Err(waiting) }
            })
            .await;
            assert!(waiting[0]["why"].as_str().is_some_and(|why| why.contains("approve")), "{waiting}");
            let path = format!("returns/{id}/approve");
            assert_eq!(api.call(Method::POST, &path, None).await.status, 204);
            assert_eq!(api.call(Method::POST, &path, None).await.status, 404);
        }
        api.defender(&id, "is back", |shown| shown["connected"] == true).await;
        let mut seen = std::collections::BTreeSet::new();
        eventually("it renews again", SOON, async || {
            let shown = api.get(&format!("defenders/{id}")).await;
            seen.insert(shown["certificate"]["sha256"].to_string());
            if seen.len() >= 3 { Ok(()) } else { Err(seen.len()) }
        })
        .await;
        // Decommissioned, it does not come back, with whatever certificate.
        assert!(api.call(Method::DELETE, &format!("defenders/{id}"), None).await.status < 300);
        defender.program().line("4003").await;
    }
}
