//! Reports that the Console has not acknowledged yet, on disk in `<data-dir>/outbox`.
//!
//! ```text
//! mod.rs       the handle, and the loop that owns the files
//! queue.rs     append, acknowledge, read, bound: the files as one queue
//! segment.rs   how one file looks
//! ```
//!
//! A report is synced to disk before anyone can send it, so its number is never given twice, also after a loss of
//! power. At most 64 MiB are kept: the oldest status reports go first, audits (kind `audit…`) last.

mod queue;
mod segment;

use std::path::{Path, PathBuf};

use lifecycle::Tasks;
use lifecycle::logging::error_chain;
use protocol::MAX_MESSAGE_BYTES;
use protocol::message::Report;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use queue::{Dropped, Queue};

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A file that would grow beyond this is followed by a new one.
    pub segment_bytes: usize,
    /// All files together.
    pub total_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segment_bytes: 4 * 1024 * 1024, total_bytes: 64 * 1024 * 1024 }
    }
}

/// Why the directory cannot be used.
#[derive(Debug, Error)]
#[error("opening unsent reports {path}")]
pub struct OpenError {
    /// The directory or the file.
    pub path: PathBuf,
    /// What the system says.
    #[source]
    pub source: std::io::Error,
}

/// Why a report was not taken.
#[derive(Debug, Error)]
pub enum AppendError {
    /// The program stops.
    #[error("the outbox is closed")]
    Closed,
    /// The disk did not take it; logged once, by the outbox.
    #[error("writing a report to disk")]
    Disk(#[source] std::io::Error),
    /// No Console would take it.
    #[error("a {kind} report of {bytes} bytes is over the limit of a message, {MAX_MESSAGE_BYTES}")]
    TooBig {
        /// What is reported.
        kind: String,
        /// Its length.
        bytes: usize,
    },
}

/// A handle to the outbox; clones share it.
#[derive(Debug, Clone)]
pub struct Outbox {
    requests: mpsc::Sender<Request>,
    /// The highest number that is on disk.
    stored: watch::Receiver<u64>,
    /// How often the Console had less than it had acknowledged.
    lost: watch::Receiver<u64>,
}

impl Outbox {
    /// Opens the directory and starts the task that owns it; it ends when the last handle is dropped. Blocking.
    ///
    /// # Errors
    /// [`OpenError`] when a file of the directory cannot be read or written. Damaged content is no error.
    pub fn open(
        dir: &Path,
        limits: Limits,
        tasks: &Tasks,
        shutdown: CancellationToken,
    ) -> Result<Self, OpenError> {
        let queue = Queue::open(dir, limits)?;
        let (stored_sender, stored) = watch::channel(queue.last_seq());
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let (lost_sender, lost) = watch::channel(0);
        let dir = dir.to_owned();
        tasks.spawn_critical("outbox", shutdown, async move {
            let owner = Owner { dir, queue, stored: stored_sender, lost: lost_sender, disk: Disk::Good };
            // A panic in there ends this task, which is critical: it does not go unnoticed.
            let _ = tokio::task::spawn_blocking(move || owner.run(receiver)).await;
        });
        Ok(Self { requests, stored, lost })
    }

    /// Stores a report and returns its number once it is on disk.
    ///
    /// # Errors
    /// [`AppendError`]; the report is not stored then. Not cancel-safe: a dropped call may have stored it.
    pub async fn append(&self, kind: &str, body: Box<RawValue>) -> Result<u64, AppendError> {
        let bytes = body.get().len() + kind.len() + ENVELOPE_BYTES;
        if bytes > MAX_MESSAGE_BYTES {
            return Err(AppendError::TooBig { kind: kind.to_owned(), bytes });
        }
        let (done, answer) = oneshot::channel();
        let request = Request::Append { kind: kind.to_owned(), body, done };
        self.requests.send(request).await.map_err(|_| AppendError::Closed)?;
        answer.await.map_err(|_| AppendError::Closed)?.map_err(AppendError::Disk)
    }

    /// The Console has everything up to `seq`.
    pub async fn acknowledge(&self, seq: u64) {
        // Closed: the program stops, and `welcome` of the next process says it again.
        let _ = self.requests.send(Request::Acknowledge(seq)).await;
    }

    /// The Console says in `welcome` where it is: what it has is forgotten, and later reports get higher numbers.
    pub async fn resume(&self, last_seq: u64) {
        let (done, answer) = oneshot::channel();
        if self.requests.send(Request::Resume { last_seq, done }).await.is_ok() {
            let _ = answer.await;
        }
    }

    /// Rises whenever the Console has less than it had acknowledged, as after a restore: what it should know is to be
    /// reported again.
    #[must_use]
    pub fn lost(&self) -> watch::Receiver<u64> {
        self.lost.clone()
    }

    /// Up to `count` reports behind number `after`, in order. Empty when there are none, and when the program stops.
    /// Cancel-safe.
    pub async fn read_after(&self, after: u64, count: usize) -> Vec<Report> {
        let (done, answer) = oneshot::channel();
        if self.requests.send(Request::Read { after, count, done }).await.is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }

