//! Tests of history and of the pace of the writer, on a real database file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::message::Report;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::super::fleet::FleetRows;
use super::super::writer::Writer;
use super::*;
use crate::config::Database;
use crate::fleet::SessionHandle;

async fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&Database::Embedded(dir.path().join("console.db"))).await.expect("opens")
}

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000) + time::Duration::seconds(second)
}

fn begun(second: i64) -> Connection {
    let address = "192.0.2.7".to_owned();
    Connection { connected_at: at(second), disconnected_at: None, cause: None, address }
}

fn ended(second: i64, end: i64) -> Connection {
    Connection { disconnected_at: Some(at(end)), cause: Some("it's \0 over".to_owned()), ..begun(second) }
}

const DEFENDER: Uuid = Uuid::from_u128(1);

/// Runs a writer beside `work`, and stops it after.
async fn beside_writer<T>(store: &Store, work: impl AsyncFnOnce(&Writer) -> T) -> T {
    let (writer, task) = Writer::new(store.clone(), &[]);
    let stop = CancellationToken::new();
    let work = async {
        let done = work(&writer).await;
        stop.cancel();
        done
    };
    let both = async { tokio::join!(work, task.run(stop.clone())) };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("stops").0
}

async fn all(store: &Store) -> Vec<Connection> {
    store.connections(DEFENDER, "", 0, 1000).await.expect("reads").0
}

#[tokio::test]
async fn a_reader_sees_at_once_what_would_be_written_later() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    beside_writer(&store, async |writer| {
        writer.connection(DEFENDER, begun(1));
        writer.settle_history().await;
        assert_eq!(all(&store).await, [begun(1)]);
        writer.connection(DEFENDER, ended(1, 5));
        writer.connection(DEFENDER, begun(6));
        writer.settle_history().await;
        let shown = all(&store).await;
        assert_eq!((shown.len(), &shown[0], shown[1].disconnected_at), (2, &begun(6), Some(at(5))));
        assert_eq!(shown[1].cause.as_deref(), Some("it's \u{fffd} over"));
        let (found, total) = store.connections(DEFENDER, "OVER", 0, 10).await.expect("reads");
        assert_eq!((found.len(), total), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn what_nobody_reads_is_on_disk_after_a_stop() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    beside_writer(&store, async |writer| writer.connection(DEFENDER, ended(1, 2))).await;
    assert_eq!(all(&store).await.len(), 1);
}

#[tokio::test]
async fn a_defender_that_comes_and_goes_leaves_its_newest_connections_only() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    beside_writer(&store, async |writer| {
        for round in 0..30 {
            for one in 0..10 {
                writer.connection(DEFENDER, begun(round * 10 + one));
            }
            writer.settle_history().await;
        }
        let kept = all(&store).await;
        let most = 100 + usize::try_from(CROWD).expect("small");
        assert!((100..=most).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept[0], begun(299));
    })
    .await;
}

#[tokio::test]
async fn connections_that_a_killed_console_left_open_end_with_the_last_contact() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    let insert = "INSERT INTO defenders (id, hostname, version, os, kernel, arch, address, certificate_source, \
        certificate_not_after, certificate_sha256, first_seen, last_seen, last_seq) \
        VALUES ($1, '', '', '', '', '', '', '', 0, '', 0, $2, 0)";
    let query = sqlx::query(insert).bind(DEFENDER.to_string()).bind(milliseconds(at(50)));
    query.execute(store.pool()).await.expect("inserts");
    let mut history = HistoryRows::default();
    // The last contact of the second was never written.
    [begun(10), ended(1, 2), begun(60)].into_iter().for_each(|one| history.connection(DEFENDER, one));
    store.write_fleet(&FleetRows { history, ..FleetRows::default() }).await.expect("writes");
    beside_writer(&store, async |writer| {
        writer.connection(DEFENDER, Connection { connected_at: OffsetDateTime::now_utc(), ..begun(0) });
        writer.settle_history().await;
    })
    .await;
    let ends: Vec<_> = all(&store).await.into_iter().map(|one| (one.disconnected_at, one.cause)).collect();
    let stopped = || Some(STOPPED.to_owned());
    assert_eq!(ends[..3], [(None, None), (Some(at(60)), stopped()), (Some(at(50)), stopped())]);
    assert_eq!(ends[3].0, Some(at(2)));
}

