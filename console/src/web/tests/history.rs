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
