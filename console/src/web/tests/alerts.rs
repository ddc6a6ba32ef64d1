//! Alerts and their settings.

use super::*;
use crate::alerts::{Alert, Condition, Kind, Severity, Sources};
use crate::store::alerts::AlertRows;

/// Alerts that look at nothing by themselves.
pub(super) async fn opened(
    store: &Store,
    sources: (&Keeper, &Fleet, &Subscriber<ServerConfig>, &Subscriber<ServerConfig>, &ExtraNames, &Enrolment),
) -> Alerts {
    let (backups, fleet, https, defender, names, enrolment) = sources;
    let sources = Sources {
        backups: backups.clone(),
        fleet: fleet.clone(),
        https: https.clone(),
        defender: defender.clone(),
        enrolment: enrolment.clone(),
        names: names.clone(),
        started: now(),
    };
    Alerts::open(store.clone(), sources, "console".to_owned()).await.expect("opens")
}

fn alert(number: u32, hostname: &str) -> Alert {
    let condition = Condition {
        key: format!("disconnected/{number}"),
        kind: Kind::DefenderDisconnected,
        severity: Severity::Warning,
        summary: format!("The Defender of {hostname} has been disconnected for 20 minutes."),
        remedy: "Look at it.".to_owned(),
    };
    Alert::new(condition, now())
}

fn post_as(username: &str, path: &str, body: &Value) -> Request<Body> {
    let (mut head, _) = get_as(path, username).into_parts();
    head.method = Method::POST;
    head.headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Request::from_parts(head, Body::from(body.to_string()))
}

#[tokio::test]
async fn alerts_are_listed_open_ones_first_in_pages_and_found_by_their_text() {
    let api = Api::new().await;
    let raised: Vec<Alert> = (0..5).map(|number| alert(number, &format!("web-{number}"))).collect();
    let resolved = vec![(raised[4].id, now())];
    let rows = AlertRows { raised: raised.clone(), resolved, ..AlertRows::default() };
    api.state.store.write_alerts(&rows).await.expect("written");
    let all = api.get("alerts").await;
    assert_eq!(all.headers()["total-count"], "5");
    let all = json_of(all).await;
    assert_eq!(all[4]["id"], raised[4].id.to_string(), "what is over comes last: {all}");
    assert_eq!(all[0]["kind"], "defender-disconnected");
    assert_eq!(json_of(api.get("alerts?open=false").await).await.as_array().map(Vec::len), Some(1));
    assert_eq!(json_of(api.get("alerts?search=WEB-2").await).await[0]["id"], raised[2].id.to_string());
    assert_eq!(json_of(api.get("alerts?offset=4&limit=9").await).await.as_array().map(Vec::len), Some(1));
    assert_problem(api.get("alerts?limit=1001").await, StatusCode::BAD_REQUEST, "bad-request").await;
    api.add_user("eve", "viewer").await;
    assert_eq!(api.call(get_as("alerts", "eve")).await.status(), StatusCode::OK, "any user reads them");
}

#[tokio::test]
async fn operators_acknowledge_which_is_kept_and_in_the_audit_log_and_viewers_do_not() {
    let api = Api::new().await;
    let one = alert(1, "<script>alert(1)</script>");
    let path = format!("alerts/{}/acknowledge", one.id);
    let rows = AlertRows { raised: vec![one.clone()], ..AlertRows::default() };
    api.state.store.write_alerts(&rows).await.expect("written");
    for (name, role) in [("eve", "viewer"), ("ann", "auditor"), ("olga", "operator")] {
        api.add_user(name, role).await;
    }
    for name in ["eve", "ann"] {
        let answer = api.call(post_as(name, &path, &Value::Null)).await;
        assert_problem(answer, StatusCode::FORBIDDEN, "forbidden").await;
    }
    let answer = json_of(api.call(post_as("olga", &path, &Value::Null)).await).await;
    assert_eq!(answer["acknowledged_by"], "olga");
    let again = json_of(api.call(post_as("admin", &path, &Value::Null)).await).await;
    assert_eq!(again["acknowledged_by"], "olga", "who was first stays");
    let audits = json_of(api.get("audits?search=alert.acknowledged").await).await;
    assert_eq!(audits.as_array().map(Vec::len), Some(1), "{audits}");
    let unknown = format!("alerts/{}/acknowledge", Uuid::new_v4());
    let answer = api.call(post_as("admin", &unknown, &Value::Null)).await;
    assert_problem(answer, StatusCode::NOT_FOUND, "not-found").await;
}

