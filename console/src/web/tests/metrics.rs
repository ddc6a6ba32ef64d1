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
        "garrison_http_requests_total{route=\"/api/v1/defenders/{id}\",method=\"GET\",status=\"400\"} 1",
        "garrison_http_requests_total{route=\"other\",method=\"GET\",status=\"404\"} 1",
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
    assert!(text.contains("{state=\"connected\",version=\"other\"} 1\n"), "{text}");
}

#[tokio::test]
async fn strangers_are_refused_and_every_user_reads() {
    let api = Api::new().await;
    let stranger = Request::get("/api/v1/metrics").body(Body::empty()).expect("valid");
    assert_problem(api.call(stranger).await, StatusCode::UNAUTHORIZED, "unauthorized").await;
    api.add_user("eve", "viewer").await;
    assert_eq!(api.call(get_as("metrics", "eve")).await.status(), StatusCode::OK);
}

/// Name, type and labels of each row of the table in `docs/metrics.md`.
fn documented() -> Vec<(String, String, Vec<String>)> {
    let rows =
        include_str!("../../../../docs/metrics.md").lines().filter(|line| line.starts_with("| `garrison_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[4].split(", ").map(|label| label.trim_matches('`').to_owned());
        (
            cells[1].trim_matches('`').to_owned(),
            cells[2].to_owned(),
            labels.filter(|label| !label.is_empty()).collect(),
        )
    })
    .collect()
}

/// The names of labels of a sample, but for `le`, which belongs to histograms.
fn labels_of(sample: &str) -> Vec<String> {
    let inner =
        sample.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(inner, _)| inner);
    let names = inner.split("\",").filter_map(|pair| pair.split_once("=\"")).map(|(name, _)| name.to_owned());
    names.filter(|name| name != "le").collect()
}

#[tokio::test]
async fn the_page_and_its_documentation_agree() {
    let api = Api::new().await;
    api.connect("web-1").await;
    let text = text_of(api.get("metrics").await).await;
    let text = text + &text_of(api.get("metrics").await).await;
    let documented = documented();
    assert!(documented.len() > 20, "the table was read: {documented:?}");
    let mut printed: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    printed.sort();
    printed.dedup();
    let mut names: Vec<_> = documented.iter().map(|(name, kind, _)| (name.clone(), kind.clone())).collect();
    names.sort();
    assert_eq!(printed, names, "docs/metrics.md lists what the page prints, each with its type");
    for (name, kind, labels) in &documented {
        let start = if kind == "histogram" { format!("{name}_sum") } else { name.clone() };
        let is_own = |line: &&str| line.strip_prefix(&start).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let samples: Vec<&str> = text.lines().filter(is_own).collect();
        assert!(!samples.is_empty(), "{name} has a sample");
        for sample in samples {
            assert_eq!(&labels_of(sample), labels, "{sample}");
        }
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    }
}

#[test]
fn dashboard_and_rules_ask_for_what_there_is() {
    let documented = documented();
    for (file, content) in [
        ("garrison.rules.yaml", include_str!("../../../../deploy/monitoring/garrison.rules.yaml")),
        ("garrison-dashboard.json", include_str!("../../../../deploy/monitoring/garrison-dashboard.json")),
    ] {
        let mut asked = 0;
        for part in content.split("garrison_").skip(1) {
            let name: String =
                part.chars().take_while(|one| one.is_ascii_alphanumeric() || *one == '_').collect();
            let name = format!("garrison_{name}");
            let is_there = documented.iter().any(|(known, kind, _)| {
                let parts = ["_bucket", "_sum", "_count"];
                let part = parts.iter().find_map(|part| name.strip_suffix(part));
                *known == name || (kind == "histogram" && part == Some(known))
            });
            assert!(is_there, "{file} asks for {name}");
            asked += 1;
        }
        assert!(asked > 10, "{file} was read");
    }
}
