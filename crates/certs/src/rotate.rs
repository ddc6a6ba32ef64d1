//! One loop per channel.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::channel::Channel;
use crate::custom::CustomDir;
use crate::error::CertError;
use crate::material::Material;
use crate::publish::Subscriber;
use crate::source::Source;

/// What came of a change, for events and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The new files were refused; what runs goes on.
    Refused {
        /// Whose files.
        channel: Channel,
        /// Why.
        error: String,
        /// What to do about it.
        remedy: String,
    },
    /// The channel uses another set now.
    Rotated {
        /// Which channel.
        channel: Channel,
        /// Where the set comes from.
        source: Source,
        /// Its number.
        generation: u64,
        /// When its leaf expires.
        not_after: OffsetDateTime,
        /// SHA-256 of its leaf.
        sha256: String,
    },
}

/// A channel's loop.
#[derive(Debug)]
pub struct Rotation<T> {
    build: fn(&Material) -> Result<T, CertError>,
}

impl<T: Send + Sync + 'static> Rotation<T> {
    /// Publishes the first value.
    ///
    /// # Errors
    /// From `build`.
    pub fn start(
        _channel: Channel,
        _dir: &CustomDir,
        _custom: Option<Material>,
        _fallback: watch::Receiver<Arc<Material>>,
        _build: fn(&Material) -> Result<T, CertError>,
    ) -> Result<(Subscriber<T>, Self), CertError> {
        unimplemented!()
    }

    /// Runs until `shutdown`; sends each outcome.
    pub async fn run(self, _outcomes: mpsc::Sender<Outcome>, _shutdown: CancellationToken) {
        let _ = self.build;
        unimplemented!()
    }
}
