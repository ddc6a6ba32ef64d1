//! Tests of `desk.rs`.

use protocol::command::{LOG, LogArgs, LogPage, RESTART};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;

fn session() -> Arc<SessionHandle> {
    Arc::new(SessionHandle::new(Uuid::new_v4(), 1, 0, OffsetDateTime::UNIX_EPOCH))
}

fn result(id: Uuid, ok: bool, body: &Value) -> CommandResult {
    CommandResult { id, ok, body: to_raw_value(body).expect("JSON") }
}

/// Asks for the log, and answers with `body`.
async fn answered(ok: bool, body: Value) -> Result<LogPage, CommandError> {
    let session = session();
    let args = LogArgs::default();
    let asking = session.command::<_, LogPage>(LOG, &args, Duration::from_secs(60));
    let answering = async {
        session.woken().await;
        let command = session.next_command().expect("to be sent");
        assert_eq!(command.name, LOG);
        assert!(!session.answer(result(Uuid::new_v4(), true, &json!({}))), "nobody waits for that one");
        assert!(session.answer(result(command.id, ok, &body)));
        assert!(!session.answer(result(command.id, ok, &body)), "only once");
    };
    tokio::join!(asking, answering).0
}

#[tokio::test]
async fn a_result_reaches_who_asked_and_nonsense_is_told_apart() {
    let boot = Uuid::new_v4();
    let page = answered(true, json!({"boot": boot, "lines": [{"n": 7, "text": "x"}], "next": 7})).await;
    assert_eq!(page.map(|page| (page.boot, page.next, page.more)), Ok((boot, 7, false)));
    for nonsense in [json!(null), json!([]), json!({"lines": 5}), json!("\u{0}")] {
        assert_eq!(answered(true, nonsense).await, Err(CommandError::Nonsense));
    }
    assert_eq!(answered(false, json!({"error": "unknown command log"})).await, Err(CommandError::TooOld));
    let long = format!("no\n{}", "x".repeat(9000));
    let Err(CommandError::Refused(told)) = answered(false, json!({ "error": long })).await else {
        panic!("not refused")
    };
    assert!(told.starts_with("nox") && told.len() == LONGEST_REASON, "{told}");
    assert!(matches!(answered(false, json!(5)).await, Err(CommandError::Refused(_))));
}

#[tokio::test]
async fn a_defender_that_does_not_answer_is_not_waited_for_and_leaves_nothing_behind() {
    let session = session();
    let patience = Duration::from_millis(20);
    let asked = session.command::<_, Value>(RESTART, &(), patience).await;
    assert_eq!(asked, Err(CommandError::TimedOut(patience)));
    assert!(matches!(*session.desk(), Place::Free), "nothing is kept");
    assert!(session.next_command().is_none(), "what was not sent is not sent any more");
}

#[tokio::test]
async fn when_the_session_ends_all_who_wait_are_told_and_nobody_can_ask_any_more() {
    let session = session();
    let patience = Duration::from_secs(60);
    let asking = session.command::<_, Value>(RESTART, &(), patience);
    let ending = async {
        session.woken().await;
        session.hang_up();
    };
    assert_eq!(tokio::join!(asking, ending).0, Err(CommandError::Gone));
    assert_eq!(session.command::<_, Value>(RESTART, &(), patience).await, Err(CommandError::Gone));
}

#[tokio::test]
async fn so_many_commands_at_once_and_no_more() {
    let session = session();
    let patience = Duration::from_secs(60);
    let mut asking = Vec::new();
    for _ in 0..MOST_AT_ONCE {
        let mut one = Box::pin(session.command::<_, Value>(RESTART, &(), patience));
        tokio::select! {
            biased;
            _ = &mut one => panic!("nobody has answered"),
            () = async {} => {}
        }
        asking.push(one);
    }
    assert_eq!(session.command::<_, Value>(RESTART, &(), patience).await, Err(CommandError::Busy));
    asking.pop();
    let sent: Vec<Command> = std::iter::from_fn(|| session.next_command()).collect();
    assert_eq!(sent.len(), MOST_AT_ONCE - 1, "what was given up before it was sent is not sent");
    drop(asking);
    assert!(matches!(*session.desk(), Place::Taken(_)), "the Defender still works on them");
    for command in sent {
        assert!(session.answer(result(command.id, true, &json!({}))));
    }
    assert!(matches!(*session.desk(), Place::Free));
}
