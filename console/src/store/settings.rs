//! Settings that are changed at run time: key and value.

use super::{Store, StoreError, Write};

impl Store {
    /// The value of a setting.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT value FROM settings WHERE key = $1")
            .bind(key)
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::during("reading a setting"))
    }

    /// Sets a setting, without a word in the audit log.
    #[cfg(test)]
    pub(crate) async fn set_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        set(&mut write, key, value).await?;
        write.commit().await
    }
}

/// Sets a setting as part of a transaction, which holds the row from then on.
pub(super) async fn set(write: &mut Write, key: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(key)
    .bind(value)
    .execute(write.connection())
    .await
    .map(|_| ())
    .map_err(StoreError::during("writing a setting"))
}
