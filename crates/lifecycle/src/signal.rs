//! SIGTERM and SIGINT end the program in good order.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::service;
use crate::tasks::Tasks;

/// Cancels `shutdown` at the first SIGTERM or SIGINT. Call it inside a tokio runtime.
///
/// # Errors
/// When the system does not let the process handle signals.
pub fn listen(tasks: &Tasks, shutdown: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tasks.spawn("signals", async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "Stopping"),
            _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "Stopping"),
            () = shutdown.cancelled() => {}
        }
        service::stopping();
        shutdown.cancel();
    });
    Ok(())
}
