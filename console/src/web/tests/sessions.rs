//! Sessions over the API: what their cookie may do, who sees and ends them, and what ends them.

use super::*;
use crate::access::Browser;

pub(super) const HERE: (&str, &str) = ("sec-fetch-site", "same-origin");

impl Api {
    /// A new session's token.
    pub(super) async fn session(&self, username: &str) -> String {
        let address = "192.0.2.9".parse().expect("an address");
        let browser = Browser { address, user_agent: "Firefox\r\n/1", token: None };
        let session = self.state.access.begin_session(username, PASSWORD, browser).await.expect("right");
        session.reveal().to_owned()
    }

    async fn with_cookie(
        &self,
        method: Method,
        path: &str,
        token: &str,
        more: &[(&str, &str)],
    ) -> Response<Body> {
        let request = Request::builder().method(method).uri(format!("/api/v1/{path}"));
        let request = request.header(header::COOKIE, format!("__Host-garrison={token}"));
        let request = more.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.call(request.body(Body::empty()).expect("valid")).await
    }

    async fn cookie_status(&self, token: &str) -> StatusCode {
        self.with_cookie(Method::GET, "version", token, &[]).await.status()
    }

    async fn json_with_cookie(&self, path: &str, token: &str, body: &Value) -> Response<Body> {
        let request = Request::post(format!("/api/v1/{path}"));
        let request =
            request.header(header::COOKIE, format!("__Host-garrison={token}")).header(HERE.0, HERE.1);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.call(request.body(Body::from(body.to_string())).expect("valid")).await
    }
}

#[tokio::test]
async fn the_cookie_reads_from_anywhere_and_changes_from_pages_of_this_console_only() {
    let api = Api::new().await;
    api.add_user("eve", "viewer").await;
    let token = api.session("admin").await;
    assert_eq!(api.cookie_status(&token).await, StatusCode::OK);
    let host = ("host", "console:8083");
    for foreign in [
        vec![],
        vec![host],
        vec![host, ("origin", "https://evil.example")],
        vec![host, ("sec-fetch-site", "cross-site")],
        vec![host, ("sec-fetch-site", "same-site"), ("origin", "https://console:8083")],
        vec![host, ("sec-fetch-site", "none")],
    ] {
        let response = api.with_cookie(Method::DELETE, "users/eve", &token, &foreign).await;
        assert_problem(response, StatusCode::FORBIDDEN, "cross-site").await;
    }
    for own in [vec![host, ("origin", "https://console:8083")], vec![HERE]] {
        let response = api.with_cookie(Method::DELETE, "users/eve", &token, &own).await;
        assert!([StatusCode::NO_CONTENT, StatusCode::NOT_FOUND].contains(&response.status()), "{own:?}");
    }
}

#[tokio::test]
async fn forged_cookies_are_no_session_and_a_wrong_authorization_is_not_covered_by_a_good_cookie() {
    let api = Api::new().await;
    let token = api.session("admin").await;
    let other = format!("{}{}", if token.starts_with('A') { "B" } else { "A" }, &token[1..]);
    let digest = {
        let query = sqlx::query_scalar("SELECT sha256 FROM sessions").fetch_one(api.state.store.pool());
        query.await.map(|digest: String| digest).expect("one")
    };
    assert_ne!(digest, token);
    for forged in ["", "x", &token[1..], &token.to_uppercase(), &other, &digest, "' OR '1'='1", "%00"] {
        let response = api.with_cookie(Method::GET, "version", forged, &[]).await;
        assert_problem(response, StatusCode::UNAUTHORIZED, "unauthorized").await;
    }
    let two = format!("{token}; __Host-garrison={token}");
    assert_eq!(api.cookie_status(&two).await, StatusCode::UNAUTHORIZED);
    for wrong in ["Bearer x", "Basic YWRtaW46d3Jvbmc=", "Digest x", "", "Bearer"] {
        let response = api.with_cookie(Method::GET, "version", &token, &[("authorization", wrong)]).await;
        assert_problem(response, StatusCode::UNAUTHORIZED, "unauthorized").await;
    }
}

