//! What the audit log says of calls.

use super::*;

impl Api {
    /// Actions and objects, oldest first.
    async fn trail(&self) -> Vec<String> {
        let list = json_of(self.get("audits?limit=1000").await).await;
        let text = |entry: &Value, key: &str| entry[key].as_str().expect("a text").to_owned();
        let entries = list.as_array().expect("a list").iter().rev();
        entries
            .map(|entry| {
                format!("{} {} {}", text(entry, "user"), text(entry, "action"), text(entry, "object"))
            })
            .collect()
    }
}

#[tokio::test]
async fn every_change_is_in_the_log_once_and_no_secret_is() {
    let api = Api::new().await;
    api.add_user("eve", "viewer").await;
    api.admin(Method::PUT, "users/eve", json!({ "password": "another horse", "role": "auditor" })).await;
    let id = api.connect("web-1").await;
    api.get("defenders/install-bundle?consoleaddr=console.example.com").await;
    for expected in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let path = format!("defenders/{id}");
        assert_eq!(api.admin(Method::DELETE, &path, json!({})).await.status(), expected);
    }
    api.admin(Method::DELETE, "users/eve", json!({})).await;
    let credentials = json!({ "username": "admin", "password": PASSWORD }).to_string();
    let answer = json_of(api.call(post("authenticate", credentials)).await).await;
    let expected = [
        "admin user.signed-up admin".to_owned(),
        "admin user.signed-in admin".to_owned(),
        "admin user.added eve".to_owned(),
        "admin user.changed eve".to_owned(),
        "admin defender.bundle-issued wss://console.example.com:8084".to_owned(),
        format!("admin defender.decommissioned {id}"),
        "admin user.removed eve".to_owned(),
        "admin user.signed-in admin".to_owned(),
    ];
    assert_eq!(api.trail().await, expected);

    let log = json_of(api.get("audits").await).await.to_string();
    for secret in [PASSWORD, "another horse", "argon2", answer["token"].as_str().expect("a token")] {
        assert!(!log.contains(secret), "{log}");
    }
    let unbroken = crate::store::audits::Chain::Unbroken { entries: 8 };
    assert_eq!(api.state.store.verify_audits().await.expect("works"), unbroken);
}

#[tokio::test]
async fn a_burst_of_failures_is_one_entry_and_names_users_only() {
    let api = Api::new().await;
    assert_eq!(
        api.get("version").await.status(),
        StatusCode::OK,
        "known from now on, however much is guessed"
    );
    for username in ["admin", "nobody", "my pass word"] {
        for _ in 0..7 {
            let guess = json!({ "username": username, "password": "wrong horse" }).to_string();
            api.call(post("authenticate", guess)).await;
        }
    }
    let failed: Vec<_> =
        api.trail().await.into_iter().filter(|entry| entry.contains("sign-in-failed")).collect();
    let [admin, nobody, odd] = failed.as_slice() else { panic!("{failed:?}") };
    assert_eq!(admin, " user.sign-in-failed admin");
    assert_eq!((nobody.as_str(), odd.as_str()), (" user.sign-in-failed ", " user.sign-in-failed "));
}

#[tokio::test]
async fn administrators_and_auditors_read_the_log_in_pages() {
    let api = Api::new().await;
    for role in ["auditor", "operator", "viewer"] {
        api.add_user(role, role).await;
    }
    let response = api.call(get_as("audits?search=user.added&limit=2", "auditor")).await;
    assert_eq!(response.headers()["total-count"], "3");
    let list = json_of(response).await;
    assert_eq!((&list[0]["object"], &list[1]["object"]), (&json!("viewer"), &json!("operator")));
    assert_eq!(list[0]["old"], Value::Null);
    assert_eq!(list[0]["hash"].as_str().expect("a text").len(), 64);
    for role in ["operator", "viewer"] {
        assert_problem(api.call(get_as("audits", role)).await, StatusCode::FORBIDDEN, "forbidden").await;
    }
    for bad in ["limit=1001", "offset=-1", "who=x", "since=yesterday", "until=2026-13-01", "format=xml"] {
        let response = api.get(&format!("audits?{bad}")).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
}

#[tokio::test]
async fn the_log_is_filtered_by_user_action_and_time_whatever_is_typed() {
    let api = Api::new().await;
    api.add_user("eve", "administrator").await;
    let eve = json!({ "name": "ci", "role": "administrator", "days": 1 });
    let made = api.call(users::call_as("eve", Method::POST, "access-keys", &eve)).await;
    let secret = json_of(made).await["secret"].as_str().expect("a text").to_owned();
    let by_key =
        Request::delete("/api/v1/access-keys/ci").header("authorization", format!("Bearer {secret}"));
    api.call(by_key.body(Body::empty()).expect("valid")).await;
    let count = async |query: &str| {
        let response = api.get(&format!("audits?{query}")).await;
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        response.headers()["total-count"].to_str().expect("ASCII").parse::<u64>().expect("a number")
    };
    assert_eq!((count("user=eve").await, count("user=eve%2Fci").await, count("user=ev").await), (3, 1, 0));
    assert_eq!((count("action=user.added").await, count("action=user").await), (1, 0));
    assert_eq!(count("action=user.signed-in&user=eve&search=PASSWORD").await, 1);
    let day = now().date().to_string();
    let all = count("").await;
    assert_eq!(
        (count(&format!("since={day}&until={day}")).await, count("user=&action=&since=").await),
        (all, all)
    );
    assert_eq!((count("until=2020-01-01").await, count("since=2999-12-31T23:59:59Z").await), (0, 0));
    assert_eq!(count("until=9999-12-31").await, all);
    for hostile in ["%27%20OR%201%3D1%20--", "%25", "_", "%00", "%22%3E%3Cscript%3E", "%5C"] {
        assert_eq!(count(&format!("user={hostile}&action={hostile}")).await, 0, "{hostile}");
    }
}

#[tokio::test]
async fn the_log_comes_as_a_table_without_formulas() {
    let api = Api::new().await;
    api.add_user("+eve", "viewer").await;
    let response = api.get("audits?format=csv&search=eve").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/csv; charset=utf-8; header=present");
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    let text = std::str::from_utf8(&body).expect("UTF-8");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "time,user,address,action,object,old,new,hash");
    assert!(lines[1].contains(r#",admin,::,user.added,"'+eve",null,"{""role"":""viewer""}","#), "{text}");
}

#[tokio::test]
async fn anyone_who_reads_the_log_can_have_it_proved() {
    let api = Api::new().await;
    api.add_user("ann", "auditor").await;
    let proof = json_of(api.call(get_as("audits/verify", "ann")).await).await;
    let newest = json_of(api.get("audits?limit=1").await).await;
    assert_eq!((&proof["unbroken"], &proof["broken_at"]), (&json!(true), &Value::Null));
    assert_eq!((&proof["entries"], &proof["head"]), (&json!(4), &newest[0]["hash"]));
    let forge = "UPDATE audits SET username = 'nobody' WHERE seq = 2";
    sqlx::query(forge).execute(api.state.store.pool()).await.expect("forged");
    let proof = json_of(api.get("audits/verify").await).await;
    assert_eq!((&proof["unbroken"], &proof["broken_at"]["entry"]), (&json!(false), &json!(2)));
    api.add_user("eve", "operator").await;
    let refused = api.call(get_as("audits/verify", "eve")).await;
    assert_problem(refused, StatusCode::FORBIDDEN, "forbidden").await;
}
