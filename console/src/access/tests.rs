use std::net::Ipv4Addr;

use super::*;
use crate::config::{Database, FirstAdministrator};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn first(password_file: Option<std::path::PathBuf>) -> FirstAdministrator {
    FirstAdministrator { username: "admin".to_owned(), password_file }
}

async fn open(first: &FirstAdministrator) -> (Result<Access, FirstAdministratorError>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&Database::Embedded(dir.path().join("console.db"))).await.expect("opens");
    (Access::open(store, first).await, dir)
}

async fn with_password(text: &str) -> (Result<Access, FirstAdministratorError>, tempfile::TempDir) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("written");
    open(&first(Some(file.path().to_owned()))).await
}

#[tokio::test]
async fn the_password_file_makes_the_first_administrator_without_its_line_end() {
    for text in ["correct horse\n", "correct horse\r\n", "correct horse"] {
        let (access, _dir) = with_password(text).await;
        let access = access.expect("a good file");
        let caller = access.by_password("admin", "correct horse", HERE).await.expect("right");
        assert_eq!((caller.username.as_str(), caller.role), ("admin", Role::Administrator));
        assert!(matches!(caller.by, Credential::Password(_)), "{:?}", caller.by);
        assert!(matches!(access.sign_up("eve", "password", "", HERE).await, Err(SignUpError::TooLate)));
    }
}

#[tokio::test]
async fn a_password_file_that_cannot_be_used_stops_the_start_with_a_remedy() {
    let missing = first(Some("/nowhere/password".into()));
    let (empty, _dir_1) = with_password("\n").await;
    let (short, _dir_2) = with_password("1234567\n").await;
    let (missing, _dir_3) = open(&missing).await;
    for (error, expected) in [(empty, "write one"), (short, "8 to 1024"), (missing, "--admin-password-file")]
    {
        let text = error.expect_err("unusable").to_string();
        assert!(text.contains(expected) && !text.contains("1234567"), "{text}");
    }
}

#[tokio::test]
async fn sign_up_needs_the_token_and_good_form_and_works_once() {
    let (access, _dir) = open(&first(None)).await;
    let access = access.expect("opens");
    let token = access.setup_token();
    assert_eq!(token.len(), 32, "192 bits");
    for wrong in ["", "x", &token[1..], &token.to_uppercase()] {
        assert!(matches!(
            access.sign_up("admin", "password", wrong, HERE).await,
            Err(SignUpError::WrongToken)
        ));
    }
    assert!(matches!(access.sign_up("a b", "password", &token, HERE).await, Err(SignUpError::Form(_))));
    assert!(matches!(access.sign_up("admin", "short", &token, HERE).await, Err(SignUpError::Form(_))));
    let (one, two) = tokio::join!(
        access.sign_up("one", "password", &token, HERE),
        access.sign_up("two", "password", &token, HERE),
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1, "{one:?} {two:?}");
    assert!(matches!(access.sign_up("three", "password", &token, HERE).await, Err(SignUpError::TooLate)));
}

#[tokio::test]
async fn tokens_stand_for_their_user_and_only_their_digest_is_stored() {
    let (access, dir) = with_password("correct horse").await;
    let access = access.expect("opens");
    let token = access.authenticate("admin", "correct horse", HERE).await.expect("right");
    assert_eq!(token.reveal().len(), 43, "256 bits");
    let caller = access.by_token(token.reveal(), HERE).await.expect("works").expect("known");
    assert_eq!(caller.username, "admin");
    assert!(access.by_token("other", HERE).await.expect("works").is_none());
    access.0.store.close().await;
    let database = std::fs::read(dir.path().join("console.db")).expect("readable");
    for secret in [token.reveal(), "correct horse"] {
        assert!(!database.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_wrong_attempts_at_once_are_counted_as_many() {
    let (access, _dir) = with_password("correct horse").await;
    let access = access.expect("opens");
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let access = access.clone();
        attempts.spawn(async move { access.sign_in("admin", "wrong horse", HERE).await });
    }
    let outcomes = attempts.join_all().await;
    let wrong = outcomes.iter().filter(|outcome| matches!(outcome, Err(SignInError::Wrong))).count();
    let throttled =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(SignInError::Throttled(_)))).count();
    assert_eq!((wrong, throttled), (5, 7));
    assert!(matches!(access.sign_in("admin", "correct horse", HERE).await, Err(SignInError::Throttled(_))));
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    access.sign_in("admin", "correct horse", elsewhere).await.expect("another address is not held up");
}