#[tokio::test]
async fn users_see_and_end_their_own_sessions_and_administrators_all() {
    let api = Api::new().await;
    api.add_user("eve", "viewer").await;
    api.add_user("bob", "operator").await;
    let (admin, eve, bob) = (api.session("admin").await, api.session("eve").await, api.session("bob").await);
    let list = async |token: &str| json_of(api.with_cookie(Method::GET, "sessions", token, &[]).await).await;
    let of_eve = list(&eve).await;
    assert_eq!(of_eve.as_array().expect("a list").len(), 1);
    assert_eq!((&of_eve[0]["username"], &of_eve[0]["current"]), (&json!("eve"), &json!(true)));
    assert_eq!((&of_eve[0]["address"], &of_eve[0]["user_agent"]), (&json!("192.0.2.9"), &json!("Firefox/1")));
    let all = list(&admin).await;
    assert_eq!(all.as_array().expect("a list").len(), 3);
    assert!(!all.to_string().contains(&eve) && !all.to_string().contains("sha256"));

    let path = |id: &Value| format!("sessions/{}", id.as_str().expect("an id"));
    let of_bob = path(&list(&bob).await[0]["id"]);
    let response = api.with_cookie(Method::DELETE, &of_bob, &eve, &[HERE]).await;
    assert_problem(response, StatusCode::NOT_FOUND, "not-found").await;
    assert_eq!(api.cookie_status(&bob).await, StatusCode::OK);
    for bad in ["sessions/x", "sessions/%ff"] {
        let response = api.with_cookie(Method::DELETE, bad, &admin, &[HERE]).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
    for (path, token) in [(of_bob, &admin), (path(&of_eve[0]["id"]), &eve)] {
        let response = api.with_cookie(Method::DELETE, &path, token, &[HERE]).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(api.cookie_status(&bob).await, StatusCode::UNAUTHORIZED);
    assert_eq!(api.cookie_status(&eve).await, StatusCode::UNAUTHORIZED);
    assert_eq!(api.cookie_status(&admin).await, StatusCode::OK);
}

#[tokio::test]
async fn sessions_end_with_a_removal_another_role_and_another_password() {
    let api = Api::new().await;
    for (method, body) in [
        (Method::PUT, json!({ "role": "operator" })),
        (Method::PUT, json!({ "password": "another horse" })),
        (Method::DELETE, json!({})),
    ] {
        api.add_user("eve", "viewer").await;
        let token = api.session("eve").await;
        let mut stream = api.with_cookie(Method::GET, "events", &token, &[]).await.into_body();
        stream.frame().await.expect("open").expect("fine");
        api.admin(method, "users/eve", body).await;
        assert_eq!(api.cookie_status(&token).await, StatusCode::UNAUTHORIZED);
        assert!(stream.frame().await.is_none(), "the stream has ended");
        api.admin(Method::DELETE, "users/eve", json!({})).await;
    }
}

#[tokio::test]
async fn ending_a_session_ends_its_stream_and_no_other() {
    let api = Api::new().await;
    let (one, two) = (api.session("admin").await, api.session("admin").await);
    let mut streams = Vec::new();
    for token in [&one, &two] {
        let mut stream = api.with_cookie(Method::GET, "events", token, &[]).await.into_body();
        stream.frame().await.expect("open").expect("fine");
        streams.push(stream);
    }
    let list = json_of(api.with_cookie(Method::GET, "sessions", &one, &[]).await).await;
    let current = list.as_array().expect("a list").iter().find(|session| session["current"] == true);
    let path = format!("sessions/{}", current.expect("one")["id"].as_str().expect("an id"));
    api.with_cookie(Method::DELETE, &path, &one, &[HERE]).await;
    assert!(streams[0].frame().await.is_none(), "ended");
    api.connect("web-1").await;
    assert!(streams[1].frame().await.is_some(), "goes on");
}

#[tokio::test]
async fn idle_and_old_sessions_end_and_the_background_keeps_none_alive() {
    let api = Api::new().await;
    let limits = json!({ "idleMinutes": 10, "lifeHours": 1 });
    assert_eq!(api.admin(Method::POST, "settings/sessions", limits.clone()).await.status(), StatusCode::OK);
    assert_eq!(json_of(api.get("settings/sessions").await).await, limits);
    let token = api.session("admin").await;
    let age = async |column: &'static str, minutes: i64| {
        let sql = match column {
            "last_used_at" => "UPDATE sessions SET last_used_at = last_used_at - $1",
            _ => "UPDATE sessions SET created_at = created_at - $1",
        };
        sqlx::query(sql).bind(minutes * 60_000).execute(api.state.store.pool()).await.expect("aged");
    };
    age("last_used_at", 6).await;
    let background = [("garrison-background", "1")];
    assert_eq!(api.with_cookie(Method::GET, "version", &token, &background).await.status(), StatusCode::OK);
    age("last_used_at", 3).await;
    assert_eq!(api.cookie_status(&token).await, StatusCode::OK, "9 minutes, and used now");
    age("last_used_at", 9).await;
    assert_eq!(api.cookie_status(&token).await, StatusCode::OK, "9 minutes again");
    age("last_used_at", 9).await;
    api.with_cookie(Method::GET, "version", &token, &background).await;
    age("last_used_at", 2).await;
    assert_eq!(api.cookie_status(&token).await, StatusCode::UNAUTHORIZED, "11 minutes idle");

    let token = api.session("admin").await;
    age("created_at", 59).await;
    assert_eq!(api.cookie_status(&token).await, StatusCode::OK);
    age("created_at", 2).await;
    assert_eq!(api.cookie_status(&token).await, StatusCode::UNAUTHORIZED, "an hour old");
}

#[tokio::test]
async fn administrators_alone_set_how_long_sessions_last_within_reason() {
    let api = Api::new().await;
    let before = json!({ "idleMinutes": 30, "lifeHours": 12 });
    assert_eq!(json_of(api.get("settings/sessions").await).await, before);
    for bad in [
        json!({ "idleMinutes": 4, "lifeHours": 12 }),
        json!({ "idleMinutes": 1441, "lifeHours": 12 }),
        json!({ "idleMinutes": 30, "lifeHours": 0 }),
        json!({ "idleMinutes": 30, "lifeHours": 721 }),
        json!({ "idleMinutes": -1, "lifeHours": 12 }),
        json!({ "idleMinutes": 70_000, "lifeHours": 12 }),
        json!({ "idleMinutes": 30 }),
        json!({ "idleMinutes": 30, "lifeHours": 12, "x": 1 }),
    ] {
        let response = api.admin(Method::POST, "settings/sessions", bad).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
    for role in ["auditor", "operator", "viewer", "defender-manager"] {
        api.add_user(role, role).await;
        let response = api.call(get_as("settings/sessions", role)).await;
        match role {
            "auditor" => assert_eq!(response.status(), StatusCode::OK),
            _ => drop(assert_problem(response, StatusCode::FORBIDDEN, "forbidden").await),
        }
    }
    let after = json!({ "idleMinutes": 60, "lifeHours": 24 });
    api.admin(Method::POST, "settings/sessions", after.clone()).await;
    let log = json_of(api.get("audits?search=setting.changed").await).await;
    assert_eq!(log.as_array().expect("a list").len(), 1);
    assert_eq!((&log[0]["old"], &log[0]["new"], &log[0]["object"]), (&before, &after, &json!("sessions")));
}

#[tokio::test]
async fn a_user_with_a_hundred_sessions_loses_the_oldest() {
    let api = Api::new().await;
    let token = api.session("admin").await;
    let copy = "INSERT INTO sessions SELECT $1, $2, username, created_at + 1, last_used_at, expires_at, address, \
                user_agent FROM sessions LIMIT 1";
    for number in 0..99 {
        let query = sqlx::query(copy).bind(Uuid::new_v4().to_string()).bind(number.to_string());
        query.execute(api.state.store.pool()).await.expect("copied");
    }
    assert_eq!(api.cookie_status(&token).await, StatusCode::OK);
    api.session("admin").await;
    assert_eq!(api.cookie_status(&token).await, StatusCode::UNAUTHORIZED);
    let count =
        sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM sessions").fetch_one(api.state.store.pool());
    assert_eq!(count.await.expect("works"), 100);
}

#[tokio::test]
async fn users_change_their_own_passwords_and_keep_the_session_that_they_do_it_with() {
    let api = Api::new().await;
    api.add_user("eve", "viewer").await;
    let (here, elsewhere, bearer) =
        (api.session("eve").await, api.session("eve").await, api.token("eve").await);
    let change = |old: &str, new: &str| json!({ "old": old, "new": new });
    let wrong = api.json_with_cookie("password", &here, &change("wrong horse", "another horse")).await;
    assert_problem(wrong, StatusCode::FORBIDDEN, "forbidden").await;
    for (old, new) in [(PASSWORD, "short"), (PASSWORD, PASSWORD)] {
        let response = api.json_with_cookie("password", &here, &change(old, new)).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
    let response = api.json_with_cookie("password", &here, &change(PASSWORD, "another horse")).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let cookie = response.headers()[header::SET_COOKIE].to_str().expect("ASCII").to_owned();
    let (name, rest) = cookie.split_once('=').expect("a cookie");
    let (token, attributes) = rest.split_once(';').expect("attributes");
    assert_eq!((name, attributes), ("__Host-garrison", " Path=/; Secure; HttpOnly; SameSite=Strict"));
    assert_eq!(api.cookie_status(token).await, StatusCode::OK);
    for ended in [&here, &elsewhere] {
        assert_eq!(api.cookie_status(ended).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(api.status_with(&bearer, "version").await, StatusCode::UNAUTHORIZED);
    assert_eq!(api.call(get_as("version", "eve")).await.status(), StatusCode::UNAUTHORIZED);

    for _ in 0..5 {
        api.json_with_cookie("password", token, &change("wrong horse", "third horse")).await;
    }
    let response = api.json_with_cookie("password", token, &change("another horse", "third horse")).await;
    assert_problem(response, StatusCode::TOO_MANY_REQUESTS, "too-many-requests").await;
}

#[tokio::test]
async fn scripts_of_pages_get_no_challenge_that_makes_a_browser_ask_for_a_password() {
    let api = Api::new().await;
    for (mode, offers) in [("cors", 1), ("same-origin", 1), ("navigate", 2)] {
        let response = api.with_cookie(Method::GET, "events", "x", &[("sec-fetch-mode", mode)]).await;
        assert_eq!(response.headers().get_all(header::WWW_AUTHENTICATE).iter().count(), offers, "{mode}");
        assert_problem(response, StatusCode::UNAUTHORIZED, "unauthorized").await;
    }
}
