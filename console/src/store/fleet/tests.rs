//! Tests of `fleet.rs` and `writer.rs` on a real database file.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use protocol::message::Report;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::super::writer::Writer;
use super::*;
use crate::config::Database;
use crate::fleet::SessionHandle;

fn record(number: u128) -> Record {
    let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
    Record {
        defender: DefenderIdentity {
            id: Uuid::from_u128(number),
            hostname: format!("host-{number}'; DROP TABLE defenders; --"),
            version: "0.1.0".to_owned(),
            os: "Debian".to_owned(),
            kernel: "6.1".to_owned(),
            arch: "x86_64".to_owned(),
            cluster: number.is_multiple_of(2).then(|| format!("cluster-{number}")),
        },
        certificate: CertificateSummary {
            source: CertificateSource::Custom,
            not_after: now,
            sha256: "ab".repeat(32),
        },
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        first_seen: now,
        last_seen: now,
        last_seq: 0,
        decommissioned_at: None,
    }
}

fn report(seq: u64) -> Report {
    let body = RawValue::from_string(format!("{{\"n\":{seq}}}")).expect("JSON");
    Report { seq, kind: "host".to_owned(), body }
}

async fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&Database::Embedded(dir.path().join("console.db"))).await.expect("opens")
}

async fn count_reports(store: &Store) -> i64 {
    sqlx::query("SELECT COUNT(*) FROM reports")
        .fetch_one(store.pool())
        .await
        .and_then(|row| row.try_get(0))
        .expect("counts")
}

#[tokio::test]
async fn more_defenders_than_fit_one_statement_come_back_as_they_were_written() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    let mut records: Vec<Record> = (1..=1201).map(record).collect();
    store.write_fleet(&FleetRows { records: records.clone(), ..FleetRows::default() }).await.expect("writes");
    let mut read = store.defenders().await.expect("reads");
    read.sort_by_key(|record| record.defender.id);
    records.sort_by_key(|record| record.defender.id);
    assert_eq!(read, records);
}

fn deed(id: Uuid) -> Deed {
    use crate::store::audits::{Action, Actor};
    let (actor, action) = (Actor::console(), Action::Decommissioned);
    Deed { actor, action, object: id.to_string(), old: Value::Null, new: Value::Null }
}

#[tokio::test]
async fn a_new_hello_keeps_what_is_on_disk_of_reports_and_decommission() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    let first = record(1);
    let id = first.defender.id;
    let rows = FleetRows {
        records: vec![first.clone()],
        last_seqs: HashMap::from([(id, 42)]),
        decommissions: vec![Decommission { id, at: first.last_seen, deed: deed(id) }],
        ..FleetRows::default()
    };
    store.write_fleet(&rows).await.expect("writes");
    store
        .write_fleet(&FleetRows { records: vec![first.clone()], ..FleetRows::default() })
        .await
        .expect("writes");
    let read = store.defenders().await.expect("reads").remove(0);
    assert_eq!((read.last_seq, read.decommissioned_at), (42, Some(first.last_seen)));
}

#[tokio::test]
async fn each_report_is_stored_once_and_acknowledged_only_when_it_is_on_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    let (writer, task) = Writer::new(store.clone(), &[]);
    let stop = CancellationToken::new();
    let client = async {
        let session = Arc::new(SessionHandle::new(Uuid::from_u128(1), 1, 0, OffsetDateTime::UNIX_EPOCH));
        writer.hello(record(1));
        for seq in [1, 2, 3, 2, 3, 1, 4] {
            writer.report(Arc::clone(&session), report(seq), OffsetDateTime::UNIX_EPOCH).await.expect("open");
        }
        while session.stored() < 4 {
            session.woken().await;
        }
        assert_eq!(count_reports(&store).await, 4);
        stop.cancel();
    };
    tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(client, task.run(stop.clone())) })
        .await
        .expect("stops");
    assert_eq!(store.defenders().await.expect("reads").remove(0).last_seq, 4);
}

