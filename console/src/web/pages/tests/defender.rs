//! The page of one Defender: roles, what its host reports, ids that lead nowhere.

use axum::http::StatusCode;
use uuid::Uuid;

use super::*;

async fn page(api: &Api, id: Uuid, username: &str) -> String {
    let response = api.call(browse(&format!("/defenders/{id}"), username)).await;
    assert_eq!(response.status(), StatusCode::OK);
    text_of(response).await
}

async fn report_host(api: &Api, id: Uuid, seq: i64, body: &str) {
    let insert =
        "INSERT INTO reports (defender, seq, kind, received_at, body) VALUES ($1, $2, 'host', 0, $3)";
    let query = sqlx::query(insert).bind(id.to_string()).bind(seq).bind(body.to_owned());
    query.execute(api.state.store.pool()).await.expect("inserts");
}

#[tokio::test]
async fn operators_may_act_auditors_read_the_log_and_viewers_neither() {
    let api = Api::new().await;
    for (name, role) in [("olga", "operator"), ("axel", "auditor"), ("vera", "viewer")] {
        api.add_user(name, role).await;
    }
    let id = api.connect("web-1").await;
    for (name, acts, reads) in [("olga", true, true), ("axel", false, true), ("vera", false, false)] {
        let page = page(&api, id, name).await;
        let has = |text: &str| page.contains(text);
        assert_eq!(has("id=\"decommission\"") && has("id=\"restart\""), acts, "{name}");
        assert_eq!(has("data-call"), acts, "{name}");
        assert_eq!(has("data-log=") && has("/assets/log-"), reads, "{name}");
        assert!(has("web-1") && has("192.0.2.7"), "{name}");
    }
}

#[tokio::test]
async fn what_a_host_reports_is_shown_as_text_and_what_is_no_report_is_left_out() {
    let api = Api::new().await;
    let id = api.connect("web-1").await;
    assert!(page(&api, id, "admin").await.contains("has not reported the facts of its host yet"));
    let report = r#"{"os":"<img src=x onerror=alert(1)>","memory_bytes":8250736640,"addresses":["192.0.2.7"],
        "custom_certificates":{"directory":"/c","watched":true,"files":{"defender-ca.pem":"present",
        "<b>":"absent"},"would_load":false,"problem":"<i>bad</i>"}}"#;
    report_host(&api, id, 1, report).await;
    let shown = page(&api, id, "admin").await;
    for raw in ["<img", "<i>bad", "<code><b>"] {
        assert!(!shown.contains(raw), "{raw}: {shown}");
    }
    assert!(shown.contains("7.6 GiB") && shown.contains("Incomplete"), "{shown}");
    report_host(&api, id, 2, r#"{"os":7,"custom_certificates":[]}"#).await;
    assert!(page(&api, id, "admin").await.contains("id=\"facts\""));
}

#[tokio::test]
async fn ids_that_lead_nowhere_are_pages_that_say_so() {
    let api = Api::new().await;
    for (id, status) in
        [(Uuid::new_v4().to_string(), StatusCode::NOT_FOUND), ("x".to_owned(), StatusCode::BAD_REQUEST)]
    {
        let response = api.call(browse(&format!("/defenders/{id}"), "admin")).await;
        assert_eq!(response.status(), status);
        assert!(text_of(response).await.contains("Go to the overview"));
    }
}
