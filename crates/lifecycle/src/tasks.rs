//! Named tasks with one owner. The only place that spawns: so a stop can say what is still running, and a task
//! that the program cannot do without never dies silently.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns and counts tasks. Clones share the count.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    /// How many run under each name.
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    /// Cancelled when a critical task ends before it should.
    lost: CancellationToken,
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` under `name` until it returns.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let running = Running::enter(&self.running, name);
        // Not an `async` block: it would keep room for `future` twice, as what it captured and as what it awaits.
        tokio::spawn(self.tracker.track_future(future.map(move |output| {
            drop(running);
            output
        })))
    }

    /// Runs `future`, which must not end before `shutdown` is cancelled; if it does, by returning or by a
    /// panic, that is logged and [`Tasks::lost`] returns.
    pub fn spawn_critical<F>(&self, name: &'static str, shutdown: CancellationToken, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let lost = Lost { name, shutdown, lost: self.lost.clone() };
        self.spawn(name, future.map(move |()| drop(lost)));
    }

    /// Returns once a critical task has ended early. Cancel-safe.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Waits for all tasks to return, at most `deadline`; names those that did not in a warning. They end with
    /// the runtime.
    pub async fn drain(&self, deadline: Duration) {
        self.tracker.close();
        if tokio::time::timeout(deadline, self.tracker.wait()).await.is_err() {
            let left = self.lock().iter().map(|(name, count)| format!("{name}={count}")).collect::<Vec<_>>();
            tracing::warn!(tasks = left.join(","), "Tasks did not stop in time and are cut off");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.lock().iter()).finish()
    }
}

/// Counts a task from its start to its end, also when it panics.
struct Running {
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    name: &'static str,
}

impl Running {
    fn enter(running: &Arc<Mutex<BTreeMap<&'static str, usize>>>, name: &'static str) -> Self {
        *running.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        Self { running: Arc::clone(running), name }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
    }
}

/// Reports the end of a critical task.
struct Lost {
    name: &'static str,
    shutdown: CancellationToken,
    lost: CancellationToken,
}

impl Drop for Lost {
    fn drop(&mut self) {
        if !self.shutdown.is_cancelled() {
            tracing::error!(task = self.name, "A task that the program cannot do without has ended");
            self.lost.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_critical_task_that_panics_is_noticed() {
        let tasks = Tasks::new();
        tasks.spawn_critical("doomed", CancellationToken::new(), async { panic!("on purpose") });
        tasks.lost().await;
    }

    #[tokio::test]
    async fn a_critical_task_that_ends_after_shutdown_is_not_lost() {
        let tasks = Tasks::new();
        let shutdown = CancellationToken::new();
        tasks.spawn_critical("orderly", shutdown.clone(), {
            let shutdown = shutdown.clone();
            async move { shutdown.cancelled().await }
        });
        shutdown.cancel();
        tasks.drain(Duration::from_secs(5)).await;
        assert!(!tasks.lost.is_cancelled());
        assert_eq!(format!("{tasks:?}"), "{}");
    }
}
