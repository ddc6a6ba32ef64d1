//! Host reports that have reached the disk, for who follows them; and the newest ones of many Defenders at once.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{Store, StoreError};

/// Whose host reports have come. Costs nothing while nobody follows.
#[derive(Debug, Default)]
pub struct HostReports {
    /// `None`: nobody follows.
    come: Mutex<Option<HashSet<Uuid>>>,
    wake: Notify,
}

impl HostReports {
    /// From now on they are noted, or no more.
    pub fn follow(&self, is_followed: bool) {
        *self.lock() = is_followed.then(HashSet::new);
    }

    /// Whose reports have come since the last call.
    #[must_use]
    pub fn take(&self) -> HashSet<Uuid> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Waits until one has come. For one follower; cancel-safe.
    pub async fn come(&self) {
        self.wake.notified().await;
    }

    /// Notes whose reports are on disk now.
    pub(super) fn note(&self, defenders: impl Iterator<Item = Uuid>) {
        let mut come = self.lock();
        let Some(come) = come.as_mut() else { return };
        let before = come.len();
        come.extend(defenders);
        if come.len() > before {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashSet<Uuid>>> {
        self.come.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// The newest host report of each of these Defenders that has sent one, as JSON.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn host_reports(&self, defenders: &[Uuid]) -> Result<Vec<(Uuid, String)>, StoreError> {
        let mut found = Vec::with_capacity(defenders.len());
        for chunk in defenders.chunks(CHUNK) {
            let places = (1..=chunk.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
            let sql = format!(
                "SELECT defender, body FROM reports WHERE kind = 'host' AND defender IN ({places}) AND seq = (SELECT \
                 MAX(newest.seq) FROM reports newest WHERE newest.defender = reports.defender AND newest.kind = 'host')"
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            for id in chunk {
                query = query.bind(id.to_string());
            }
            let rows = query.fetch_all(self.pool()).await.map_err(StoreError::during(READING))?;
            for row in rows {
                let id: String = row.try_get(0).map_err(StoreError::during(READING))?;
                let body: String = row.try_get(1).map_err(StoreError::during(READING))?;
                found.extend(Uuid::parse_str(&id).ok().map(|id| (id, body)));
            }
        }
        Ok(found)
    }
}

const READING: &str = "reading host reports";

/// Defenders in one statement.
const CHUNK: usize = 32;
