//! Waiting for files to appear, for a Defender that has nothing yet.

use std::path::Path;
use std::time::Duration;

/// Notices when files in some directories may have changed.
#[derive(Debug)]
pub struct Watch;

impl Watch {
    /// Watches `dirs`; `poll` is the longest time between two returns of [`Watch::changed`].
    #[must_use]
    pub fn new(_dirs: &[&Path], _poll: Duration) -> Self {
        Self
    }

    /// Returns when files in one of the directories may have changed. Cancel-safe.
    pub async fn changed(&mut self) {
        unimplemented!()
    }
}
