//! Waiting for files to appear, for a Defender that has nothing to connect with yet; and looking at them where the
//! storage may hang.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::folders::Folders;
use crate::settle::Timing;
use crate::storage::{self, Meanwhile};

/// Notices when files in some directories may have changed. The directories need not exist.
#[derive(Debug)]
pub struct Watch {
    folders: Arc<Folders>,
    /// The directories, as a log line names them.
    place: String,
    meanwhile: Meanwhile,
    /// Whether it was told that the directories take their time.
    is_slow: bool,
    events: watch::Receiver<u64>,
    /// How many events had happened when the last look began.
    handled: u64,
    timing: Timing,
    next_poll: Instant,
}

impl Watch {
    /// Watches `dirs` from the first look on; `poll` is the longest time between two returns of [`Watch::changed`].
    #[must_use]
    pub fn new(dirs: &[&Path], poll: Duration, meanwhile: Meanwhile) -> Self {
        let folders = Folders::new(dirs, poll);
        let (events, timing) = (folders.events(), Timing::polling(poll));
        let names = dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>();
        Self {
            folders: Arc::new(folders),
            place: names.join(" or "),
            meanwhile,
            is_slow: false,
            events,
            handled: 0,
            timing,
            next_poll: Instant::now() + timing.poll,
        }
    }

    /// Does `work`, which looks at the directories, off the runtime's threads, for as long as it takes. What changes
    /// after it has begun makes [`Watch::changed`] return.
    pub async fn look<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.handled = *self.events.borrow_and_update();
        let folders = Arc::clone(&self.folders);
        let work = move || {
            folders.arm();
            work()
        };
        let seen = storage::look(&self.place, self.meanwhile, &mut self.is_slow, work).await;
        self.next_poll = Instant::now() + self.timing.poll;
        seen
    }

    /// Returns when something in one of the directories may have changed since the last look, and it has been quiet
    /// for a moment; or when it is time to look in any case. Cancel-safe: the next call returns for what happened
    /// before it was dropped.
    pub async fn changed(&mut self) {
        while *self.events.borrow_and_update() == self.handled {
            tokio::select! {
                changed = self.events.changed() => if changed.is_err() { break },
                () = sleep_until(self.next_poll) => return,
            }
        }
        self.quiet().await;
    }

    /// Waits until events have stopped, but not for ever.
    async fn quiet(&mut self) {
        let end = Instant::now() + self.timing.busy;
        loop {
            let quiet = (Instant::now() + self.timing.quiet).min(end);
            tokio::select! {
                _ = self.events.changed() => {}
                () = sleep_until(quiet) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stranger::Folder;

    /// Longer than any test.
    const NEVER: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn returns_when_files_appear_in_any_of_the_directories() {
        let folder = Folder::new();
        folder.shell("mkdir bundle");
        let dirs = [folder.at("bundle"), folder.at("custom")];
        let mut watch = Watch::new(&[&dirs[0], &dirs[1]], NEVER, Meanwhile::Waits);
        for deed in ["touch bundle/x", "mkdir custom", "touch custom/y", "rm -r custom", "echo z > bundle/x"]
        {
            watch.look(|| ()).await;
            folder.shell(deed);
            tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.expect(deed);
        }
    }

    #[tokio::test]
    async fn an_event_is_not_lost_when_the_wait_is_dropped() {
        let folder = Folder::new();
        let mut watch = Watch::new(&[folder.path()], NEVER, Meanwhile::Waits);
        watch.look(|| ()).await;
        folder.shell("touch x");
        for _ in 0..3 {
            let dropped = tokio::time::timeout(Duration::from_millis(50), watch.changed()).await;
            assert!(dropped.is_err(), "it must be quiet for longer");
        }
        tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.expect("still known");
    }

    #[tokio::test]
    async fn returns_when_it_is_time_to_look_in_any_case() {
        let folder = Folder::new();
        let mut watch = Watch::new(&[folder.path()], Duration::from_millis(300), Meanwhile::Waits);
        let polled = tokio::time::timeout(Duration::from_secs(20), watch.changed());
        polled.await.expect("a poll without an event");
    }
}