#[tokio::test]
async fn basic_credentials_pay_once() {
    let (access, _dir) = with_password("correct horse").await;
    let access = access.expect("opens");
    access.by_password("admin", "correct horse", HERE).await.expect("right");
    let turns = access.0.passwords.hold_all().await;
    for _ in 0..100 {
        access.by_password("admin", "correct horse", HERE).await.expect("known");
    }
    drop(turns);
    assert!(matches!(access.by_password("admin", "wrong horse", HERE).await, Err(SignInError::Wrong)));
}

/// A caller with each kind of credential of user `eve`, an operator.
async fn callers(access: &Access) -> Vec<Caller> {
    let browser = Browser { address: HERE, user_agent: "", token: None };
    let password = access.by_password("eve", "correct horse", HERE).await.expect("right");
    let token = access.authenticate("eve", "correct horse", HERE).await.expect("right");
    let session = access.begin_session("eve", "correct horse", browser).await.expect("right");
    let (name, actor) = (Uuid::new_v4().to_string(), Actor::new("eve", HERE));
    let tomorrow = OffsetDateTime::now_utc() + time::Duration::DAY;
    let (_, key) = access.add_key(&name, Role::Operator, tomorrow, &password, &actor).await.expect("made");
    let mut callers = vec![password];
    for token in [token.reveal(), key.reveal()] {
        callers.push(access.by_token(token, HERE).await.expect("works").expect("valid"));
    }
    let session = access.by_session(session.reveal(), HERE, Presence::Page).await.expect("works");
    callers.push(session.expect("valid"));
    callers
}

#[tokio::test]
async fn what_another_console_does_to_a_user_ends_what_the_user_has_open_here() {
    let (here, _dir) = with_password("correct horse").await;
    let here = here.expect("opens");
    let there = Access::open(here.0.store.clone(), &first(None)).await.expect("opens");
    let actor = Actor::console();
    let password = Zeroizing::new("another horse".to_owned());
    for deed in ["role", "password", "removal"] {
        there.add_user("eve", "correct horse", Role::Operator, &actor).await.expect("added");
        for caller in callers(&here).await {
            assert!(here.lasts(&caller).await.expect("works"), "{caller:?} before another {deed}");
        }
        let callers = callers(&here).await;
        let ends: Vec<_> = callers.iter().map(|caller| here.until_ended(caller)).collect();
        match deed {
            "role" => {
                drop(there.change_user("eve", None, Some(Role::Viewer), &actor).await.expect("changed"))
            }
            "password" => {
                drop(there.change_user("eve", Some(&password), None, &actor).await.expect("changed"));
            }
            _ => there.remove_user("eve", &actor).await.expect("removed"),
        }
        // What the minute's look does, now.
        here.0.endings.send_replace(());
        for (caller, ended) in callers.iter().zip(ends) {
            let is_key = matches!(caller.by, Credential::Key(_));
            if is_key && deed == "password" {
                assert!(here.lasts(caller).await.expect("works"), "a key does not hang on the password");
                continue;
            }
            tokio::time::timeout(Duration::from_secs(20), ended)
                .await
                .unwrap_or_else(|_| panic!("{caller:?} after another {deed}"));
        }
        if deed != "removal" {
            there.remove_user("eve", &actor).await.expect("removed");
        }
    }
}

#[tokio::test]
async fn what_was_opened_with_a_token_ends_with_the_life_of_the_token() {
    let (access, _dir) = with_password("correct horse").await;
    let access = access.expect("opens");
    let token = access.authenticate("admin", "correct horse", HERE).await.expect("right");
    let caller = access.by_token(token.reveal(), HERE).await.expect("works").expect("valid");
    let ended = access.until_ended(&caller);
    assert!(access.lasts(&caller).await.expect("works"));
    // Half an hour goes by.
    sqlx::query("UPDATE tokens SET expires_at = expires_at - 1800000")
        .execute(access.0.store.pool())
        .await
        .expect("changed");
    access.0.endings.send_replace(());
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("ends");
}
