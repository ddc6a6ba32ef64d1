use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;

use super::*;
use crate::config::Database;
use crate::store::Store;
use crate::store::audits::{Action, Actor, AuditQuery, Chain, Deed};
use crate::store::users::{Role, User};

mod keeper;

/// A data directory as a Console leaves it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        let certificates = place.data().join("certificates");
        std::fs::create_dir_all(&certificates).expect("writable");
        std::fs::write(certificates.join("ca.pem"), "CA").expect("writable");
        std::fs::write(certificates.join("ca-key.pem"), "KEY").expect("writable");
        let store = place.store().await;
        let now = OffsetDateTime::now_utc();
        for name in ["admin", "Zoë \"quoted\" 'n' \\ \u{1f980}\n"] {
            let user = User {
                username: name.to_owned(),
                password: "$argon2id$…".to_owned(),
                role: Role::Administrator,
            };
            match name {
                "admin" => drop(store.add_first_user(&user, &Actor::console(), now).await.expect("works")),
                _ => drop(store.add_user(&user, &Actor::console(), now).await.expect("works")),
            }
            store
                .add_token(name, &user, &Actor::console(), now, now + time::Duration::hours(1))
                .await
                .expect("works");
        }
        store.set_setting("colour", "green").await.expect("works");
        store.close().await;
        place
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn database(&self) -> Database {
        Database::Embedded(self.data().join("console.db"))
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("console.backup")
    }

    async fn store(&self) -> Store {
        Store::open(&self.database()).await.expect("opens")
    }

    async fn back_up(&self) -> PathBuf {
        let (database, data, file) = (self.database(), self.data(), self.file());
        make(&database, &data, &file, Kind::Command, passphrase()).await.expect("works");
        file
    }

    fn plan(&self, there: There) -> Plan {
        Plan {
            file: self.file(),
            data_dir: self.data(),
            database: self.database(),
            passphrase: passphrase(),
            there,
        }
    }
}

fn passphrase() -> Passphrase {
    Passphrase::parse("correct horse battery\n").expect("long enough")
}