#[tokio::test]
async fn large_reports_wait_for_room_and_all_reach_the_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    let (writer, task) = Writer::new(store.clone(), &[]);
    let stop = CancellationToken::new();
    let session = Arc::new(SessionHandle::new(Uuid::from_u128(1), 1, 0, OffsetDateTime::UNIX_EPOCH));
    let largest = "9".repeat(protocol::MAX_MESSAGE_BYTES);
    let send = |seq| {
        let body = RawValue::from_string(largest.clone()).expect("JSON");
        let report = Report { seq, kind: "large".to_owned(), body };
        writer.report(Arc::clone(&session), report, OffsetDateTime::UNIX_EPOCH)
    };
    let mut queued = 0;
    while let Some(taken) = tokio::task::unconstrained(send(queued + 1)).now_or_never() {
        taken.expect("open");
        queued += 1;
    }
    assert_eq!(queued, 63, "64 MiB are the end, although the queue has places left");
    let client = async {
        for seq in queued + 1..=3 * queued {
            send(seq).await.expect("open");
        }
        while session.stored() < 3 * queued {
            session.woken().await;
        }
        stop.cancel();
    };
    tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(client, task.run(stop.clone())) })
        .await
        .expect("stops");
    assert_eq!(count_reports(&store).await, i64::try_from(3 * queued).expect("few"));
}

#[tokio::test]
async fn who_waits_for_room_learns_that_the_writer_is_gone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (writer, task) = Writer::new(open(&dir).await, &[]);
    let session = Arc::new(SessionHandle::new(Uuid::from_u128(1), 1, 0, OffsetDateTime::UNIX_EPOCH));
    // More than all the room: no Defender can send it, and even so it does not wait for ever.
    let whole = RawValue::from_string("9".repeat(65 << 20)).expect("JSON");
    let whole = Report { seq: 1, kind: "large".to_owned(), body: whole };
    writer.report(Arc::clone(&session), whole, OffsetDateTime::UNIX_EPOCH).await.expect("open");
    let mut waits = Box::pin(writer.report(session, report(2), OffsetDateTime::UNIX_EPOCH));
    assert!(waits.as_mut().now_or_never().is_none());
    drop(task);
    assert!(tokio::time::timeout(Duration::from_secs(20), waits).await.expect("returns").is_err());
}

#[tokio::test]
async fn a_report_repeated_after_a_restart_is_acknowledged_and_not_stored_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    let known = Record { last_seq: 7, ..record(1) };
    let (writer, task) = Writer::new(store.clone(), std::slice::from_ref(&known));
    let stop = CancellationToken::new();
    let client = async {
        let session = Arc::new(SessionHandle::new(known.defender.id, 1, 0, OffsetDateTime::UNIX_EPOCH));
        writer.report(Arc::clone(&session), report(6), OffsetDateTime::UNIX_EPOCH).await.expect("open");
        while session.stored() < 7 {
            session.woken().await;
        }
        assert_eq!(count_reports(&store).await, 0);
        stop.cancel();
    };
    tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(client, task.run(stop.clone())) })
        .await
        .expect("stops");
}

#[tokio::test]
async fn old_reports_go_but_the_newest_host_report_of_each_defender_stays() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(&dir).await;
    let row = |seq, kind: &str| ReportRow {
        defender: Uuid::from_u128(1),
        seq,
        kind: kind.to_owned(),
        received_at: OffsetDateTime::UNIX_EPOCH,
        body: "{}".to_owned(),
    };
    let reports = vec![row(1, "host"), row(2, "host"), row(3, "audit")];
    store.write_fleet(&FleetRows { reports, ..FleetRows::default() }).await.expect("writes");
    store.prune_reports(OffsetDateTime::UNIX_EPOCH + time::Duration::DAY).await.expect("prunes");
    assert_eq!(count_reports(&store).await, 1);
    let newest = store.newest_report(Uuid::from_u128(1), "host").await.expect("reads");
    assert_eq!(newest, Some(("{}".to_owned(), OffsetDateTime::UNIX_EPOCH)));
}
