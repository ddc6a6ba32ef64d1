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
        Self { folders, events, handled, timing: Timing::polling(poll), next_poll: Instant::now() + poll }
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
