//! Tests of `queue.rs`: any sequence of appends, acknowledgements, starts and crashes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SMALL: Limits = Limits { segment_bytes: 400, total_bytes: 4000 };

fn open(dir: &Path) -> Queue {
    Queue::open(dir, SMALL).expect("opens")
}

fn numbers(queue: &mut Queue, after: u64) -> Vec<u64> {
    let (records, unreadable) = queue.read_after(after, usize::MAX, usize::MAX);
    assert_eq!(unreadable, [0_u64; 0]);
    records.iter().map(|record| record.seq).collect()
}

fn append(queue: &mut Queue, kind: &str, body: &str) -> u64 {
    queue.append(&[(kind, body)]).1.expect("stored")
}

#[test]
fn numbers_go_on_after_everything_was_acknowledged_and_deleted() {
    let dir = tempfile::tempdir().expect("directory");
    let body = format!("\"{}\"", "x".repeat(300));
    let mut queue = open(dir.path());
    for seq in 1..=10 {
        assert_eq!(append(&mut queue, "host", &body), seq);
    }
    queue.acknowledge(10).expect("acknowledged");
    assert_eq!(queue.total_bytes(), 0);
    let mut queue = open(dir.path());
    assert_eq!(numbers(&mut queue, 0), [0_u64; 0]);
    assert_eq!(append(&mut queue, "host", "1"), 11);
}

#[test]
fn a_console_that_is_ahead_moves_the_numbers_for_good() {
    let dir = tempfile::tempdir().expect("directory");
    let mut queue = open(dir.path());
    append(&mut queue, "host", "1");
    queue.resume(41).expect("resumed");
    let mut queue = open(dir.path());
    assert_eq!(append(&mut queue, "host", "2"), 42);
    assert_eq!(numbers(&mut queue, 41), [42]);
}

#[test]
fn a_number_whose_record_had_begun_is_not_given_again() {
    let dir = tempfile::tempdir().expect("directory");
    let mut queue = open(dir.path());
    append(&mut queue, "host", "1");
    append(&mut queue, "host", "2");
    let path = queue.segments[0].path.clone();
    let length = fs::metadata(&path).expect("there").len();
    OpenOptions::new().write(true).open(&path).expect("opens").set_len(length - 1).expect("cut");
    for _ in 0..2 {
        let mut queue = open(dir.path());
        assert_eq!(numbers(&mut queue, 0), [1]);
        assert_eq!(queue.next_seq, 3);
    }
}

#[test]
fn a_damaged_record_in_the_middle_costs_only_itself() {
    let dir = tempfile::tempdir().expect("directory");
    let mut queue = open(dir.path());
    for _ in 0..3 {
        append(&mut queue, "host", "1");
    }
    let path = queue.segments[0].path.clone();
    let mut bytes = fs::read(&path).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).expect("written");
    let (records, unreadable) = queue.read_after(0, 10, 1000);
    assert_eq!((records.len(), unreadable), (2, vec![2]));
    assert_eq!(numbers(&mut open(dir.path()), 0), [1, 3]);
}

#[test]
fn statuses_go_before_audits_and_the_oldest_first() {
    let dir = tempfile::tempdir().expect("directory");
    let mut queue = open(dir.path());
    let body = format!("\"{}\"", "x".repeat(60));
    let mut dropped = Dropped::default();
    for seq in 1..=100_u64 {
        let kind = if seq % 2 == 0 { "audit.login" } else { "host" };
        let (more, stored) = queue.append(&[(kind, &body)]);
        stored.expect("stored");
        dropped.audits += more.audits;
        dropped.statuses += more.statuses;
        assert!(queue.total_bytes() <= SMALL.total_bytes);
    }
    let left = numbers(&mut queue, 0);
    assert_eq!(left.len() + dropped.audits + dropped.statuses, 100);
    let oldest_status = left.iter().find(|seq| *seq % 2 == 1).copied().unwrap_or(101);
    let audits: Vec<u64> = left.iter().copied().filter(|seq| seq % 2 == 0).collect();
    // Audits are whole from the first one left on: none went from the middle while a status was there.
    let first_audit = audits.first().copied().expect("audits are left");
    assert_eq!(audits, (first_audit..=100).step_by(2).collect::<Vec<_>>());
    assert!(first_audit < oldest_status, "{left:?}");
    assert_eq!(numbers(&mut open(dir.path()), 0), left);
}

