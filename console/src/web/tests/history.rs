//! What was: connections, counts, rotations and refusals.

use super::*;
use crate::fleet::EventKind;

#[tokio::test]
async fn connections_of_a_defender_are_listed_newest_first_with_their_ends() {
    let api = Api::new().await;
    let id = api.connect("web").await;
    let path = format!("defenders/{id}/connections");
    let list = json_of(api.get(&path).await).await;
    assert_eq!((list.as_array().map(Vec::len), &list[0]["disconnected_at"]), (Some(1), &Value::Null));
    assert_eq!(list[0]["address"], "192.0.2.7");
    let actor = crate::store::audits::Actor::console();
    let again = api.connect("web").await;
    assert!(api.state.fleet.decommission(again, actor, now()).await.expect("written"));
    assert_problem(
        api.get(&format!("defenders/{again}/connections")).await,
        StatusCode::NOT_FOUND,
        "not-found",
    )
    .await;
    api.state.fleet.settle_history().await;
    let (ended, _) = api.state.store.connections(again, "", 0, 10).await.expect("reads");
    assert!(ended.len() == 1 && ended[0].cause.is_some(), "{ended:?}");
    for bad in ["limit=1001", "sort=x", "format=html"] {
        let response = api.get(&format!("{path}?{bad}")).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
}

#[tokio::test]
async fn the_fleet_has_a_history_of_counts() {
    let api = Api::new().await;
    api.connect("web").await;
    for minutes in 0..40 {
        api.state.fleet.take_sample(now() - time::Duration::minutes(minutes));
    }
    let response = api.get("fleet/history?step_minutes=1&limit=5").await;
    assert_eq!(response.headers()["total-count"], "40");
    let list = json_of(response).await;
    assert_eq!(list.as_array().map(Vec::len), Some(5));
    assert_eq!((&list[0]["connected"], &list[0]["disconnected"]), (&json!(1), &json!(0)));
    let points = json_of(api.get("fleet/history?hours=24").await).await;
    assert!((8..=9).contains(&points.as_array().map_or(0, Vec::len)), "one each five minutes: {points}");
    for bad in ["hours=0", "hours=193", "step_minutes=0", "hours=x", "hours=4294967295", "search=x"] {
        let response = api.get(&format!("fleet/history?{bad}")).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
}

#[tokio::test]
async fn every_certificate_is_in_one_list_the_first_to_end_first() {
    let api = Api::new().await;
    let id = api.connect("=web").await;
    let response = api.get("certificates/expiry").await;
    let total = response.headers()["total-count"].clone();
    let list = json_of(response).await;
    let all = list.as_array().expect("a list");
    assert_eq!(total.to_str().ok(), Some(all.len().to_string().as_str()));
    assert_eq!((&list[0]["defender"], &list[0]["owner"]), (&json!(id), &json!("=web")));
    assert_eq!((&list[0]["days_left"], &list[0]["subject"]), (&json!(-1), &Value::Null));
    let channels: Vec<_> = all.iter().map(|one| one["channel"].as_str().unwrap_or_default()).collect();
    for channel in ["console-https", "console-defender", "console-ca", "defender"] {
        assert!(channels.contains(&channel), "{channels:?}");
    }
    let ends: Vec<_> = all.iter().map(|one| one["not_after"].as_str()).collect();
    assert!(ends.is_sorted(), "{ends:?}");
    let ca = all.iter().filter(|one| one["role"] == "ca").count();
    assert_eq!(ca, 1, "the own CA once: {list}");
    for (query, count) in
        [("within=1d", 1), ("search=CONSOLE-HTTPS", 1), ("search==web", 1), ("limit=1&offset=1", 1)]
    {
        let list = json_of(api.get(&format!("certificates/expiry?{query}")).await).await;
        assert_eq!(list.as_array().map(Vec::len), Some(count), "{query}: {list}");
    }
    for bad in ["within=x", "limit=1001", "sort=owner"] {
        let response = api.get(&format!("certificates/expiry?{bad}")).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
    let csv = api.get("certificates/expiry?format=csv&within=1d").await;
    let body = csv.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8_lossy(&body);
    assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("\"'=web\",")), "{text}");
}

#[tokio::test]
async fn a_channel_is_shown_with_its_chain_and_its_authorities() {
    let api = Api::new().await;
    let chain = json_of(api.get("certificates/console-defender/chain").await).await;
    assert_eq!((&chain[0]["role"], &chain[1]["role"]), (&json!("leaf"), &json!("ca")));
    assert_eq!(chain[0]["issuer"], chain[1]["subject"]);
    let listed = json_of(api.get("certificates").await).await;
    let https = json_of(api.get("certificates/console-https/chain?limit=1").await).await;
    assert_eq!(https[0]["sha256"], listed[0]["sha256"]);
    let unknown = api.get("certificates/nowhere/chain").await;
    assert_problem(unknown, StatusCode::NOT_FOUND, "not-found").await;
}

#[tokio::test]
async fn rotations_and_refusals_are_kept_and_listed() {
    let api = Api::new().await;
    let refused = EventKind::CertificatesRefused {
        channel: "console-https",
        error: "the key does not match".to_owned(),
        remedy: "copy the key that belongs to it".to_owned(),
    };
    let rotated = EventKind::CertificatesRotated {
        channel: "console-defender",
        source: "custom".to_owned(),
        not_after: "2030-01-02T03:04:05Z".to_owned(),
        sha256: "ab".repeat(32),
    };
    api.state.fleet.announce(now() - time::Duration::SECOND, refused);
    api.state.fleet.announce(now(), rotated);
    let list = json_of(api.get("certificates/history").await).await;
    assert_eq!((&list[0]["outcome"], &list[1]["outcome"]), (&json!("rotated"), &json!("refused")));
    assert_eq!(list[0]["not_after"], "2030-01-02T03:04:05Z");
    assert_eq!((&list[1]["error"], &list[1]["sha256"]), (&json!("the key does not match"), &Value::Null));
    let found = json_of(api.get("certificates/history?search=MATCH").await).await;
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    let response = api.get("certificates/history?format=csv").await;
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(String::from_utf8_lossy(&body).lines().count(), 3);
}
