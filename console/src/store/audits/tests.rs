//! The audit log: entries, pages, and whether a broken chain is noticed.

use serde_json::json;

use super::*;
use crate::config::Database;
use crate::store::Store;
use crate::store::users::{Change, Role, User, UserError};

/// A log of 4 entries: `user-1` to `user-4` were added.
async fn log() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = match std::env::var("GARRISON_TEST_DATABASE_URL") {
        Ok(url) => Store::open(&Database::Postgres(url.parse().expect("a PostgreSQL URL"))).await,
        Err(_) => Store::open(&Database::Embedded(dir.path().join("console.db"))).await,
    };
    let store = store.expect("opens");
    for table in ["DELETE FROM users", "DELETE FROM settings", "DELETE FROM audits"] {
        sqlx::query(table).execute(store.pool()).await.expect("empty tables");
    }
    for number in 1..=4 {
        store.add_user(&user(number), &admin(), now()).await.expect("added");
    }
    (store, dir)
}

fn admin() -> Actor {
    Actor::new("admin", "::ffff:192.0.2.7".parse().expect("an address"))
}

fn user(number: u32) -> User {
    User { username: format!("user-{number}"), password: "$hash".to_owned(), role: Role::Administrator }
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

async fn objects(store: &Store, search: &str, offset: usize, limit: usize) -> (Vec<String>, u64) {
    let query = AuditQuery { search: search.to_owned(), ..AuditQuery::default() };
    let (audits, total) = store.audits(&query, offset, limit).await.expect("works");
    (audits.into_iter().map(|audit| audit.object).collect(), total)
}

#[tokio::test]
async fn entries_come_newest_first_in_pages_and_are_found_by_any_text_taken_as_it_is() {
    let (store, _dir) = log().await;
    assert_eq!(objects(&store, "", 1, 2).await, (vec!["user-3".to_owned(), "user-2".to_owned()], 4));
    assert_eq!(objects(&store, "USER-3", 0, 50).await, (vec!["user-3".to_owned()], 1));
    assert_eq!(objects(&store, "192.0.2.7", 0, 50).await.1, 4, "an IPv4 address as such");
    assert_eq!(objects(&store, "\"role\":\"admin", 0, 1).await.1, 4);
    for nothing in ["%user%", "user_1", "\\", "' OR 1=1 --", "\0"] {
        assert_eq!(objects(&store, nothing, 0, 50).await.1, 0, "{nothing:?}");
    }
    assert_eq!(objects(&store, "", 99, usize::MAX).await, (vec![], 4));
}

#[tokio::test]
async fn what_did_not_happen_is_not_in_the_log_and_what_did_is_without_secrets() {
    let (store, _dir) = log().await;
    assert!(matches!(store.add_user(&user(1), &admin(), now()).await, Err(UserError::Taken)));
    assert!(matches!(store.remove_user("nobody", &admin(), now()).await, Err(UserError::Unknown)));
    let same = Change { role: Some(Role::Administrator), ..Change::default() };
    store.change_user("user-1", &same, &admin(), now()).await.expect("works");
    assert_eq!(objects(&store, "", 0, 50).await.1, 4, "nothing has changed");

    let change = Change { role: Some(Role::Viewer), password: Some("$other-hash".to_owned()), keep: None };
    store.change_user("user-1", &change, &admin(), now()).await.expect("works");
    let (audits, _) = store.audits(&AuditQuery::default(), 0, 1).await.expect("works");
    let entry = serde_json::to_value(&audits[0]).expect("JSON");
    assert_eq!((&entry["user"], &entry["address"]), (&json!("admin"), &json!("192.0.2.7")));
    assert_eq!((&entry["action"], &entry["object"]), (&json!("user.changed"), &json!("user-1")));
    assert_eq!(entry["old"], json!({ "role": "administrator" }));
    assert_eq!(entry["new"], json!({ "role": "viewer", "password": "changed" }));
}

#[tokio::test]
async fn the_chain_follows_from_what_the_api_shows() {
    let (store, _dir) = log().await;
    let (audits, _) = store.audits(&AuditQuery::default(), 0, 50).await.expect("works");
    let mut hash = NO_HASH.to_owned();
    for audit in audits.iter().rev() {
        let entry = serde_json::to_value(audit).expect("JSON");
        let keys = ["time", "user", "address", "action", "object", "old", "new"];
        let content = Value::Array(keys.iter().map(|key| entry[key].clone()).collect()).to_string();
        let digest = digest::digest(&digest::SHA256, format!("{hash}{content}").as_bytes());
        hash = certs::hex::encode(digest);
        assert_eq!(entry["hash"], hash);
    }
    assert_eq!(store.verify_audits().await.expect("works"), Chain::Unbroken { entries: 4 });
}

#[tokio::test]
async fn whatever_is_changed_removed_or_put_in_breaks_the_chain_there() {
    let broken_at = [
        (2, "UPDATE audits SET object = 'user-9' WHERE seq = 2"),
        (2, "UPDATE audits SET username = '' WHERE seq = 2"),
        (2, "UPDATE audits SET address = '192.0.2.8' WHERE seq = 2"),
        (2, "UPDATE audits SET action = 'user.removed' WHERE seq = 2"),
        (2, "UPDATE audits SET made_at = made_at + 1 WHERE seq = 2"),
        (2, "UPDATE audits SET new_value = '{\"role\":\"viewer\"}' WHERE seq = 2"),
        (2, "UPDATE audits SET new_value = '{\"role\": \"administrator\"}' WHERE seq = 2"),
        (2, "UPDATE audits SET old_value = 'no JSON' WHERE seq = 2"),
        (2, "UPDATE audits SET hash = (SELECT hash FROM audits WHERE seq = 1) WHERE seq = 2"),
        (3, "DELETE FROM audits WHERE seq = 2"),
        (2, "DELETE FROM audits WHERE seq = 1"),
        (
            9,
            "INSERT INTO audits SELECT 9, made_at, username, address, action, object, old_value, new_value, \
             hash FROM audits WHERE seq = 4",
        ),
    ];
    for (expected, sql) in broken_at {
        let (store, _dir) = log().await;
        sqlx::query(sql).execute(store.pool()).await.expect("written");
        match store.verify_audits().await.expect("works") {
            Chain::Broken { entry, .. } => assert_eq!(entry, expected, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
        store.audits(&AuditQuery::default(), 0, 50).await.expect("the log can be read nevertheless");
        store.add_user(&user(5), &admin(), now()).await.expect("the Console goes on nevertheless");
    }
}

#[tokio::test]
async fn missing_newest_entries_are_noticed_and_stay_so_when_the_log_goes_on() {
    let (store, _dir) = log().await;
    sqlx::query("DELETE FROM audits WHERE seq > 2").execute(store.pool()).await.expect("written");
    assert_eq!(store.verify_audits().await.expect("works"), Chain::Short { entry: 2 });
    store.add_user(&user(5), &admin(), now()).await.expect("works");
    assert!(matches!(store.verify_audits().await.expect("works"), Chain::Broken { entry: 3, .. }));

    let (store, _dir) = log().await;
    sqlx::query("DELETE FROM audits").execute(store.pool()).await.expect("written");
    assert_eq!(store.verify_audits().await.expect("works"), Chain::Short { entry: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_at_once_make_one_chain() {
    let (store, _dir) = log().await;
    let mut changes = tokio::task::JoinSet::new();
    for number in 10..40 {
        let store = store.clone();
        changes.spawn(async move { store.add_user(&user(number), &admin(), now()).await.map(|_| ()) });
    }
    changes.join_all().await.into_iter().for_each(|added| added.expect("added"));
    assert_eq!(store.verify_audits().await.expect("works"), Chain::Unbroken { entries: 34 });
}
