//! The one writer of fleet state: reports and what Defenders said of themselves, committed in groups.
//!
//! A group is whatever has come in while the last one was written, and groups start at least `PACE` apart, so
//! that a whole fleet costs the database ten transactions a second; after a quiet moment a report is written
//! at once. A report is acknowledged after its group is on disk. While the database cannot write, the group is
//! tried again until it can: sessions wait, nothing is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::message::Report;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::figures::{Counters, Figures};
use super::fleet::{CertificateSeen, Decommission, FleetRows, ReportRow};
use super::history::{CROWD, CertificateChange, Connection, HistoryRows, Sample};
use super::hosts::HostReports;
use super::{Store, StoreError};
use crate::fleet::{Record, SessionHandle};

/// Hands things to the writer. Clones share it.
#[derive(Debug, Clone)]
pub struct Writer {
    reports: mpsc::Sender<Pending>,
    /// What is left for bodies of reports, in KiB.
    room: Arc<Semaphore>,
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
    /// Connections of each Defender since its oldest were last removed.
    connections: HashMap<Uuid, u32>,
    /// When history is written next, however busy the writer is.
    next_history: Instant,
    /// Connections that began before are over.
    started_at: OffsetDateTime,
}

/// A report on its way to the disk.
#[derive(Debug)]
struct Pending {
    session: Arc<SessionHandle>,
    report: Report,
    received_at: OffsetDateTime,
    /// Held until the report is on disk.
    room: OwnedSemaphorePermit,
}

/// Who waits for a report to be on disk, and the room that the report takes until then.
type Waiting = (Arc<SessionHandle>, OwnedSemaphorePermit);

/// What changed of Defenders since the last group: one entry each at most, so its size is the fleet's.
#[derive(Debug, Default)]
struct Dirty {
    changes: Mutex<Changes>,
    wake: Notify,
    counters: Counters,
    hosts: HostReports,
}

#[derive(Debug, Default)]
struct Changes {
    records: HashMap<Uuid, Record>,
    seen: HashMap<Uuid, OffsetDateTime>,
    /// Each with who waits for it.
    decommissions: Vec<(Decommission, oneshot::Sender<()>)>,
    certificates_seen: Vec<CertificateSeen>,
    history: HistoryRows,
    /// Who waits for history to be on disk. With nobody here it may wait, so that a herd is not slowed down by it.
    readers: Vec<oneshot::Sender<()>>,
    /// Whether there is history that must not be lost.
    is_urgent: bool,
}

impl Writer {
    /// A writer for `store`, which holds `records`; run the task.
    #[must_use]
    pub fn new(store: Store, records: &[Record]) -> (Self, WriterTask) {
        let (sender, reports) = mpsc::channel(QUEUE);
        let dirty = Arc::new(Dirty::default());
        let last_seqs = records.iter().map(|record| (record.defender.id, record.last_seq)).collect();
        let task = WriterTask {
            store,
            reports,
            dirty: Arc::clone(&dirty),
            last_seqs,
            connections: HashMap::new(),
            next_history: Instant::now() + CALM,
            started_at: OffsetDateTime::now_utc(),
        };
        let room = Arc::new(Semaphore::new(usize::from(ROOM_KIB)));
        (Self { reports: sender, room, dirty }, task)
    }

    /// Keeps what a Defender said of itself.
    pub fn hello(&self, record: Record) {
        self.dirty.change(|changes| {
            changes.seen.remove(&record.defender.id);
            changes.records.insert(record.defender.id, record);
        });
    }

    /// Keeps that a Defender has shown a custom certificate; written with the next group.
    pub fn certificate_seen(&self, seen: CertificateSeen) {
        self.dirty.change(|changes| changes.certificates_seen.push(seen));
    }

    /// Keeps when a Defender was last heard; written with the next group, within `CALM` at the latest.
    pub fn seen(&self, id: Uuid, at: OffsetDateTime) {
        self.dirty.lock().seen.insert(id, at);
    }

    /// Keeps that a connection began or ended; written within `CALM`, or when somebody reads.
    pub fn connection(&self, defender: Uuid, connection: Connection) {
        self.dirty.lock().history.connection(defender, connection);
    }