/// Every file below a directory with its content, to see that nothing has changed.
fn all(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(all(&path))
        } else {
            found.push((path.clone(), std::fs::read(path).expect("readable")))
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_but_tokens_comes_back_and_the_audit_log_is_unbroken() {
    let place = Place::new().await;
    let file = place.back_up().await;
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    std::fs::remove_dir_all(place.data()).expect("ours");

    let restored = restore(place.plan(There::Keep)).await.expect("works");
    assert_eq!((restored.aside, restored.about.schema), (None, Store::newest_schema()));
    assert_eq!(std::fs::read_to_string(place.data().join("certificates/ca-key.pem")).expect("there"), "KEY");
    let mode =
        |name: &str| std::fs::metadata(place.data().join(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!(
        (mode("certificates"), mode("certificates/ca-key.pem"), mode("console.db")),
        (0o700, 0o600, 0o600)
    );
    let names: Vec<_> =
        std::fs::read_dir(place.data()).expect("there").flatten().map(|e| e.file_name()).collect();
    assert_eq!(names.len(), 3, "certificates, console.db, lock and nothing else: {names:?}");

    let store = place.store().await;
    assert!(store.user("Zoë \"quoted\" 'n' \\ \u{1f980}\n").await.expect("works").is_some());
    assert_eq!(store.setting("colour").await.expect("works").as_deref(), Some("green"));
    assert_eq!(store.token("admin", OffsetDateTime::now_utc()).await.expect("works"), None);
    let (audits, total) = store.audits(&AuditQuery::default(), 0, 10).await.expect("works");
    assert_eq!(store.verify_audits().await.expect("works"), Chain::Unbroken { entries: total });
    assert_eq!(audits.first().map(|audit| audit.action.as_str()), Some("backup.restored"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_of_one_moment_while_others_write() {
    let place = Place::new().await;
    let store = place.store().await;
    let (entered, mut told) = tokio::sync::mpsc::unbounded_channel();
    let busy = tokio::task::spawn_blocking({
        let (store, runtime) = (store.clone(), tokio::runtime::Handle::current());
        move || {
            runtime.block_on(async move {
                let mut number = 0;
                while entered.send(()).is_ok() {
                    number += 1;
                    let deed = Deed {
                        actor: Actor::console(),
                        action: Action::SettingChanged,
                        object: number.to_string(),
                        old: Value::Null,
                        new: Value::Null,
                    };
                    store
                        .record(&deed, OffsetDateTime::now_utc())
                        .await
                        .expect("a backup holds no writer up");
                }
            });
        }
    });
    told.recv().await.expect("writes");
    place.back_up().await;
    drop(told);
    busy.await.expect("ends");
    store.close().await;
    restore(place.plan(There::Replace)).await.expect("works");
    let store = place.store().await;
    assert!(matches!(store.verify_audits().await.expect("works"), Chain::Unbroken { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_replaced_only_when_asked_and_kept_aside() {
    let place = Place::new().await;
    place.back_up().await;
    std::fs::write(place.data().join("certificates/ca.pem"), "another CA").expect("writable");
    let before = all(&place.data());
    let error = restore(place.plan(There::Keep)).await.expect_err("refused");
    assert!(matches!(error, BackupError::Full(_)), "{error}");
    assert_eq!(
        all(&place.data()).into_iter().filter(|(path, _)| !path.ends_with("lock")).collect::<Vec<_>>(),
        before
    );

    let aside = restore(place.plan(There::Replace)).await.expect("works").aside.expect("something was there");
    let aside = place.data().join(aside);
    assert_eq!(std::fs::read_to_string(aside.join("certificates/ca.pem")).expect("kept"), "another CA");
    let old = Store::open(&Database::Embedded(aside.join("console.db"))).await.expect("kept whole");
    assert!(old.user("admin").await.expect("works").is_some());
    assert_eq!(std::fs::read_to_string(place.data().join("certificates/ca.pem")).expect("there"), "CA");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_as_it_should_be_touches_nothing() {
    let place = Place::new().await;
    let file = place.back_up().await;
    let good = std::fs::read(&file).expect("there");
    std::fs::write(place.data().join("lock"), "").expect("writable");
    let before = all(&place.data());
    let middle = good.len() / 2;
    let flipped = good.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == middle)).collect();
    for (bad, text) in [
        (flipped, "cut short"),
        (good[..middle].to_vec(), "cut short"),
        ([good.clone(), vec![0]].concat(), "damaged"),
        (b"PK\x03\x04 and more of it, as long as it takes".to_vec(), "it is no backup of a Console"),
        (Vec::new(), "cut short"),
    ] {
        std::fs::write(&file, bad).expect("writable");
        let error = restore(place.plan(There::Replace)).await.expect_err("refused");
        assert!(error.to_string().contains(text) || error.to_string().contains("damaged"), "{error}: {text}");
        assert_eq!(all(&place.data()), before, "{error}");
    }
    std::fs::write(&file, &good).expect("writable");
    let wrong = Passphrase::parse("another passphrase").expect("long enough");
    let error = restore(Plan { passphrase: wrong, ..place.plan(There::Replace) }).await.expect_err("refused");
    assert!(error.to_string().ends_with("the passphrase is wrong"), "{error}");
    assert_eq!(all(&place.data()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_console_keeps_its_data() {
    let place = Place::new().await;
    place.back_up().await;
    let running = lifecycle::Instance::take(&place.data()).expect("free");
    let error = restore(place.plan(There::Replace)).await.expect_err("refused");
    assert!(matches!(error, BackupError::Instance(_)), "{error}");
    drop(running);
    restore(place.plan(There::Replace)).await.expect("free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_interrupted_anywhere_leaves_the_old_or_becomes_the_new() {
    let place = Place::new().await;
    place.back_up().await;
    let data = place.data();
    let contents = |dir: &Path| std::fs::read_to_string(dir.join("certificates/ca.pem")).ok();
    std::fs::write(data.join("certificates/ca.pem"), "old").expect("writable");
    // Decided: every order of what a crash can leave of the two entries ends with the new.
    for (moved, staged) in [(0, 2), (1, 2), (1, 1), (2, 1)] {
        let ready = data.join("restore.ready");
        std::fs::create_dir_all(&ready).expect("writable");
        std::fs::write(ready.join("aside"), format!("aside-{moved}-{staged}")).expect("writable");
        let aside = data.join(format!("aside-{moved}-{staged}"));
        std::fs::create_dir_all(&aside).expect("writable");
        std::fs::create_dir_all(ready.join("certificates")).expect("writable");
        std::fs::write(ready.join("certificates/ca.pem"), "new").expect("writable");
        std::fs::copy(data.join("console.db"), ready.join("console.db")).expect("there");
        if moved > 0 {
            std::fs::rename(data.join("certificates"), aside.join("certificates")).expect("there");
        }
        if staged < 2 {
            std::fs::rename(ready.join("certificates"), data.join("certificates")).expect("there");
        }
        if moved > 1 {
            std::fs::rename(data.join("console.db"), aside.join("console.db")).expect("there");
        }
        assert!(finish(&data).expect("works"), "{moved} {staged}");
        assert_eq!(contents(&data).as_deref(), Some("new"), "{moved} {staged}");
        assert!(aside.join("console.db").exists() && aside.join("certificates").exists());
        assert!(data.join("console.db").exists() && !ready.exists());
        assert!(!finish(&data).expect("works"), "nothing is left to do");
    }
    // Not decided: nothing has happened.
    for name in ["restore.unfinished", "restore.prepared"] {
        std::fs::create_dir_all(data.join(name).join("certificates")).expect("writable");
        std::fs::write(data.join(name).join("id"), "never committed").expect("writable");
        assert!(!finish(&data).expect("works"));
        let store = place.store().await;
        assert!(!settle(&data, &store).await.expect("works"));
        store.close().await;
        assert_eq!(contents(&data).as_deref(), Some("new"));
    }
    assert!(!data.join("restore.prepared").exists());
    restore(place.plan(There::Replace)).await.expect("works");
    assert!(!data.join("restore.unfinished").exists());
    assert_eq!(contents(&data).as_deref(), Some("CA"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_newer_schema_is_refused_and_of_an_older_one_brought_up_to_date() {
    let place = Place::new().await;
    let store = place.store().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'of the future', TRUE, x'00', 0)",
    )
    .execute(store.pool())
    .await
    .expect("works");
    store.close().await;
    place.back_up().await;
    let error = restore(place.plan(There::Replace)).await.expect_err("refused");
    assert!(matches!(error, BackupError::TooNew { schema: 9999, .. }), "{error}");

    let old = tempfile::tempdir().expect("a temporary directory");
    let database = Database::Embedded(old.path().join("console.db"));
    let store = Store::open_as_is(&database).await.expect("opens");
    let load = store.load("an old one", 1, None).await.expect("works");
    load.commit_as_is().await.expect("works");
    sqlx::query("INSERT INTO settings (key, value) VALUES ('from', 'step one')")
        .execute(store.pool())
        .await
        .expect("works");
    store.close().await;
    std::fs::create_dir(old.path().join("certificates")).expect("writable");
    make(&database, old.path(), &place.file(), Kind::Command, passphrase()).await.expect("works");
    restore(place.plan(There::Replace)).await.expect("works");
    let store = place.store().await;
    assert_eq!(store.setting("from").await.expect("works").as_deref(), Some("step one"));
    assert_eq!(store.verify_audits().await.expect("works"), Chain::Unbroken { entries: 1 });
}

#[tokio::test]
async fn a_passphrase_is_long_enough_and_never_printed() {
    assert_eq!(Passphrase::parse("elevenchars").unwrap_err(), PassphraseError);
    assert_eq!(Passphrase::parse(&"x".repeat(1025)).unwrap_err(), PassphraseError);
    assert_eq!(format!("{:?}", passphrase()), "Passphrase(…)");
}

#[tokio::test]
#[should_panic(expected = "on purpose")]
async fn a_panic_beside_the_tasks_is_not_taken_for_a_stop() {
    blocking(|| panic!("on purpose")).await
}