#[tokio::test]
async fn settings_are_changed_in_part_and_the_secret_is_never_shown() {
    let api = Api::new().await;
    let shown = json_of(api.get("settings/alerts").await).await;
    assert_eq!(shown["expiryDays"], json!([60, 30, 14, 7, 1]));
    assert_eq!(shown["disconnectedAfterMinutes"], 15.0);
    assert_eq!(shown["webhookSecretSet"], false);
    let change = json!({"webhookUrl": "https://example.com/hook/TOKEN", "webhookSecret": "hush-hush"});
    let answer = json_of(api.call(post_as("admin", "settings/alerts", &change)).await).await;
    assert_eq!(answer["webhookSecretSet"], true);
    let answer =
        json_of(api.call(post_as("admin", "settings/alerts", &json!({"banner": false}))).await).await;
    assert_eq!(
        (&answer["banner"], &answer["webhookUrl"]),
        (&json!(false), &json!("https://example.com/hook/TOKEN")),
        "what is left out stays"
    );
    let audits = json_of(api.get("audits?search=alerts").await).await.to_string();
    assert!(audits.contains("https://example.com"), "{audits}");
    for place in [answer.to_string(), audits] {
        assert!(!place.contains("hush-hush"), "{place}");
    }
    let removed =
        json_of(api.call(post_as("admin", "settings/alerts", &json!({"webhookSecret": ""}))).await).await;
    assert_eq!(removed["webhookSecretSet"], false);
}

#[tokio::test]
async fn settings_are_for_administrators_and_faulty_ones_change_nothing() {
    let api = Api::new().await;
    for (name, role) in [("ann", "auditor"), ("olga", "operator"), ("eve", "viewer")] {
        api.add_user(name, role).await;
        let answer = api.call(get_as("settings/alerts", name)).await;
        match role {
            "auditor" => assert_eq!(answer.status(), StatusCode::OK),
            _ => drop(assert_problem(answer, StatusCode::FORBIDDEN, "forbidden").await),
        }
        let answer = api.call(post_as(name, "settings/alerts/test", &json!({"channel": "webhook"}))).await;
        assert_problem(answer, StatusCode::FORBIDDEN, "forbidden").await;
    }
    for faulty in [
        json!({"webhookUrl": "file:///etc/passwd"}),
        json!({"webhookUrl": "https://a:b@example.com/"}),
        json!({"expiryDays": [0]}),
        json!({"expiryDays": "30"}),
        json!({"syslogTransport": "carrier pigeon"}),
        json!({"syslogAddress": "example.com"}),
        json!({"webhook_url": "https://example.com"}),
        json!({"webhookCa": "-----BEGIN NONSENSE-----"}),
    ] {
        let answer = api.call(post_as("admin", "settings/alerts", &faulty)).await;
        assert_problem(answer, StatusCode::BAD_REQUEST, "bad-request").await;
    }
    let shown = json_of(api.get("settings/alerts").await).await;
    assert_eq!((&shown["webhookUrl"], &shown["syslogAddress"]), (&json!(""), &json!("")));
    let tried = api.call(post_as("admin", "settings/alerts/test", &json!({"channel": "webhook"}))).await;
    let tried = json_of(tried).await;
    assert_eq!(tried["ok"], false);
    assert!(tried["remedy"].as_str().is_some_and(|remedy| remedy.contains("save")), "{tried}");
}
