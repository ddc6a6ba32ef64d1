//! Names in self-signed certificates.

use super::*;

impl Api {
    async fn set_names(&self, names: Value) -> Response<Body> {
        self.admin(Method::POST, "settings/certs", json!({ "consoleSAN": names })).await
    }
}

#[tokio::test]
async fn extra_names_are_kept_and_both_channels_get_new_certificates_at_once() {
    let api = Api::new().await;
    let before = json_of(api.get("settings/certs").await).await;
    assert_eq!(before["consoleSAN"], json!([]));
    let expiration = before["caExpiration"].as_str().expect("a text");
    OffsetDateTime::parse(expiration, &time::format_description::well_known::Rfc3339).expect("RFC 3339");

    let mut channels = [api.state.https.clone(), api.state.defender.clone()];
    let names =
        json!(["Console.Example.com", "192.0.2.7", "*.example.org", "console.example.com", "localhost"]);
    let answer = json_of(api.set_names(names).await).await;
    let kept = json!(["console.example.com", "192.0.2.7", "*.example.org", "localhost"]);
    assert_eq!((&answer["consoleSAN"], &answer["caExpiration"]), (&kept, &before["caExpiration"]));
    assert_eq!(json_of(api.get("settings/certs").await).await, answer);
    for channel in &mut channels {
        let live = channel.changed().await.expect("it rotates");
        let sans = ["localhost", "127.0.0.1", "console.example.com", "192.0.2.7", "*.example.org"];
        assert_eq!(live.material.leaf().sans, sans);
    }

    assert_eq!(api.set_names(json!([])).await.status(), StatusCode::OK);
    for channel in &mut channels {
        let live = channel.changed().await.expect("it rotates");
        assert_eq!(live.material.leaf().sans, ["localhost", "127.0.0.1"], "replaced, not added to");
    }
    assert_eq!(api.set_names(json!([])).await.status(), StatusCode::OK, "again");
    let log = json_of(api.get("audits?search=setting.changed").await).await;
    assert_eq!((&log[0]["new"], &log[1]["new"]), (&json!([]), &kept), "the third changed nothing");
    assert_eq!(log[0]["old"], kept);
    assert_eq!(log[0]["object"], "certs.console-san");
}

#[tokio::test]
async fn what_is_no_name_is_named_and_nothing_changes() {
    let api = Api::new().await;
    let many: Vec<_> = (0..101).map(|number| format!("host-{number}")).collect();
    let samples = [
        (json!(["fine", "a b"]), "\\\"a b\\\" is no name or address"),
        (json!(["https://console"]), "https://console"),
        (json!([""]), "is no name or address"),
        (json!(["192.0.2.999"]), "192.0.2.999"),
        (json!(["x".repeat(10_000)]), "at most 253 characters"),
        (json!(many), "at most 100"),
        (json!("console"), "wrong type"),
        (json!(null), "wrong type"),
    ];
    for (names, expected) in samples {
        let problem =
            assert_problem(api.set_names(names).await, StatusCode::BAD_REQUEST, "bad-request").await;
        assert!(problem.to_string().contains(expected), "{problem}");
        assert!(problem.to_string().len() < 600, "{problem}");
    }
    for (body, expected) in [
        (json!({}), "`consoleSAN`"),
        (json!({ "consoleSAN": [], "caExpiration": "2030-01-01T00:00:00Z" }), "caExpiration"),
    ] {
        let response = api.admin(Method::POST, "settings/certs", body).await;
        let problem = assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
        assert!(problem.to_string().contains(expected), "{problem}");
    }
    assert_eq!(json_of(api.get("settings/certs").await).await["consoleSAN"], json!([]));
    assert_eq!(api.state.https.current().material.leaf().sans, ["localhost", "127.0.0.1"]);
}

#[tokio::test]
async fn all_users_read_the_names_and_only_administrators_change_them() {
    let api = Api::new().await;
    for role in ["auditor", "operator", "viewer"] {
        api.add_user(role, role).await;
        assert_eq!(api.call(get_as("settings/certs", role)).await.status(), StatusCode::OK);
        let mut request = get_as("settings/certs", role);
        *request.method_mut() = Method::POST;
        assert_problem(api.call(request).await, StatusCode::FORBIDDEN, "forbidden").await;
    }
}

#[tokio::test]
async fn what_was_read_of_the_certificate_settings_can_be_sent_back_as_it_is() {
    let api = Api::new().await;
    let read = json_of(api.get("settings/certs").await).await;
    let response = api.admin(Method::POST, "settings/certs", read.clone()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(json_of(response).await, read);
}
