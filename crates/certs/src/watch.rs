//! Waiting for files to appear, for a Defender that has nothing to connect with yet.

use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::folders::Folders;
use crate::settle::Timing;

/// Notices when files in some directories may have changed. The directories need not exist.
#[derive(Debug)]
pub struct Watch {
    folders: Folders,
    events: watch::Receiver<u64>,
    /// How many events had happened when [`Watch::changed`] last returned.
    handled: u64,
    timing: Timing,
    next_poll: Instant,
}

impl Watch {
    /// Watches `dirs`; `poll` is the longest time between two returns of [`Watch::changed`].
    #[must_use]
    pub fn new(dirs: &[&Path], poll: Duration) -> Self {
        let folders = Folders::new(dirs, poll);
        let events = folders.events();
        let handled = *events.borrow();
        let timing = Timing::polling(poll);
        Self { folders, events, handled, timing, next_poll: Instant::now() + timing.poll }
    }

    /// Returns when something in one of the directories may have changed since the last return, and it has been
    /// quiet for a moment; or when it is time to look in any case. Cancel-safe: what happened before it was
    /// dropped makes the next call return.
    pub async fn changed(&mut self) {
        // A watch that was added is no event: the caller has looked already, but maybe before it was there.
        let is_new = self.folders.arm();
        while !is_new && *self.events.borrow_and_update() == self.handled {
            tokio::select! {
                changed = self.events.changed() => if changed.is_err() { break },
                () = sleep_until(self.next_poll) => break,
            }
        }
        if Instant::now() < self.next_poll {
            self.quiet().await;
        }
        self.folders.arm();
        self.handled = *self.events.borrow_and_update();
        self.next_poll = Instant::now() + self.timing.poll;
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
        let mut watch = Watch::new(&[&dirs[0], &dirs[1]], NEVER);
        for deed in ["touch bundle/x", "mkdir custom", "touch custom/y", "rm -r custom", "echo z > bundle/x"]
        {
            folder.shell(deed);
            tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.expect(deed);
        }
    }

    #[tokio::test]
    async fn an_event_is_not_lost_when_the_wait_is_dropped() {
        let folder = Folder::new();
        let mut watch = Watch::new(&[folder.path()], NEVER);
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
        let mut watch = Watch::new(&[folder.path()], Duration::from_millis(300));
        let polled = tokio::time::timeout(Duration::from_secs(20), watch.changed());
        polled.await.expect("a poll without an event");
    }
}
