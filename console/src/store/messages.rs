//! The queue of messages about alerts, by channel. It survives a restart and has a bound.

use sqlx::Row as _;
use time::OffsetDateTime;
use uuid::Uuid;

use super::alerts::Message;
use super::{Store, StoreError, from_milliseconds, milliseconds};

impl Store {
    /// The oldest messages of a channel whose turn has come.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_messages(
        &self,
        channel: &'static str,
        now: OffsetDateTime,
    ) -> Result<Vec<Message>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, body, created_at, attempts FROM alert_messages WHERE channel = $1 AND next_at <= $2 \
             ORDER BY next_at, created_at, id LIMIT 20",
        )
        .bind(channel)
        .bind(milliseconds(now))
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::during(READING))?;
        let message = |row: &sqlx::any::AnyRow| {
            let (id, attempts): (String, i64) = (row.try_get(0)?, row.try_get(3)?);
            Ok(Message {
                id: Uuid::parse_str(&id).map_err(|error| sqlx::Error::Decode(error.into()))?,
                channel,
                body: row.try_get(1)?,
                created_at: from_milliseconds(row.try_get(2)?),
                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            })
        };
        rows.iter().map(message).collect::<Result<_, _>>().map_err(StoreError::during(READING))
    }

    /// When the next message of a channel is due, and how many wait.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_messages(&self, channel: &str) -> Result<(Option<OffsetDateTime>, u64), StoreError> {
        let row = sqlx::query("SELECT MIN(next_at), COUNT(*) FROM alert_messages WHERE channel = $1")
            .bind(channel)
            .fetch_one(self.pool())
            .await
            .map_err(StoreError::during(READING))?;
        let next: Option<i64> = row.try_get(0).map_err(StoreError::during(READING))?;
        let count: i64 = row.try_get(1).map_err(StoreError::during(READING))?;
        Ok((next.map(from_milliseconds), u64::try_from(count).unwrap_or(0)))
    }

    /// Removes a message: a receiver has taken it, or it was given up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_message(&self, id: Uuid) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("DELETE FROM alert_messages WHERE id = $1")
            .bind(id.to_string())
            .execute(write.connection())
            .await
            .map_err(StoreError::during(WRITING))?;
        write.commit().await
    }

    /// Tries a message again at `next_at`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn postpone_message(
        &self,
        message: &Message,
        next_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("UPDATE alert_messages SET attempts = $1, next_at = $2 WHERE id = $3")
            .bind(i64::from(message.attempts) + 1)
            .bind(milliseconds(next_at))
            .bind(message.id.to_string())
            .execute(write.connection())
            .await
            .map_err(StoreError::during(WRITING))?;
        write.commit().await
    }

    /// Makes the messages of a channel due now: its settings have changed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hasten_messages(&self, channel: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("UPDATE alert_messages SET next_at = $1 WHERE channel = $2")
            .bind(milliseconds(now))
            .bind(channel)
            .execute(write.connection())
            .await
            .map_err(StoreError::during(WRITING))?;
        write.commit().await
    }

    /// Removes the oldest messages of a channel but for the newest `keep`, and says how many that were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn trim_messages(&self, channel: &str, keep: u32) -> Result<u64, StoreError> {
        let mut write = self.write().await?;
        let done = sqlx::query(
            "DELETE FROM alert_messages WHERE channel = $1 AND id NOT IN (SELECT id FROM alert_messages \
             WHERE channel = $1 ORDER BY created_at DESC, id LIMIT $2)",
        )
        .bind(channel)
        .bind(i64::from(keep))
        .execute(write.connection())
        .await
        .map_err(StoreError::during(WRITING))?;
        write.commit().await?;
        Ok(done.rows_affected())
    }
}

const READING: &str = "reading messages about alerts";
const WRITING: &str = "writing messages about alerts";
