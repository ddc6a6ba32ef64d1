//! Which folders to watch, and the inotify watches on them.

use std::path::Path;
use std::time::Duration;

/// The watched folders of a program.
#[derive(Debug)]
pub(crate) struct Folders;

impl Folders {
    /// Watches.
    pub(crate) fn new(_dirs: &[&Path], _poll: Duration) -> Self {
        Self
    }
}
