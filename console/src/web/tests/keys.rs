//! Access keys over the API.

use super::*;

impl Api {
    async fn new_key(&self, username: &str, body: &Value) -> Response<Body> {
        self.call(users::call_as(username, Method::POST, "access-keys", body)).await
    }

    async fn key(&self, username: &str, name: &str, role: &str) -> String {
        let response = self.new_key(username, &json!({ "name": name, "role": role, "days": 30 })).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        json_of(response).await["secret"].as_str().expect("a text").to_owned()
    }

    async fn with_key(&self, secret: &str, method: Method, path: &str, body: &Value) -> Response<Body> {
        let request = Request::builder().method(method).uri(format!("/api/v1/{path}"));
        let request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.call(request.body(Body::from(body.to_string())).expect("valid")).await
    }
}

#[tokio::test]
async fn a_key_calls_in_place_of_a_token_with_its_own_role_and_name_until_it_is_deleted() {
    let api = Api::new().await;
    let response =
        api.new_key("admin", &json!({ "name": "ci", "role": "defender-manager", "days": 731 })).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let made = json_of(response).await;
    let secret = made["secret"].as_str().expect("a text").to_owned();
    assert!(secret.starts_with("garrison_") && secret.len() == 9 + 43, "{secret}");
    assert_eq!((&made["username"], &made["last_used_at"]), (&json!("admin"), &Value::Null));

    let id = api.connect("web-1").await;
    let bundle = "defenders/install-bundle?consoleaddr=console";
    let none = Value::Null;
    for (method, path, status) in [
        (Method::GET, "defenders".to_owned(), StatusCode::OK),
        (Method::GET, bundle.to_owned(), StatusCode::OK),
        (Method::DELETE, format!("defenders/{id}"), StatusCode::NO_CONTENT),
        (Method::GET, "users".to_owned(), StatusCode::FORBIDDEN),
        (Method::GET, "audits".to_owned(), StatusCode::FORBIDDEN),
        (Method::POST, "settings/certs".to_owned(), StatusCode::FORBIDDEN),
        (Method::POST, "settings/sessions".to_owned(), StatusCode::FORBIDDEN),
        (Method::POST, "users".to_owned(), StatusCode::FORBIDDEN),
    ] {
        let answer = api.with_key(&secret, method.clone(), &path, &none).await;
        assert_eq!(answer.status(), status, "{method} {path}");
    }
    let log = json_of(api.get("audits?search=decommissioned").await).await;
    assert_eq!(log[0]["user"], "admin/ci");
    let list = json_of(api.get("access-keys").await).await;
    assert_eq!((&list[0]["name"], &list[0]["last_address"]), (&json!("ci"), &json!("::")));
    assert!(list[0]["last_used_at"].is_string() && !list.to_string().contains(&secret));

    assert_eq!(
        api.admin(Method::DELETE, "access-keys/ci", none.clone()).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_problem(
        api.with_key(&secret, Method::GET, "version", &none).await,
        StatusCode::UNAUTHORIZED,
        "unauthorized",
    )
    .await;
    let again = api.admin(Method::DELETE, "access-keys/ci", none).await;
    assert_problem(again, StatusCode::NOT_FOUND, "not-found").await;
    let log = json_of(api.get("audits?search=access-key").await).await.to_string();
    assert!(log.contains("access-key.added") && log.contains("access-key.removed") && !log.contains(&secret));
}

#[tokio::test]
async fn nobody_makes_a_key_above_the_own_role() {
    let api = Api::new().await;
    let allowed = [
        ("administrator", ["administrator", "operator", "auditor", "defender-manager", "viewer"].as_slice()),
        ("operator", &["operator", "defender-manager", "viewer"]),
        ("auditor", &["auditor", "viewer"]),
        ("defender-manager", &["defender-manager", "viewer"]),
        ("viewer", &["viewer"]),
    ];
    for (role, covered) in allowed {
        api.add_user(role, role).await;
        for of_key in Role::ALL.map(Role::as_str) {
            let body = json!({ "name": format!("{role}.{of_key}"), "role": of_key, "days": 1 });
            let status = api.new_key(role, &body).await.status();
            let expected =
                if covered.contains(&of_key) { StatusCode::CREATED } else { StatusCode::FORBIDDEN };
            assert_eq!(status, expected, "{role} {of_key}");
        }
    }
}

#[tokio::test]
async fn a_key_ends_with_its_owner_and_with_the_role_that_covered_it() {
    let api = Api::new().await;
    api.add_user("eve", "operator").await;
    let (strong, weak) = (api.key("eve", "strong", "operator").await, api.key("eve", "weak", "viewer").await);
    let none = Value::Null;
    api.admin(Method::PUT, "users/eve", json!({ "role": "viewer" })).await;
    for (secret, status) in [(&strong, StatusCode::UNAUTHORIZED), (&weak, StatusCode::OK)] {
        assert_eq!(api.with_key(secret, Method::GET, "version", &none).await.status(), status);
    }
    let log = json_of(api.get("audits?search=user.changed").await).await;
    assert_eq!(log[0]["old"], json!({ "role": "operator", "access_keys": ["strong"] }));
    api.admin(Method::DELETE, "users/eve", json!({})).await;
    assert_eq!(api.with_key(&weak, Method::GET, "version", &none).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(json_of(api.get("access-keys").await).await, json!([]));
}

#[tokio::test]
async fn users_see_and_delete_their_own_keys_and_a_key_makes_no_keys() {
    let api = Api::new().await;
    for (name, role) in [("eve", "viewer"), ("bob", "viewer"), ("ann", "auditor")] {
        api.add_user(name, role).await;
    }
    let secret = api.key("eve", "of-eve", "viewer").await;
    let count =
        async |name| json_of(api.call(get_as("access-keys", name)).await).await.as_array().map(Vec::len);
    assert_eq!((count("eve").await, count("bob").await, count("ann").await), (Some(1), Some(0), Some(1)));
    for other in ["bob", "ann"] {
        let response =
            api.call(users::call_as(other, Method::DELETE, "access-keys/of-eve", &json!({}))).await;
        assert_problem(response, StatusCode::NOT_FOUND, "not-found").await;
    }
    let longer = json!({ "name": "longer", "role": "viewer", "days": 731 });
    let response = api.with_key(&secret, Method::POST, "access-keys", &longer).await;
    assert_problem(response, StatusCode::FORBIDDEN, "forbidden").await;
    let response = api.call(users::call_as("eve", Method::DELETE, "access-keys/of-eve", &json!({}))).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_cannot_be_a_key_is_refused_and_an_ended_one_is_none() {
    let api = Api::new().await;
    let key = |name: &str, more: Value| {
        let mut body = json!({ "name": name, "role": "viewer" });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let days = || json!({ "days": 1 });
    for (body, expected) in [
        (key("", days()), "1 to 64 letters"),
        (key("a/b", days()), "1 to 64 letters"),
        (key("<script>", days()), "1 to 64 letters"),
        (key(&"x".repeat(65), days()), "1 to 64 letters"),
        (key("a", json!({})), "either expires_at or days"),
        (key("a", json!({ "days": 1, "expires_at": "2030-01-01T00:00:00Z" })), "either expires_at or days"),
        (key("a", json!({ "days": 0 })), "two years"),
        (key("a", json!({ "days": 732 })), "two years"),
        (key("a", json!({ "days": 65_536 })), "wrong type"),
        (key("a", json!({ "expires_at": "tomorrow" })), "RFC 3339"),
        (key("a", json!({ "expires_at": "2020-01-01T00:00:00Z" })), "in the future"),
        (key("a", json!({ "days": 1, "role": "root" })), "defender-manager"),
        (key("a", json!({ "days": 1, "owner": "eve" })), "`owner`"),
    ] {
        let response = api.new_key("admin", &body).await;
        let problem = assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await.to_string();
        assert!(problem.contains(expected), "{body}: {problem}");
    }
    assert_eq!(json_of(api.get("access-keys").await).await, json!([]));

    let secret = api.key("admin", "short-lived", "viewer").await;
    let taken = api.new_key("admin", &key("short-lived", days())).await;
    assert_problem(taken, StatusCode::CONFLICT, "conflict").await;
    let end = "UPDATE access_keys SET expires_at = created_at";
    sqlx::query(end).execute(api.state.store.pool()).await.expect("ended");
    let response = api.with_key(&secret, Method::GET, "version", &Value::Null).await;
    assert_problem(response, StatusCode::UNAUTHORIZED, "unauthorized").await;
    for name in 0..49 {
        api.key("admin", &format!("key-{name}"), "viewer").await;
    }
    let many = api.new_key("admin", &key("one-more", days())).await;
    let problem = assert_problem(many, StatusCode::CONFLICT, "conflict").await;
    assert!(problem.to_string().contains("at most 50"), "{problem}");
}
