//! The one writer of fleet state: reports and what Defenders said of themselves, committed in groups.
//!
//! A group is whatever has come in while the last one was written, and groups start at least `PACE` apart, so
//! that a whole fleet costs the database ten transactions a second; after a quiet moment a report is written
//! at once. A report is acknowledged after its group is on disk. While the database cannot write, the group is
//! tried again until it can: sessions wait, nothing is lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::message::Report;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fleet::{Decommission, FleetRows, ReportRow};
use super::{Store, StoreError};
use crate::fleet::{Record, SessionHandle};

/// Hands things to the writer. Clones share it.
#[derive(Debug, Clone)]
pub struct Writer {
    reports: mpsc::Sender<Pending>,
    dirty: Arc<Dirty>,
}

/// The Console stops: nothing more is stored.
#[derive(Debug, Error)]
#[error("the store is closed")]
pub struct WriterGone;

/// The half that writes.
#[derive(Debug)]
pub struct WriterTask {
    store: Store,
    reports: mpsc::Receiver<Pending>,
    dirty: Arc<Dirty>,
    /// The highest report number on disk for each Defender: what is at or below it is not stored again.
    last_seqs: HashMap<Uuid, u64>,
}

/// A report on its way to the disk.
#[derive(Debug)]
struct Pending {
    session: Arc<SessionHandle>,
    report: Report,
    received_at: OffsetDateTime,
}

/// What changed of Defenders since the last group: one entry each at most, so its size is the fleet's.
#[derive(Debug, Default)]
struct Dirty {
    changes: Mutex<Changes>,
    wake: Notify,
    /// Reports stored so far.
    stored: AtomicU64,
}

#[derive(Debug, Default)]
struct Changes {
    records: HashMap<Uuid, Record>,
    seen: HashMap<Uuid, OffsetDateTime>,
    /// Each with who waits for it.
    decommissions: Vec<(Decommission, oneshot::Sender<()>)>,
}

impl Writer {
    /// A writer for `store`, which holds `records`; run the task.
    #[must_use]
    pub fn new(store: Store, records: &[Record]) -> (Self, WriterTask) {
        let (sender, reports) = mpsc::channel(QUEUE);
        let dirty = Arc::new(Dirty::default());
        let last_seqs = records.iter().map(|record| (record.defender.id, record.last_seq)).collect();
        let task = WriterTask { store, reports, dirty: Arc::clone(&dirty), last_seqs };
        (Self { reports: sender, dirty }, task)
    }

    /// Keeps what a Defender said of itself.
    pub fn hello(&self, record: Record) {
        self.dirty.change(|changes| {
            changes.seen.remove(&record.defender.id);
            changes.records.insert(record.defender.id, record);
        });
    }

    /// Keeps when a Defender was last heard; written with the next group, within `SEEN_EVERY` at the latest.
    pub fn seen(&self, id: Uuid, at: OffsetDateTime) {
        self.dirty.lock().seen.insert(id, at);
    }

    /// Keeps a report; the session learns when it is on disk.
    ///
    /// # Errors
    /// [`WriterGone`] when the Console stops.
    pub async fn report(
        &self,
        session: Arc<SessionHandle>,
        report: Report,
        received_at: OffsetDateTime,
    ) -> Result<(), WriterGone> {
        self.reports.send(Pending { session, report, received_at }).await.map_err(|_| WriterGone)
    }

    /// Reports stored since the start.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.dirty.stored.load(Ordering::Relaxed)
    }

    /// Returns once the decommission is on disk.
    ///
    /// # Errors
    /// When the Console stops before.
    pub async fn decommission(&self, decommission: Decommission) -> Result<(), StoreError> {
        let (done, stored) = oneshot::channel();
        self.dirty.change(|changes| changes.decommissions.push((decommission, done)));
        stored.await.map_err(|_| StoreError::Closed)
    }
}

impl Dirty {
    fn change(&self, change: impl FnOnce(&mut Changes)) {
        change(&mut self.lock());
        self.wake.notify_one();
    }

