use std::os::unix::fs::PermissionsExt as _;

use time::Duration as Span;

use super::audits::Actor;
use super::users::{First, Role, User};
use super::*;

/// SQLite in a directory of its own, or the PostgreSQL of `GARRISON_TEST_DATABASE_URL`, which must be empty.
async fn open() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let database = match std::env::var("GARRISON_TEST_DATABASE_URL") {
        Ok(url) => Database::Postgres(url.parse().expect("a PostgreSQL URL")),
        Err(_) => Database::Embedded(dir.path().join("console #1?.db")),
    };
    let store = Store::open(&database).await.expect("a new database opens");
    for table in ["DELETE FROM tokens", "DELETE FROM users", "DELETE FROM settings", "DELETE FROM audits"] {
        sqlx::query(table).execute(store.pool()).await.expect("empty tables");
    }
    (store, dir)
}

fn user(name: &str) -> User {
    User { username: name.to_owned(), password: "$argon2id$…".to_owned(), role: Role::Administrator }
}

#[tokio::test]
async fn keeps_users_tokens_and_settings() {
    let (store, _dir) = open().await;
    let now = OffsetDateTime::now_utc();
    assert!(!store.has_users().await.expect("works"));
    let first = store.add_first_user(&user("admin"), &Actor::console(), now).await.expect("works");
    assert!(matches!(first, First::Added(added) if added.username == "admin"));
    assert!(store.has_users().await.expect("works"));
    let admin = store.user("admin").await.expect("works").expect("is there");
    assert_eq!((admin.username.as_str(), admin.role), ("admin", Role::Administrator));
    assert!(store.user("Admin' OR 1=1 --").await.expect("works").is_none());

    let (admin, here) = (user("admin"), Actor::console());
    assert!(store.add_token("d1", &admin, &here, now, now + Span::minutes(30)).await.expect("works"));
    assert_eq!(store.token("d1", now).await.expect("works"), Some(("admin".to_owned(), Role::Administrator)));
    assert_eq!(store.token("d1", now + Span::minutes(30)).await.expect("works"), None);
    store.add_token("d2", &admin, &here, now + Span::hours(1), now + Span::hours(2)).await.expect("works");
    assert_eq!(store.token("d1", now).await.expect("works"), None, "expired tokens are dropped");
    for other in [user("nobody"), User { password: "$other".to_owned(), ..admin }] {
        assert!(!store.add_token("d3", &other, &here, now, now).await.expect("works"), "{other:?}");
    }

    store.set_setting("name", "old").await.expect("works");
    store.set_setting("name", "new").await.expect("works");
    assert_eq!(store.setting("name").await.expect("works").as_deref(), Some("new"));
    assert_eq!(store.setting("other").await.expect("works"), None);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_first_users_at_once_one_is_added() {
    let (store, _dir) = open().await;
    let mut attempts = tokio::task::JoinSet::new();
    for number in 0..16 {
        let store = store.clone();
        attempts.spawn(async move {
            let user = user(&format!("user-{number}"));
            store.add_first_user(&user, &Actor::console(), OffsetDateTime::now_utc()).await
        });
    }
    let results = attempts.join_all().await;
    let added = results.iter().filter(|result| matches!(result, Ok(First::Added(_)))).count();
    assert_eq!(added, 1, "{results:?}");
    let count: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM users").fetch_one(store.pool()).await.expect("works");
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing_and_lets_the_next_one_in() {
    let (store, _dir) = open().await;
    let mut write = store.write().await.expect("works");
    settings::set(&mut write, "gone", "1").await.expect("works");
    drop(write);
    store.set_setting("kept", "1").await.expect("works");
    assert_eq!(store.setting("gone").await.expect("works"), None);
    assert_eq!(store.setting("kept").await.expect("works").as_deref(), Some("1"));
}

#[tokio::test]
async fn every_connection_is_durable_and_the_file_is_private() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("console.db");
    let store = Store::open(&Database::Embedded(path.clone())).await.expect("opens");
    let mut held = Vec::new();
    for _ in 0..FILE_CONNECTIONS {
        let mut connection = store.pool().acquire().await.expect("a connection");
        for (pragma, expected) in [("PRAGMA synchronous", 2_i64), ("PRAGMA foreign_keys", 1)] {
            let value: i64 = sqlx::query_scalar(pragma).fetch_one(&mut *connection).await.expect("a number");
            assert_eq!(value, expected, "{pragma}");
        }
        let mode: String =
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await.expect("a text");
        assert_eq!(mode, "wal");
        held.push(connection);
    }
    for name in ["console.db", "console.db-wal", "console.db-shm"] {
        let mode = std::fs::metadata(dir.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_named_with_a_remedy() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let damaged = dir.path().join("damaged.db");
    std::fs::write(&damaged, "this is no database, whatever its name says".repeat(50)).expect("written");
    let texts = [
        (Database::Embedded(dir.path().join("missing/console.db")), "data directory must be writable"),
        (Database::Embedded(damaged), "restore it from a backup"),
        (
            Database::Postgres("postgres://u:hunter2@127.0.0.1:1/x".parse().expect("a URL")),
            "that PostgreSQL runs",
        ),
    ];
    for (database, expected) in texts {
        let error = Store::open(&database).await.expect_err("cannot be opened");
        let text = lifecycle::logging::error_chain(&error);
        assert!(text.contains(expected) && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_one_of_the_same_is_taken() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let database = Database::Embedded(dir.path().join("console.db"));
    let store = Store::open(&database).await.expect("opens");
    store.set_setting("name", "value").await.expect("works");
    store.close().await;
    let store = Store::open(&database).await.expect("opens again");
    assert_eq!(store.setting("name").await.expect("works").as_deref(), Some("value"));
    sqlx::query("INSERT INTO _sqlx_migrations SELECT 999, description, installed_on, success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1")
        .execute(store.pool())
        .await
        .expect("written");
    store.close().await;
    let error = Store::open(&database).await.expect_err("newer");
    assert!(matches!(error, StoreError::Newer { step: 999, .. }), "{error}");
}

#[test]
fn times_and_texts_survive() {
    let time = time::macros::datetime!(2026-11-22 17:37:46.645 UTC);
    assert_eq!(from_milliseconds(milliseconds(time)), time);
    assert_eq!(text("a\0b"), "a\u{fffd}b");
    assert!(matches!(text("plain"), Cow::Borrowed("plain")));
}
