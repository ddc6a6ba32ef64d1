//! Server-sent events.

use super::*;

#[tokio::test]
async fn events_are_streamed_and_resumed_or_resynchronised() {
    let api = Api::new().await;
    let read = async |last: Option<&str>, frames: usize| {
        let mut request = get_as("events", "admin");
        if let Some(last) = last {
            request.headers_mut().insert("last-event-id", last.parse().expect("valid"));
        }
        let response = api.call(request).await;
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let mut body = response.into_body();
        let mut text = String::new();
        for _ in 0..frames {
            let frame = body.frame().await.expect("open").expect("fine");
            text.push_str(std::str::from_utf8(&frame.into_data().expect("data")).expect("text"));
        }
        (text, body)
    };
    let (first, mut body) = read(None, 1).await;
    assert!(first.starts_with(": connected\n") && first.contains("id: 0\n"), "{first}");
    let id = api.connect("web-1").await;
    let frame = body.frame().await.expect("open").expect("fine").into_data().expect("data");
    let live = std::str::from_utf8(&frame).expect("text");
    assert!(live.contains("event: defender.connected") && live.contains(&id.to_string()), "{live}");
    assert!(
        live.contains("id: 1") && live.contains("\"revision\":1") && live.contains("\"time\":"),
        "{live}"
    );

    let (resumed, _body) = read(Some("0"), 2).await;
    assert!(resumed.contains("id: 1") && resumed.contains("defender.connected"), "{resumed}");
    let (fresh, _body) = read(Some(""), 1).await;
    assert!(fresh.contains("id: 1\n"), "{fresh}");
    let (foreign, _body) = read(Some("999"), 2).await;
    assert!(foreign.contains("event: resync") && foreign.contains("id: 1"), "{foreign}");
    let mut request = get_as("events", "admin");
    request.headers_mut().insert("last-event-id", "x".parse().expect("valid"));
    assert_problem(api.call(request).await, StatusCode::BAD_REQUEST, "bad-request").await;
}

#[tokio::test]
async fn the_description_and_the_documents_name_every_type_of_event() {
    let source = include_str!("../../fleet/event.rs");
    let (_, name) = source.split_once("pub fn name(&self)").expect("FleetEvent::name");
    let (name, _) = name.split_once("\nimpl ").expect("its end");
    let names: Vec<&str> = name.split('"').skip(1).step_by(2).collect();
    assert!(names.len() >= 13 && names.contains(&"return.waiting"), "{names:?}");

    let api = Api::new().await;
    let described = json_of(api.call(get_as("openapi.json", "admin")).await).await;
    let described = &described["paths"]["/events"]["get"];
    let documents = include_str!("../../../../docs/operations.md");
    let documented = documents.lines().find(|line| line.starts_with("| `GET events` |")).expect("a row");
    for name in names {
        let name = format!("`{name}`");
        assert!(described.to_string().contains(&name), "{name} in {described}");
        assert!(documented.contains(&name), "{name} in {documented}");
    }
}