    fn take(&self) -> Changes {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriterTask {
    /// Writes until `shutdown`, then once more what is left.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut next_group = Instant::now();
        let mut next_prune = Instant::now() + PRUNE_EVERY;
        let mut next_seen = Instant::now() + SEEN_EVERY;
        let mut pending = Vec::new();
        loop {
            let stopping = tokio::select! {
                received = self.reports.recv_many(&mut pending, GROUP) => received == 0,
                () = self.dirty.wake.notified() => false,
                () = tokio::time::sleep_until(next_seen) => {
                    next_seen = Instant::now() + SEEN_EVERY;
                    if self.dirty.lock().seen.is_empty() {
                        continue;
                    }
                    false
                }
                () = tokio::time::sleep_until(next_prune) => {
                    next_prune = Instant::now() + PRUNE_EVERY;
                    self.prune().await;
                    continue;
                }
                () = shutdown.cancelled() => true,
            };
            if !stopping {
                tokio::select! {
                    () = tokio::time::sleep_until(next_group) => {}
                    () = shutdown.cancelled() => {}
                }
            }
            next_group = Instant::now() + PACE;
            while pending.len() < GROUP {
                let Ok(report) = self.reports.try_recv() else { break };
                pending.push(report);
            }
            let written = self.write(&mut pending, &shutdown).await;
            if stopping || !written {
                return;
            }
        }
    }

    /// Writes one group, and tries again until it is written. `false` when the Console stops before.
    async fn write(&mut self, pending: &mut Vec<Pending>, shutdown: &CancellationToken) -> bool {
        // The reports were taken before the changes are: a report's Defender is in the table by then.
        let mut changes = self.dirty.take();
        let rows = self.rows(pending, &changes);
        let mut last_fault = String::new();
        while let Err(error) = self.store.write_fleet(&rows).await {
            let fault = lifecycle::logging::error_chain(&error);
            if fault != last_fault {
                tracing::error!(
                    error = fault,
                    remedy = "make room on the disk or bring the database back; the write is tried again every second",
                    "Cannot write to the database, reports wait"
                );
                last_fault = fault;
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = shutdown.cancelled() => return false,
            }
        }
        let stored = u64::try_from(rows.reports.len()).unwrap_or(u64::MAX);
        self.dirty.stored.fetch_add(stored, Ordering::Relaxed);
        for (id, seq) in &rows.last_seqs {
            self.last_seqs.insert(*id, *seq);
        }
        for Pending { session, .. } in pending.drain(..) {
            if let Some(seq) = self.last_seqs.get(&session.defender()) {
                session.store_up_to(*seq);
            }
        }
        for (_, done) in changes.decommissions.drain(..) {
            // The caller may have gone away; the decommission stands.
            let _ = done.send(());
        }
        true
    }

    /// What goes to the tables: each report once, however often it was sent.
    fn rows(&self, pending: &[Pending], changes: &Changes) -> FleetRows {
        let mut rows = FleetRows {
            records: changes.records.values().cloned().collect(),
            seen: changes.seen.iter().map(|(id, at)| (*id, *at)).collect(),
            decommissions: changes.decommissions.iter().map(|(item, _)| item.clone()).collect(),
            ..FleetRows::default()
        };
        for Pending { session, report, received_at } in pending {
            let id = session.defender();
            let on_disk = self.last_seqs.get(&id).copied().unwrap_or(0);
            let last_seq = rows.last_seqs.entry(id).or_insert(on_disk);
            if report.seq > *last_seq {
                *last_seq = report.seq;
                rows.reports.push(ReportRow {
                    defender: id,
                    seq: report.seq,
                    kind: report.kind.clone(),
                    received_at: *received_at,
                    body: report.body.get().to_owned(),
                });
            }
        }
        rows
    }

    async fn prune(&self) {
        let before = OffsetDateTime::now_utc() - KEEP_REPORTS;
        if let Err(error) = self.store.prune_reports(before).await {
            tracing::warn!(error = lifecycle::logging::error_chain(&error), "Cannot remove old reports");
        }
    }
}

/// Reports that wait for the disk; when it is full, sessions stop reading from their peers.
const QUEUE: usize = 8192;

/// Most reports in one transaction.
const GROUP: usize = 4096;

/// Shortest time between the starts of two transactions.
const PACE: Duration = Duration::from_millis(100);

/// A time of last contact that nobody waits for may be this late on disk.
const SEEN_EVERY: Duration = Duration::from_secs(10);

/// Time between attempts to write while the database cannot.
const RETRY: Duration = Duration::from_secs(1);

const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);

/// How long reports are kept; the newest host report of a Defender stays.
const KEEP_REPORTS: time::Duration = time::Duration::days(30);
