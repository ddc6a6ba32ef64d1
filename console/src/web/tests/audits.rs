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
    for bad in ["limit=1001", "offset=-1", "user=x"] {
        let response = api.get(&format!("audits?{bad}")).await;
        assert_problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
}
