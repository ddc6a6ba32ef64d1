//! The page that Prometheus reads.

use super::*;

async fn text_of(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

#[tokio::test]
async fn the_page_shows_fleet_certificates_calls_and_process() {
    let api = Api::new().await;
    api.connect("web-1").await;
    api.connect("web-2").await;
    api.get("defenders/x").await;
    api.get("nowhere/of/any/kind").await;
    let response = api.get("metrics").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    let text = text_of(response).await;
    let not_after = api.state.https.current().material.leaf().not_after.unix_timestamp();
    let expiry = format!(
        "garrison_certificate_not_after_seconds{{channel=\"console-https\",source=\"self-signed\"}} {not_after}"
    );
    for line in [
        "garrison_defenders{state=\"connected\",version=\"0.1.0\"} 2",
        "garrison_defenders{state=\"disconnected\",version=\"0.1.0\"} 0",
        "garrison_defender_sessions 2",
        "garrison_reports_stored_total 0",
        &expiry,
        "garrison_http_requests_total{route=\"/api/v1/defenders/{id}\",method=\"GET\",status=\"4xx\"} 1",
        "garrison_http_requests_total{route=\"other\",method=\"GET\",status=\"4xx\"} 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in {text}");
    }
    for name in ["resident_memory_bytes", "open_fds", "cpu_seconds_total", "start_time_seconds"] {
        assert!(text.contains(&format!("\ngarrison_process_{name} ")), "{name}");
    }
    assert!(text.lines().all(|line| line.starts_with("garrison_") || line.starts_with("# ")), "{text}");
    assert!(!text.contains("nowhere"), "callers do not make series");
}

#[tokio::test]
async fn what_a_defender_says_cannot_break_the_page() {
    let api = Api::new().await;
    api.connect_as("web-1", "1\"} 7\\").await;
    let text = text_of(api.get("metrics").await).await;
    assert!(text.contains("{state=\"connected\",version=\"1\\\"} 7\\\\\"} 1\n"), "{text}");
}

#[tokio::test]
async fn strangers_are_refused_and_every_user_reads() {
    let api = Api::new().await;
    let stranger = Request::get("/api/v1/metrics").body(Body::empty()).expect("valid");
    assert_problem(api.call(stranger).await, StatusCode::UNAUTHORIZED, "unauthorized").await;
    api.add_user("eve", "viewer").await;
    assert_eq!(api.call(get_as("metrics", "eve")).await.status(), StatusCode::OK);
}