    /// Keeps how many Defenders there are; written within `CALM`, or when somebody reads.
    pub fn sample(&self, sample: Sample) {
        self.dirty.lock().history.sample(sample);
    }

    /// Keeps a rotation or a refusal; written with the next group.
    pub fn certificate_change(&self, change: CertificateChange) {
        self.dirty.change(|changes| {
            changes.history.change(change);
            changes.is_urgent = true;
        });
    }

    /// Returns once the history so far is on disk, or the database does not take it for a while.
    pub async fn settle_history(&self) {
        let (done, settled) = oneshot::channel();
        {
            let mut changes = self.dirty.lock();
            if changes.history.is_empty() && changes.readers.is_empty() {
                return;
            }
            changes.readers.push(done);
        }
        self.dirty.wake.notify_one();
        // Late history is better than none.
        let _ = tokio::time::timeout(SETTLE, settled).await;
    }

    /// Keeps a report once there is room for it; the session learns when it is on disk.
    ///
    /// # Errors
    /// [`WriterGone`] when the Console stops.
    pub async fn report(
        &self,
        session: Arc<SessionHandle>,
        report: Report,
        received_at: OffsetDateTime,
    ) -> Result<(), WriterGone> {
        // Never more than all the room; and a writer that is gone has dropped what it held. Nobody waits for ever.
        let kib = u16::try_from(report.body.get().len().div_ceil(1024)).unwrap_or(ROOM_KIB).max(1);
        let room = Arc::clone(&self.room).acquire_many_owned(kib.into()).await.map_err(|_| WriterGone)?;
        self.reports.send(Pending { session, report, received_at, room }).await.map_err(|_| WriterGone)
    }

    /// Whose host reports have reached the disk.
    #[must_use]
    pub fn host_reports(&self) -> &HostReports {
        &self.dirty.hosts
    }

    /// What was done so far, and what waits.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.dirty.counters.figures(self.reports.max_capacity() - self.reports.capacity())
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

impl Changes {
    /// Whether nothing is there that has waited for a calm moment.
    fn has_nothing_calm(&self) -> bool {
        self.seen.is_empty() && self.history.is_empty()
    }
}

impl Dirty {
    fn change(&self, change: impl FnOnce(&mut Changes)) {
        change(&mut self.lock());
        self.wake.notify_one();
    }

