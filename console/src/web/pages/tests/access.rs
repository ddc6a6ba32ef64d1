//! The pages of users, keys, sessions and the audit log: who sees what, and that nothing of it runs.

use axum::http::Method;
use serde_json::json;

use super::*;

async fn page(api: &Api, path: &str, username: &str) -> String {
    let response = api.call(browse(path, username)).await;
    assert_eq!(response.status(), StatusCode::OK, "{path} {username}");
    text_of(response).await
}

#[tokio::test]
async fn each_role_sees_of_access_what_it_may_change_or_read() {
    let api = Api::new().await;
    for role in ["auditor", "operator", "viewer", "defender-manager"] {
        api.add_user(role, role).await;
    }
    let key = json!({ "name": "of-admin", "role": "viewer", "days": 3 });
    assert_eq!(api.admin(Method::POST, "access-keys", key).await.status(), StatusCode::CREATED);
    for (user, sees_users, changes_users, sees_key) in [
        ("admin", true, true, true),
        ("auditor", true, false, true),
        ("operator", false, false, false),
        ("viewer", false, false, false),
        ("defender-manager", false, false, false),
    ] {
        let page = page(&api, "/access", user).await;
        assert_eq!(page.contains("id=\"users\""), sees_users, "{user}");
        assert_eq!(page.contains("data-call=\"POST /api/v1/users\""), changes_users, "{user}");
        assert_eq!(page.contains("data-call=\"DELETE /api/v1/users/{username}\""), changes_users, "{user}");
        assert_eq!(page.contains("of-admin"), sees_key, "{user}");
        assert_eq!(
            page.contains("data-call=\"DELETE /api/v1/access-keys/{name}\""),
            user == "admin",
            "{user}"
        );
        assert!(page.contains("data-call=\"POST /api/v1/password\"") && !page.contains("argon2"), "{user}");
        let offered = page.split("id=\"key-role\"").nth(1).expect("a choice").split("</select>").next();
        assert_eq!(offered.expect("a choice").contains("\"administrator\""), user == "admin", "{user}");
    }
    assert!(page(&api, "/access", "viewer").await.contains("No access keys yet"));
}

#[tokio::test]
async fn the_audit_page_sets_values_side_by_side_keeps_its_filter_and_says_whether_it_is_whole() {
    let api = Api::new().await;
    api.add_user("eve", "viewer").await;
    api.admin(Method::PUT, "users/eve", json!({ "role": "operator" })).await;
    let all = page(&api, "/audit", "admin").await;
    assert!(all.contains("The log is as it was written.") && all.contains("User changed"), "{all}");
    let line = "<del><bdi class=\"text\">viewer</bdi></del> <span aria-hidden=\"true\">→</span> <ins>";
    assert!(all.contains(line), "{all}");

    let hostile = "search=%3Cscript%3E%22&user=eve%22%3E&action=user.added&since=2026-01-01";
    let none = page(&api, &format!("/audit?{hostile}"), "admin").await;
    assert!(none.contains("No entry matches") && none.contains("value=\"2026-01-01\""), "{none}");
    assert!(
        !none.contains("<script>") && none.contains("href=\"/api/v1/audits?user=eve%22%3E&#38;action="),
        "{none}"
    );
    for bad in ["since=x", "limit=1001", "x=1", "offset=-1"] {
        let response = api.call(browse(&format!("/audit?{bad}"), "admin")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
    let short = page(&api, "/audit?limit=1&user=admin", "admin").await;
    assert!(
        short.contains("href=\"/audit?user=admin&#38;offset=1\"") && short.contains("verify=true"),
        "{short}"
    );

    let forge = "UPDATE audits SET object = '<script>alert(1)</script>' WHERE seq = 2";
    sqlx::query(forge).execute(api.state.store.pool()).await.expect("forged");
    let broken = page(&api, "/audit", "admin").await;
    assert!(broken.contains("was tampered with at entry 2") && !broken.contains("<script>alert"), "{broken}");
    let refused = api.call(browse("/audit", "eve")).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}