#[tokio::test]
async fn counts_are_kept_for_a_week_and_shown_in_steps() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    let mut history = HistoryRows::default();
    for minute in 0..60 {
        history.sample(Sample { time: at(minute * 60), connected: minute.unsigned_abs(), disconnected: 1 });
    }
    store.write_fleet(&FleetRows { history, ..FleetRows::default() }).await.expect("writes");
    let step = time::Duration::minutes(10);
    let shown = store.samples(at(20 * 60), step).await.expect("reads");
    assert_eq!(shown.iter().map(|sample| sample.connected).collect::<Vec<_>>(), [59, 49, 39, 29]);
    store.prune_history(at(30 * 60) + time::Duration::days(8)).await.expect("prunes");
    assert_eq!(store.samples(at(0), step).await.expect("reads").len(), 3);
}

#[tokio::test]
async fn rotations_and_refusals_are_found_by_any_text_of_them_and_wildcards_are_texts() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    let change = |second, error: Option<&str>| CertificateChange {
        time: at(second),
        channel: "console-https".to_owned(),
        outcome: if error.is_some() { "refused" } else { "rotated" }.to_owned(),
        source: error.is_none().then(|| "custom".to_owned()),
        not_after: error.is_none().then(|| at(99)),
        sha256: error.is_none().then(|| "ab".repeat(32)),
        error: error.map(str::to_owned),
        remedy: None,
    };
    beside_writer(&store, async |writer| {
        for one in [change(1, None), change(2, Some("100 % wrong' OR 1=1 --")), change(3, None)] {
            writer.certificate_change(one);
        }
    })
    .await;
    let find = async |needle: &str| store.certificate_changes(needle, 0, 50).await.expect("reads").0;
    assert_eq!(find("").await, [change(3, None), change(2, Some("100 % wrong' OR 1=1 --")), change(1, None)]);
    assert_eq!((find("%").await.len(), find("ABAB").await.len(), find("' OR 1").await.len()), (1, 2, 1));
    assert_eq!((find("_").await.len(), find("\\").await.len()), (0, 0));
    let (page, total) = store.certificate_changes("", 1, 1).await.expect("reads");
    assert_eq!((page, total), (vec![change(2, Some("100 % wrong' OR 1=1 --"))], 3));
}

/// The same load as 10,000 Defenders that report within a minute, and connect, in a twentieth of the time.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_defenders_cost_at_most_one_transaction_every_100_ms() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    let start = Instant::now();
    let before = store.transactions();
    beside_writer(&store, async |writer| {
        let mut sessions = Vec::new();
        for batch in 0..100_u128 {
            for one in 0..100 {
                let id = Uuid::from_u128(batch * 100 + one);
                let session = Arc::new(SessionHandle::new(id, 1, 0, at(0)));
                let body = RawValue::from_string("{}".to_owned()).expect("JSON");
                let report = Report { seq: 1, kind: "host".to_owned(), body };
                writer.connection(id, begun(1));
                writer.seen(id, at(2));
                writer.report(Arc::clone(&session), report, OffsetDateTime::now_utc()).await.expect("open");
                sessions.push(session);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        for session in sessions {
            while session.stored() < 1 {
                session.woken().await;
            }
        }
        writer.settle_history().await;
        assert_eq!((writer.figures().stored, writer.figures().waiting), (10_000, 0));
    })
    .await;
    let transactions = u128::from(store.transactions() - before);
    // Those of the start, and of the last history.
    let most = start.elapsed().as_millis() / 100 + 3;
    assert!(transactions <= most, "{transactions} in {:?}", start.elapsed());
    assert!(transactions > 5, "{transactions} in {:?}", start.elapsed());
    let rows: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM connections").fetch_one(store.pool()).await.expect("counts");
    assert_eq!(rows, 10_000);
}
