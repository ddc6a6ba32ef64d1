//! What the store forgets from time to time.

use time::OffsetDateTime;

use super::Store;

impl Store {
    /// Removes old reports, history and certificates that expired long ago; what cannot be removed is tried again the
    /// next time.
    pub(super) async fn prune(&self, now: OffsetDateTime) {
        for (what, pruned) in [
            ("reports", self.prune_reports(now - KEEP_REPORTS).await),
            ("history", self.prune_history(now).await),
            ("certificates", self.prune_certificates_seen(now - KEEP_EXPIRED).await),
        ] {
            if let Err(error) = pruned {
                tracing::warn!(error = lifecycle::logging::error_chain(&error), "Cannot remove old {what}");
            }
        }
    }
}

/// How long reports are kept; the newest host report of a Defender stays.
const KEEP_REPORTS: time::Duration = time::Duration::days(30);

/// How long a certificate is remembered that has expired.
const KEEP_EXPIRED: time::Duration = time::Duration::days(30);
