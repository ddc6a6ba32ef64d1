//! Names that Defenders were told to reach the Console by: those in install bundles and files of deployment.

use sqlx::Row as _;
use time::OffsetDateTime;

use super::{Store, StoreError, milliseconds};

impl Store {
    /// Keeps that something was exported with `name`, which can be used until `until`; forgets names that cannot be
    /// used any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_exported_name(
        &self,
        name: &str,
        until: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("DELETE FROM exported_names WHERE until_at < $1")
            .bind(milliseconds(now))
            .execute(write.connection())
            .await
            .map_err(StoreError::during(WRITING))?;
        sqlx::query(
            "INSERT INTO exported_names (name, exports, until_at) VALUES ($1, 1, $2) ON CONFLICT (name) DO UPDATE SET \
             exports = exported_names.exports + 1, until_at = CASE WHEN excluded.until_at > exported_names.until_at \
             THEN excluded.until_at ELSE exported_names.until_at END",
        )
        .bind(name)
        .bind(milliseconds(until))
        .execute(write.connection())
        .await
        .map_err(StoreError::during(WRITING))?;
        write.commit().await
    }

    /// Every name that can still be used, and how often it was exported.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn exported_names(&self, now: OffsetDateTime) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = sqlx::query("SELECT name, exports FROM exported_names WHERE until_at >= $1")
            .bind(milliseconds(now))
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::during(READING))?;
        let name = |row: &sqlx::any::AnyRow| {
            let exports: i64 = row.try_get(1)?;
            Ok((row.try_get(0)?, u64::try_from(exports).unwrap_or(0)))
        };
        rows.iter().map(name).collect::<Result<_, _>>().map_err(StoreError::during(READING))
    }
}

const READING: &str = "reading exported names";
const WRITING: &str = "writing exported names";

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::config::Database;

    #[tokio::test]
    async fn names_are_counted_until_nothing_with_them_can_be_used_any_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = Database::Embedded(dir.path().join("console.db"));
        let store = Store::open(&database).await.expect("opens");
        let now = OffsetDateTime::now_utc();
        for (name, days) in [("a.example", 10), ("a.example", 1), ("b.example", 2)] {
            store.add_exported_name(name, now + Duration::days(days), now).await.expect("kept");
        }
        let names = async |days| {
            let mut names = store.exported_names(now + Duration::days(days)).await.expect("reads");
            names.sort();
            names
        };
        assert_eq!(names(0).await, [("a.example".to_owned(), 2), ("b.example".to_owned(), 1)]);
        assert_eq!(names(5).await, [("a.example".to_owned(), 2)]);
        assert!(names(11).await.is_empty());
    }
}
