//! What other Consoles of the same database have decided: decommissions, which hold at once wherever a Defender calls.

use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::Fleet;
use crate::store::{Store, StoreError};

/// Looks every few seconds, until `shutdown`.
pub async fn follow(fleet: Fleet, store: Store, shutdown: CancellationToken) {
    let mut is_told = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.cancelled() => return,
        }
        match look(&fleet, &store, OffsetDateTime::now_utc()).await {
            Ok(()) => is_told = false,
            Err(error) if !is_told => {
                is_told = true;
                tracing::warn!(
                    error = lifecycle::logging::error_chain(&error),
                    "Cannot hear what other Consoles have decommissioned; tried again"
                );
            }
            Err(_) => {}
        }
    }
}

/// Takes over what was decommissioned lately.
pub(crate) async fn look(fleet: &Fleet, store: &Store, now: OffsetDateTime) -> Result<(), StoreError> {
    for record in store.decommissioned_since(now - LATELY).await? {
        if !fleet.is_decommissioned(record.defender.id) {
            fleet.learn_decommissioned(record, now);
        }
    }
    Ok(())
}

const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Longer than the clocks of two Consoles differ, and than a database is away.
const LATELY: time::Duration = time::Duration::HOUR;

#[cfg(test)]
mod tests;
