//! Whether the audit log is as it was written: every hash follows from its entry and the hash before, and the newest
//! entries are all there.

use time::OffsetDateTime;

use super::ledger::HEAD;
use super::{Audit, NO_HASH, READING, read};
use crate::store::{Store, StoreError};

/// What came of looking at the whole log.
#[derive(Debug, PartialEq, Eq)]
pub enum Chain {
    /// The first entry that does not follow from the one before: one of the two was changed, or one between them
    /// was removed or put in.
    Broken {
        /// Its number.
        entry: i64,
        /// When it was made, as it says.
        time: OffsetDateTime,
        /// What was done, as it says.
        action: String,
        /// To what, as it says.
        object: String,
    },
    /// The entries after this one are missing.
    Short {
        /// Number of the newest one that is there.
        entry: i64,
    },
    /// All is as it was written.
    Unbroken {
        /// How many entries there are.
        entries: u64,
    },
}

impl Store {
    /// Looks at the whole log, oldest first. Entries that are written meanwhile may be looked at or not.
    ///
    /// # Errors
    /// When the database fails, also when an entry holds what no Console writes.
    pub async fn verify_audits(&self) -> Result<Chain, StoreError> {
        // Read first: what is newer than this is on the way still.
        let head = self.setting(HEAD).await?.unwrap_or_else(|| NO_HASH.to_owned());
        let (mut hash, mut last, mut entries) = (NO_HASH.to_owned(), 0, 0);
        let mut has_head = head == NO_HASH;
        loop {
            let group = self.audits_after(last).await?;
            if group.is_empty() {
                break;
            }
            for (entry, audit) in group {
                if audit.hash != audit.hash_after(&hash) {
                    let Audit { time, action, object, .. } = audit;
                    return Ok(Chain::Broken { entry, time, action, object });
                }
                hash = audit.hash;
                has_head |= hash == head;
                last = entry;
                entries += 1;
            }
        }
        Ok(if has_head { Chain::Unbroken { entries } } else { Chain::Short { entry: last } })
    }

    async fn audits_after(&self, seq: i64) -> Result<Vec<(i64, Audit)>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, made_at, username, address, action, object, old_value, new_value, hash FROM audits \
             WHERE seq > $1 ORDER BY seq LIMIT 1000",
        )
        .bind(seq)
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::during(READING))?;
        rows.iter().map(|row| read(row).map_err(StoreError::during(READING))).collect()
    }
}