#[test]
fn a_write_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().expect("directory");
    let mut queue = open(dir.path());
    append(&mut queue, "host", "1");
    queue.active = File::open(&queue.segments[0].path).expect("read only");
    assert!(queue.append(&[("host", "2")]).1.is_err());
    assert_eq!(queue.last_seq(), 1);
    queue.active = OpenOptions::new().append(true).open(&queue.segments[0].path).expect("opens");
    assert_eq!(append(&mut queue, "host", "3"), 2);
    assert_eq!(numbers(&mut open(dir.path()), 0), [1, 2]);
}

#[test]
fn strange_files_are_left_alone_and_cut_off_writes_are_cleared() {
    let dir = tempfile::tempdir().expect("directory");
    for name in ["notes.txt", "1.log", "x0000000000000000000.log", "00000000000000000001.log.tmp"] {
        fs::write(dir.path().join(name), "x").expect("written");
    }
    let mut queue = open(dir.path());
    assert_eq!(append(&mut queue, "host", "1"), 1);
    assert!(dir.path().join("notes.txt").exists() && dir.path().join("1.log").exists());
    assert!(!dir.path().join("00000000000000000001.log.tmp").exists());
}

#[derive(Debug, Clone)]
enum Step {
    Acknowledge(u64),
    Append(Vec<(bool, usize)>),
    /// A crash while a batch was written: this many bytes of it reached the disk.
    Crash(Vec<(bool, usize)>, usize),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let batch = || proptest::collection::vec((any::<bool>(), 0_usize..150), 1..4);
    prop_oneof![
        (0_u64..12).prop_map(Step::Acknowledge),
        batch().prop_map(Step::Append),
        batch().prop_map(Step::Append),
        (batch(), 0_usize..600).prop_map(|(batch, bytes)| Step::Crash(batch, bytes)),
        Just(Step::Reopen),
    ]
}

fn contents(batch: &[(bool, usize)]) -> Vec<(&'static str, String)> {
    batch
        .iter()
        .map(|(audit, size)| (if *audit { "audit" } else { "host" }, format!("\"{}\"", "b".repeat(*size))))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn nothing_synced_is_lost_no_number_is_given_twice_and_order_and_bound_hold(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let dir = tempfile::tempdir().expect("directory");
        let mut queue = open(dir.path());
        let mut synced: BTreeMap<u64, (&str, String)> = BTreeMap::new();
        let (mut given, mut acknowledged, mut dropped) = (0, 0, 0);
        for step in steps {
            match step {
                Step::Acknowledge(ahead) => {
                    acknowledged = (acknowledged + ahead).min(given);
                    queue.acknowledge(acknowledged).expect("acknowledged");
                }
                Step::Append(batch) => {
                    let batch = contents(&batch);
                    let reports: Vec<(&str, &str)> = batch.iter().map(|(kind, body)| (*kind, &**body)).collect();
                    let (more, first) = queue.append(&reports);
                    let first = first.expect("stored");
                    prop_assert!(first > given);
                    given = queue.last_seq();
                    dropped += more.audits + more.statuses;
                    synced.extend((first..).zip(batch));
                }
                Step::Crash(batch, bytes) => {
                    let mut torn = Vec::new();
                    for (seq, (kind, body)) in (given + 1..).zip(contents(&batch)) {
                        segment::push(&mut torn, seq, kind, &body).expect("short");
                    }
                    torn.truncate(bytes.min(torn.len() - 1));
                    queue.active.write_all(&torn).expect("written");
                    queue = open(dir.path());
                    let mut whole = segment::scan(&torn).records.len();
                    for (seq, report) in (given + 1..).zip(contents(&batch)) {
                        if whole > 0 {
                            synced.insert(seq, report);
                            whole -= 1;
                        }
                    }
                    given = queue.last_seq();
                }
                Step::Reopen => queue = open(dir.path()),
            }
            prop_assert!(queue.total_bytes() <= SMALL.total_bytes + 600);
            prop_assert_eq!(queue.last_seq(), given);
            let (records, unreadable) = queue.read_after(acknowledged, usize::MAX, usize::MAX);
            prop_assert_eq!(unreadable.len(), 0);
            let expected = synced.range(acknowledged + 1..).count();
            let found: BTreeMap<u64, _> = records.iter().map(|record| (record.seq, record)).collect();
            prop_assert!(records.is_sorted_by_key(|record| record.seq));
            for (seq, record) in &found {
                let (kind, body) = &synced[seq];
                prop_assert_eq!((*kind, &**body), (&*record.kind, record.body.get()));
            }
            prop_assert!(found.len() + dropped >= expected, "lost without being counted");
        }
    }
}
