//! Users: who may see and change them, and what a change ends.

use super::*;

pub(super) fn call_as(username: &str, method: Method, path: &str, body: &Value) -> Request<Body> {
    let mut request = get_as(path, username);
    *request.method_mut() = method;
    request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().expect("valid"));
    *request.body_mut() = Body::from(body.to_string());
    request
}

impl Api {
    pub(in crate::web) async fn admin(&self, method: Method, path: &str, body: Value) -> Response<Body> {
        self.call(call_as("admin", method, path, &body)).await
    }

    pub(in crate::web) async fn add_user(&self, username: &str, role: &str) {
        let body = json!({ "username": username, "password": PASSWORD, "role": role });
        assert_eq!(self.admin(Method::POST, "users", body).await.status(), StatusCode::CREATED);
    }

    pub(super) async fn token(&self, username: &str) -> String {
        let credentials = json!({ "username": username, "password": PASSWORD }).to_string();
        let answer = json_of(self.call(post("authenticate", credentials)).await).await;
        answer["token"].as_str().expect("a token").to_owned()
    }

    pub(super) async fn status_with(&self, token: &str, path: &str) -> StatusCode {
        let request = Request::get(format!("/api/v1/{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty());
        self.call(request.expect("valid")).await.status()
    }
}

#[tokio::test]
async fn users_are_added_listed_changed_and_removed_and_no_hash_is_shown() {
    let api = Api::new().await;
    let eve = json!({ "username": "eve", "password": PASSWORD, "role": "viewer" });
    let response = api.admin(Method::POST, "users", eve.clone()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let added = json_of(response).await;
    assert_eq!((&added["username"], &added["role"]), (&json!("eve"), &json!("viewer")));
    assert_problem(api.admin(Method::POST, "users", eve).await, StatusCode::CONFLICT, "conflict").await;
    api.add_user("Eve", "auditor").await;
    api.add_user("a.b_c-d@e+f", "operator").await;

    let response = api.get("users?limit=2&offset=1").await;
    assert_eq!(response.headers()["total-count"], "4");
    let list = json_of(response).await;
    assert_eq!((&list[0]["username"], &list[1]["username"]), (&json!("a.b_c-d@e+f"), &json!("admin")));
    assert!(!list.to_string().contains("argon2") && !list.to_string().contains("password"), "{list}");
    assert_eq!(json_of(api.get("users?search=EVE").await).await.as_array().expect("a list").len(), 2);

    let changed = api.admin(Method::PUT, "users/a.b_c-d%40e+f", json!({ "role": "viewer" })).await;
    assert_eq!(json_of(changed).await["role"], "viewer");
    let removed = api.admin(Method::DELETE, "users/eve", json!({})).await;
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    for (method, body) in [(Method::DELETE, json!({})), (Method::PUT, json!({ "role": "viewer" }))] {
        let response = api.admin(method, "users/eve", body).await;
        assert_problem(response, StatusCode::NOT_FOUND, "not-found").await;
    }
    assert_eq!(api.call(get_as("version", "eve")).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(api.call(get_as("version", "Eve")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_be_a_user_is_refused_with_the_accepted_form() {
    let api = Api::new().await;
    let samples = [
        (json!({ "username": "a b", "password": PASSWORD, "role": "viewer" }), "1 to 64 letters"),
        (json!({ "username": "' OR 1=1", "password": PASSWORD, "role": "viewer" }), "1 to 64 letters"),
        (json!({ "username": "eve", "password": "short", "role": "viewer" }), "8 to 1024"),
        (json!({ "username": "eve", "password": PASSWORD, "role": "root" }), "administrator, operator"),
        (json!({ "username": "eve", "password": PASSWORD }), "`role`"),
        (json!({ "username": "eve", "password": PASSWORD, "role": "viewer", "id": 1 }), "`id`"),
    ];
    for (body, expected) in samples {
        let response = api.admin(Method::POST, "users", body).await;
        let problem = assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await.to_string();
        assert!(problem.contains(expected), "{problem}");
    }
    let samples = [json!({}), json!({ "password": "short" }), json!({ "role": "Viewer" }), json!({ "x": 1 })];
    for body in samples {
        let response = api.admin(Method::PUT, "users/admin", body).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
    assert_eq!(json_of(api.get("users").await).await.as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn only_administrators_change_users_and_auditors_read_them() {
    let api = Api::new().await;
    for (name, reads) in [("auditor", true), ("operator", false), ("viewer", false)] {
        api.add_user(name, name).await;
        let status = api.call(get_as("users", name)).await.status();
        assert_eq!(status == StatusCode::OK, reads, "{name}: {status}");
        let mallory = json!({ "username": "mallory", "password": PASSWORD, "role": "administrator" });
        for (method, path, body) in [
            (Method::POST, "users".to_owned(), mallory),
            (Method::PUT, format!("users/{name}"), json!({ "role": "administrator" })),
            (Method::DELETE, "users/admin".to_owned(), json!({})),
        ] {
            let response = api.call(call_as(name, method, &path, &body)).await;
            assert_problem(response, StatusCode::FORBIDDEN, "forbidden").await;
        }
    }
    let stranger = Request::get("/api/v1/users").body(Body::empty()).expect("valid");
    assert_problem(api.call(stranger).await, StatusCode::UNAUTHORIZED, "unauthorized").await;
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let api = Api::new().await;
    api.add_user("eve", "operator").await;
    let demotion = json!({ "role": "operator" });
    for (method, body) in [(Method::PUT, demotion.clone()), (Method::DELETE, json!({}))] {
        let response = api.admin(method, "users/admin", body).await;
        let problem = assert_problem(response, StatusCode::CONFLICT, "conflict").await;
        assert!(problem["detail"].as_str().expect("a text").contains("another administrator first"));
    }
    let kept = api.admin(Method::PUT, "users/admin", json!({ "role": "administrator" })).await;
    assert_eq!(kept.status(), StatusCode::OK);

    api.admin(Method::PUT, "users/eve", json!({ "role": "administrator" })).await;
    let demote = |name| api.call(call_as("admin", Method::PUT, name, &demotion));
    let (one, two) = tokio::join!(demote("users/admin"), demote("users/eve"));
    assert_eq!(usize::from(one.status().is_success()) + usize::from(two.status().is_success()), 1);
}

#[tokio::test]
async fn a_change_counts_at_once_for_tokens_basic_credentials_and_event_streams() {
    let api = Api::new().await;
    api.add_user("eve", "administrator").await;
    let token = api.token("eve").await;
    assert_eq!(api.status_with(&token, "users").await, StatusCode::OK);
    assert_eq!(api.call(get_as("users", "eve")).await.status(), StatusCode::OK);
    let mut stream = api.call(get_as("events", "eve")).await.into_body();
    stream.frame().await.expect("open").expect("fine");

    api.admin(Method::PUT, "users/eve", json!({ "role": "viewer" })).await;
    assert!(stream.frame().await.is_none(), "the stream has ended");
    assert_eq!(api.status_with(&token, "users").await, StatusCode::FORBIDDEN);
    assert_eq!(api.call(get_as("users", "eve")).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(api.status_with(&token, "version").await, StatusCode::OK, "the same token");

    api.admin(Method::PUT, "users/eve", json!({ "password": "another horse" })).await;
    assert_eq!(api.status_with(&token, "version").await, StatusCode::UNAUTHORIZED);
    assert_eq!(api.call(get_as("version", "eve")).await.status(), StatusCode::UNAUTHORIZED);

    api.admin(Method::PUT, "users/eve", json!({ "password": PASSWORD })).await;
    let token = api.token("eve").await;
    api.admin(Method::DELETE, "users/eve", json!({})).await;
    assert_eq!(api.status_with(&token, "version").await, StatusCode::UNAUTHORIZED);
    assert_eq!(api.call(get_as("version", "eve")).await.status(), StatusCode::UNAUTHORIZED);
    api.add_user("eve", "viewer").await;
    assert_eq!(api.status_with(&token, "version").await, StatusCode::UNAUTHORIZED, "another eve");
}

#[tokio::test]
async fn a_user_is_changed_with_all_of_its_fields_and_keeps_its_name() {
    let api = Api::new().await;
    api.add_user("eve", "viewer").await;
    let body = |name| json!({ "username": name, "password": PASSWORD, "role": "auditor" });
    let changed = api.admin(Method::PUT, "users/eve", body("eve")).await;
    assert_eq!(changed.status(), StatusCode::OK);
    assert_eq!(json_of(changed).await["role"], "auditor");
    let renamed = api.admin(Method::PUT, "users/eve", body("adam")).await;
    assert_problem(renamed, StatusCode::BAD_REQUEST, "bad-request").await;
}
