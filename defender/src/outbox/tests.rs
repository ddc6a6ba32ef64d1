//! Tests of `mod.rs`: the handle.

use std::time::Duration;

use super::*;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

fn open(dir: &Path, tasks: &Tasks, shutdown: &CancellationToken) -> Outbox {
    Outbox::open(dir, Limits::default(), tasks, shutdown.clone()).expect("opens")
}

#[tokio::test]
async fn a_report_can_be_read_as_soon_as_its_number_is_known_and_until_it_is_acknowledged() {
    let (dir, tasks, shutdown) =
        (tempfile::tempdir().expect("directory"), Tasks::new(), CancellationToken::new());
    let outbox = open(dir.path(), &tasks, &shutdown);
    assert_eq!(outbox.append("host", raw("{\"a\": 1}")).await.expect("stored"), 1);
    assert_eq!(outbox.append("host", raw("2")).await.expect("stored"), 2);
    assert_eq!(*outbox.stored().borrow(), 2);
    let reports = outbox.read_after(0, 10).await;
    assert_eq!(
        reports.iter().map(|r| (r.seq, r.body.get())).collect::<Vec<_>>(),
        [(1, "{\"a\": 1}"), (2, "2")]
    );
    outbox.acknowledge(1).await;
    assert_eq!(outbox.read_after(0, 10).await.first().map(|report| report.seq), Some(2));
    shutdown.cancel();
    drop(outbox);
    tasks.drain(Duration::from_secs(5)).await;

    let (tasks, shutdown) = (Tasks::new(), CancellationToken::new());
    let outbox = open(dir.path(), &tasks, &shutdown);
    outbox.resume(1).await;
    assert_eq!(outbox.read_after(0, 10).await.len(), 1);
    assert_eq!(outbox.append("host", raw("3")).await.expect("stored"), 3);
    shutdown.cancel();
}

#[tokio::test]
async fn a_console_that_lost_what_it_had_acknowledged_is_noticed_once_each_time() {
    let (dir, tasks, shutdown) =
        (tempfile::tempdir().expect("directory"), Tasks::new(), CancellationToken::new());
    let outbox = open(dir.path(), &tasks, &shutdown);
    for number in 1..=3 {
        outbox.append("host", raw(&number.to_string())).await.expect("stored");
    }
    outbox.resume(3).await;
    assert_eq!(*outbox.lost().borrow(), 0);
    outbox.resume(1).await;
    assert_eq!(*outbox.lost().borrow(), 1);
    assert_eq!(outbox.read_after(1, 10).await.len(), 0, "what was acknowledged is gone");
    assert_eq!(outbox.append("host", raw("4")).await.expect("stored"), 4);
    assert_eq!(outbox.read_after(1, 10).await.first().map(|report| report.seq), Some(4), "and it goes on");
    shutdown.cancel();
}

#[tokio::test]
async fn reports_that_wait_together_get_numbers_in_order() {
    let (dir, tasks, shutdown) =
        (tempfile::tempdir().expect("directory"), Tasks::new(), CancellationToken::new());
    let outbox = open(dir.path(), &tasks, &shutdown);
    let appends = (0..200).map(|n| {
        let outbox = outbox.clone();
        async move { (n, outbox.append("host", raw(&n.to_string())).await.expect("stored")) }
    });
    let stored = futures_util::future::join_all(appends).await;
    let mut after = 0;
    for report in std::iter::from_fn(|| Some(())).take(4) {
        let () = report;
        for report in outbox.read_after(after, 64).await {
            assert_eq!(report.seq, after + 1);
            after = report.seq;
            let number: u64 = report.body.get().parse().expect("a number");
            assert!(stored.contains(&(number, report.seq)));
        }
    }
    assert_eq!(after, 200);
    shutdown.cancel();
}

#[tokio::test]
async fn a_report_that_no_message_can_carry_is_refused() {
    let (dir, tasks, shutdown) =
        (tempfile::tempdir().expect("directory"), Tasks::new(), CancellationToken::new());
    let outbox = open(dir.path(), &tasks, &shutdown);
    let big = raw(&format!("\"{}\"", "x".repeat(MAX_MESSAGE_BYTES)));
    let error = outbox.append("host", big).await.expect_err("too big");
    assert!(matches!(error, AppendError::TooBig { .. }), "{error}");
    let fits = raw(&format!("\"{}\"", "x".repeat(MAX_MESSAGE_BYTES - ENVELOPE_BYTES - 6)));
    let report = Report { seq: u64::MAX, kind: "host".to_owned(), body: fits.clone() };
    outbox.append("host", fits).await.expect("fits");
    use protocol::message::Message;
    let message = protocol::ToConsole::Report(report).to_tagged().expect("JSON");
    assert!(message.len() <= MAX_MESSAGE_BYTES);
    shutdown.cancel();
}
