//! What is reported, one file a kind:
//!
//! ```text
//! host.rs    facts of the host and the state of its custom certificates; at start and on each change
//! sets.rs    among them: what the Defender can dial with
//! ```
//!
//! A report goes into the outbox; when it is sent is not decided here.

pub mod host;
pub mod sets;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::outbox::{AppendError, Outbox};

/// Kind of the report of `host.rs`.
pub const HOST: &str = "host";

/// Reports the facts after the first `welcome` of the process, whenever they differ from what was reported last, and
/// again when the Console has lost reports.
/// They are looked at every minute, and at once when `look_now` says so.
pub async fn run(
    outbox: Outbox,
    source: host::Source,
    mut welcomed: watch::Receiver<bool>,
    look_now: Arc<Notify>,
    shutdown: CancellationToken,
) {
    tokio::select! {
        _ = welcomed.wait_for(|welcomed| *welcomed) => {}
        () = shutdown.cancelled() => return,
    }
    let source = Arc::new(source);
    let mut reported: Option<Box<RawValue>> = None;
    let mut lost = outbox.lost();
    loop {
        let source = Arc::clone(&source);
        let facts = tokio::task::spawn_blocking(move || to_raw_value(&host::look(&source))).await;
        if let Ok(Ok(facts)) = facts {
            report(&outbox, facts, &mut reported).await;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = look_now.notified() => {}
            Ok(()) = lost.changed() => reported = None,
            () = shutdown.cancelled() => return,
        }
    }
}

/// Reports `facts` unless they are what was reported last.
async fn report(outbox: &Outbox, facts: Box<RawValue>, reported: &mut Option<Box<RawValue>>) {
    if reported.as_ref().is_some_and(|last| last.get() == facts.get()) {
        return;
    }
    match outbox.append(HOST, facts.clone()).await {
        Ok(seq) => {
            tracing::debug!(seq, "The facts of the host are to be reported");
            *reported = Some(facts);
        }
        // Tried again with the next look; the outbox has said what is wrong with the disk.
        Err(AppendError::Closed | AppendError::Disk(_)) => {}
        Err(error @ AppendError::TooBig { .. }) => {
            tracing::warn!(%error, "The facts of the host cannot be reported");
        }
    }
}

/// How often the facts are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