    /// The highest number on disk, and every later one.
    #[must_use]
    pub fn stored(&self) -> watch::Receiver<u64> {
        self.stored.clone()
    }
}

#[derive(Debug)]
enum Request {
    Acknowledge(u64),
    Append { kind: String, body: Box<RawValue>, done: oneshot::Sender<std::io::Result<u64>> },
    Read { after: u64, count: usize, done: oneshot::Sender<Vec<Report>> },
    Resume { last_seq: u64, done: oneshot::Sender<()> },
}

/// Whether the last write went well: a fault is logged when it begins and when it is over, not each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Faulty,
    Good,
}

/// Owns the files.
struct Owner {
    dir: PathBuf,
    queue: Queue,
    stored: watch::Sender<u64>,
    lost: watch::Sender<u64>,
    disk: Disk,
}

type Waiting = (String, Box<RawValue>, oneshot::Sender<std::io::Result<u64>>);

impl Owner {
    /// Serves requests until the last handle is dropped. Reports that wait together are synced together.
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.blocking_recv() {
            let mut appends: Vec<Waiting> = Vec::new();
            let mut next = Some(request);
            while let Some(request) = next.take() {
                match request {
                    Request::Append { kind, body, done } => appends.push((kind, body, done)),
                    other => self.serve(other),
                }
                if appends.len() < REQUESTS {
                    next = requests.try_recv().ok();
                }
            }
            if !appends.is_empty() {
                self.append(appends);
            }
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Acknowledge(seq) => {
                let result = self.queue.acknowledge(seq);
                self.note(result);
            }
            Request::Append { .. } => {}
            Request::Read { after, count, done } => {
                let _ = done.send(self.read(after, count));
            }
            Request::Resume { last_seq, done } => {
                if last_seq < self.queue.acknowledged() {
                    let acknowledged = self.queue.acknowledged();
                    tracing::warn!(
                        last_seq,
                        acknowledged,
                        "The Console has fewer reports than it had acknowledged: it was restored from a backup"
                    );
                    self.lost.send_modify(|times| *times += 1);
                }
                let result = self.queue.resume(last_seq);
                self.note(result);
                self.stored.send_replace(self.queue.last_seq());
                let _ = done.send(());
            }
        }
    }

    fn append(&mut self, waiting: Vec<Waiting>) {
        let reports: Vec<(&str, &str)> =
            waiting.iter().map(|(kind, body, _)| (&**kind, body.get())).collect();
        let (dropped, stored) = self.queue.append(&reports);
        self.warn_of(dropped);
        match stored {
            Ok(first) => {
                self.note(Ok(()));
                self.stored.send_replace(self.queue.last_seq());
                for (seq, (_, _, done)) in (first..).zip(waiting) {
                    let _ = done.send(Ok(seq));
                }
            }
            Err(error) => {
                for (_, _, done) in waiting {
                    let _ = done.send(Err(copy(&error)));
                }
                self.note(Err(error));
            }
        }
    }

    fn read(&mut self, after: u64, count: usize) -> Vec<Report> {
        let (records, unreadable) = self.queue.read_after(after, count, MAX_MESSAGE_BYTES);
        if !unreadable.is_empty() {
            tracing::warn!(
                path = %self.dir.display(),
                reports = unreadable.len(),
                remedy = "check the disk",
                "Unsent reports can no longer be read from disk and are skipped"
            );
        }
        records.into_iter().map(|r| Report { seq: r.seq, kind: r.kind, body: r.body }).collect()
    }

    fn warn_of(&self, dropped: Dropped) {
        if dropped != Dropped::default() {
            tracing::warn!(
                path = %self.dir.display(),
                statuses = dropped.statuses,
                audits = dropped.audits,
                remedy = "bring back the connection to the Console",
                "Too many unsent reports: the oldest are dropped"
            );
        }
    }

    fn note(&mut self, result: std::io::Result<()>) {
        let path = self.dir.display();
        match (self.disk, result) {
            (Disk::Good, Err(error)) => {
                self.disk = Disk::Faulty;
                tracing::error!(
                    path = %path,
                    error = error_chain(&error),
                    remedy = "make room on the disk and keep the directory writable; nothing else needs to be done",
                    "Cannot store unsent reports"
                );
            }
            (Disk::Faulty, Ok(())) => {
                self.disk = Disk::Good;
                tracing::info!(path = %path, "Unsent reports can be stored again");
            }
            _ => {}
        }
    }
}

/// Each waiting caller gets the error of their common write.
fn copy(error: &std::io::Error) -> std::io::Error {
    match error.raw_os_error() {
        Some(code) => std::io::Error::from_raw_os_error(code),
        None => std::io::Error::new(error.kind(), error.to_string()),
    }
}

/// How many requests wait at most; senders wait when it is full.
const REQUESTS: usize = 64;

/// What a message has beside kind and body, generously.
const ENVELOPE_BYTES: usize = 80;

#[cfg(test)]
mod tests;