    /// What is to be written now; history stays unless `with_history`, somebody waits for it, or it is urgent.
    fn take(&self, with_history: bool) -> Changes {
        let mut changes = self.lock();
        let mut taken = std::mem::take(&mut *changes);
        if !(with_history || taken.is_urgent || !taken.readers.is_empty()) {
            changes.history = std::mem::take(&mut taken.history);
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriterTask {
    /// Writes until `shutdown`, then once more what is left.
    pub async fn run(mut self, shutdown: CancellationToken) {
        if let Err(error) = self.store.end_connections(self.started_at).await {
            tracing::warn!(error = lifecycle::logging::error_chain(&error), "Cannot end old connections");
        }
        let mut next_group = Instant::now();
        let mut next_prune = Instant::now() + FIRST_PRUNE;
        let mut pending = Vec::new();
        loop {
            let stopping = tokio::select! {
                received = self.reports.recv_many(&mut pending, GROUP) => received == 0,
                () = self.dirty.wake.notified() => false,
                () = tokio::time::sleep_until(self.next_history) => {
                    if self.dirty.lock().has_nothing_calm() {
                        self.next_history = Instant::now() + CALM;
                        continue;
                    }
                    false
                }
                () = tokio::time::sleep_until(next_prune) => {
                    next_prune = Instant::now() + PRUNE_EVERY;
                    self.store.prune(OffsetDateTime::now_utc()).await;
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
            let written = self.write(std::mem::take(&mut pending), stopping, &shutdown).await;
            if stopping || !written {
                return;
            }
        }
    }

    /// Writes one group, and tries again until it is written. `false` when the Console stops before.
    async fn write(&mut self, pending: Vec<Pending>, stopping: bool, shutdown: &CancellationToken) -> bool {
        self.dirty.counters.take_in_hand(pending.len());
        let with_history = stopping || Instant::now() >= self.next_history;
        if with_history {
            self.next_history = Instant::now() + CALM;
        }
        // The reports were taken before the changes are: a report's Defender is in the table by then.
        let mut changes = self.dirty.take(with_history);
        let (rows, waiting) = self.rows(pending, &mut changes);
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
        let now = OffsetDateTime::now_utc();
        for report in &rows.reports {
            // Negative when the clock was set back.
            let delay = Duration::try_from(now - report.received_at).unwrap_or_default();
            self.dirty.counters.count(delay);
        }
        self.dirty.counters.take_in_hand(0);
        let hosts = rows.reports.iter().filter(|report| report.kind == "host");
        self.dirty.hosts.note(hosts.map(|report| report.defender));
        for (id, seq) in &rows.last_seqs {
            self.last_seqs.insert(*id, *seq);
        }
        drop(rows.reports);
        for (session, _room) in waiting {
            if let Some(seq) = self.last_seqs.get(&session.defender()) {
                session.store_up_to(*seq);
            }
        }
        let decommissioned = changes.decommissions.drain(..).map(|(_, done)| done);
        for done in decommissioned.chain(changes.readers.drain(..)) {
            // The caller may have gone away; what is written stands.
            let _ = done.send(());
        }
        true
    }

    /// What goes to the tables, each report once, however often it was sent; and who waits for it.
    fn rows(&mut self, pending: Vec<Pending>, changes: &mut Changes) -> (FleetRows, Vec<Waiting>) {
        let mut history = std::mem::take(&mut changes.history);
        history.crowded = self.crowded(&history);
        let mut rows = FleetRows {
            history,
            records: changes.records.values().cloned().collect(),
            seen: changes.seen.iter().map(|(id, at)| (*id, *at)).collect(),
            decommissions: changes.decommissions.iter().map(|(item, _)| item.clone()).collect(),
            certificates_seen: std::mem::take(&mut changes.certificates_seen),
            ..FleetRows::default()
        };
        let mut waiting = Vec::with_capacity(pending.len());
        for Pending { session, report, received_at, room } in pending {
            let id = session.defender();
            let on_disk = self.last_seqs.get(&id).copied().unwrap_or(0);
            let last_seq = rows.last_seqs.entry(id).or_insert(on_disk);
            if report.seq > *last_seq {
                *last_seq = report.seq;
                rows.reports.push(ReportRow {
                    defender: id,
                    seq: report.seq,
                    kind: report.kind,
                    received_at,
                    body: Box::<str>::from(report.body).into_string(),
                });
            }
            waiting.push((session, room));
        }
        (rows, waiting)
    }

    /// The Defenders that have connected so often that their oldest connections are to be removed.
    fn crowded(&mut self, history: &HistoryRows) -> Vec<Uuid> {
        let mut crowded = Vec::new();
        for id in history.begun() {
            let count = self.connections.entry(id).or_default();
            *count += 1;
            if *count >= CROWD {
                *count = 0;
                crowded.push(id);
            }
        }
        crowded
    }
}

/// What reports that are not on disk may take together, 64 MiB: compressed, a large one costs its sender next to nothing.
/// Small ones never meet it.
const ROOM_KIB: u16 = u16::MAX;

/// Reports that wait for the disk; when it is full, sessions stop reading from their peers.
const QUEUE: usize = 8192;

/// Most reports in one transaction.
const GROUP: usize = 4096;

/// Shortest time between the starts of two transactions.
const PACE: Duration = Duration::from_millis(100);

/// Times of last contact and history that nobody waits for may be this late on disk.
const CALM: Duration = Duration::from_secs(10);

/// How long a reader of history waits for what is not on disk yet.
const SETTLE: Duration = Duration::from_secs(2);

/// Time between attempts to write while the database cannot.
const RETRY: Duration = Duration::from_secs(1);

/// Also a Console that is often started anew removes what is old.
const FIRST_PRUNE: Duration = Duration::from_secs(60);

const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
