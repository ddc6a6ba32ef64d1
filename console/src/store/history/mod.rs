//! The tables of what was: connections of Defenders, how many were connected, rotations and refusals. Only
//! `writer.rs` writes to them, in its groups; `read.rs` has the lists.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::{AnyConnection, AssertSqlSafe};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::fleet::values;
use super::{Store, StoreError, milliseconds, text};

mod read;

/// One connection of a Defender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Connection {
    /// When it was taken in.
    #[serde(with = "time::serde::rfc3339")]
    pub connected_at: OffsetDateTime,
    /// When it ended; `null` while it lasts.
    #[serde(with = "time::serde::rfc3339::option")]
    pub disconnected_at: Option<OffsetDateTime>,
    /// Why it ended, in words.
    pub cause: Option<String>,
    /// Where it came from.
    pub address: String,
}

/// How many Defenders there were at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sample {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// How many were connected.
    pub connected: u64,
    /// How many were not.
    pub disconnected: u64,
}

/// A rotation or a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CertificateChange {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// `console-https` or `console-defender`.
    pub channel: String,
    /// `rotated` or `refused`.
    pub outcome: String,
    /// `custom` or `self-signed`; of a rotation.
    pub source: Option<String>,
    /// End of the leaf's validity; of a rotation.
    #[serde(with = "time::serde::rfc3339::option")]
    pub not_after: Option<OffsetDateTime>,
    /// Of the leaf, hexadecimal; of a rotation.
    pub sha256: Option<String>,
    /// Why; of a refusal.
    pub error: Option<String>,
    /// What to do; of a refusal.
    pub remedy: Option<String>,
}

/// What is to be written.
#[derive(Debug, Default)]
pub struct HistoryRows {
    /// Connections by Defender and beginning, in milliseconds: as they begin, and once more as they end.
    connections: HashMap<(Uuid, i64), Connection>,
    samples: Vec<Sample>,
    changes: Vec<CertificateChange>,
    /// Defenders whose oldest connections may have to go.
    pub(super) crowded: Vec<Uuid>,
}

impl HistoryRows {
    /// Adds a connection that began or ended. While the database cannot write, no more than `MOST_WAITING` wait.
    pub fn connection(&mut self, defender: Uuid, connection: Connection) {
        let key = (defender, milliseconds(connection.connected_at));
        if self.connections.len() < MOST_WAITING || self.connections.contains_key(&key) {
            self.connections.insert(key, connection);
        }
    }

    /// Adds a count.
    pub fn sample(&mut self, sample: Sample) {
        if self.samples.len() < MOST_WAITING {
            self.samples.push(sample);
        }
    }

    /// Adds a rotation or a refusal.
    pub fn change(&mut self, change: CertificateChange) {
        if self.changes.len() < MOST_WAITING {
            self.changes.push(change);
        }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.samples.is_empty() && self.changes.is_empty()
    }

    /// The Defenders whose connections begin.
    pub(super) fn begun(&self) -> impl Iterator<Item = Uuid> {
        let begun = self.connections.iter().filter(|(_, connection)| connection.disconnected_at.is_none());
        begun.map(|((defender, _), _)| *defender)
    }

    pub(super) async fn write(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        self.write_connections(connection).await?;
        for Sample { time, connected, disconnected } in &self.samples {
            let count = |count: &u64| i64::try_from(*count).unwrap_or(i64::MAX);
            sqlx::query("INSERT INTO fleet_samples VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
                .bind(milliseconds(*time))
                .bind(count(connected))
                .bind(count(disconnected))
                .execute(&mut *connection)
                .await
                .map_err(StoreError::during(WRITING))?;
        }
        for change in &self.changes {
            let insert = "INSERT INTO certificate_changes VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                          ON CONFLICT DO NOTHING";
            sqlx::query(insert)
                .bind(milliseconds(change.time))
                .bind(change.channel.as_str())
                .bind(change.outcome.as_str())
                .bind(change.source.as_deref())
                .bind(change.not_after.map(milliseconds))
                .bind(change.sha256.as_deref())
                .bind(change.error.as_deref().map(|error| text(error).into_owned()))
                .bind(change.remedy.as_deref().map(|remedy| text(remedy).into_owned()))
                .execute(&mut *connection)
                .await
                .map_err(StoreError::during(WRITING))?;
        }
        Ok(())
    }

    async fn write_connections(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        let rows: Vec<_> = self.connections.iter().collect();
        for chunk in rows.chunks(CHUNK) {
            let sql = format!("{UPSERT_HEAD} {} {UPSERT_TAIL}", values(chunk.len(), 5));
            // A whole herd writes full chunks: their statement is prepared once.
            let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == CHUNK);
            for ((defender, connected_at), row) in chunk {
                query = query
                    .bind(defender.to_string())
                    .bind(*connected_at)
                    .bind(row.address.as_str())
                    .bind(row.disconnected_at.map(milliseconds))
                    .bind(row.cause.as_deref().map(|cause| text(cause).into_owned()));
            }
            query.execute(&mut *connection).await.map_err(StoreError::during(WRITING))?;
        }
        for defender in &self.crowded {
            sqlx::query(
                "DELETE FROM connections WHERE defender = $1 AND connected_at < (SELECT MIN(connected_at) FROM \
                 (SELECT connected_at FROM connections WHERE defender = $1 ORDER BY connected_at DESC LIMIT $2) AS kept)",
            )
            .bind(defender.to_string())
            .bind(KEEP_CONNECTIONS)
            .execute(&mut *connection)
            .await
            .map_err(StoreError::during(WRITING))?;
        }
        Ok(())
    }
}

impl Store {
    /// Ends the connections that began before `start` and that nobody ended, because the Console was killed: with the
    /// last contact.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_connections(&self, start: OffsetDateTime) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query(
            "UPDATE connections SET cause = $1, disconnected_at = COALESCE((SELECT last_seen FROM defenders \
             WHERE id = connections.defender AND last_seen > connections.connected_at), connected_at) \
             WHERE disconnected_at IS NULL AND connected_at < $2",
        )
        .bind(STOPPED)
        .bind(milliseconds(start))
        .execute(write.connection())
        .await
        .map_err(StoreError::during("ending connections of an earlier run"))?;
        write.commit().await
    }

    /// Removes connections that ended more than 90 days before `now`, and counts of more than 8 days before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune_history(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        for (sql, keep) in [
            ("DELETE FROM connections WHERE disconnected_at < $1", KEEP_ENDED),
            ("DELETE FROM fleet_samples WHERE taken_at < $1", KEEP_SAMPLES),
        ] {
            sqlx::query(sql)
                .bind(milliseconds(now - keep))
                .execute(write.connection())
                .await
                .map_err(StoreError::during("removing old history"))?;
        }
        write.commit().await
    }
}

/// After so many new connections of a Defender its oldest are removed.
pub(super) const CROWD: u32 = 50;

/// Connections of one Defender that are kept at least; at most [`CROWD`] more are.
const KEEP_CONNECTIONS: i64 = 100;

const KEEP_ENDED: time::Duration = time::Duration::days(90);

/// A week and a day.
const KEEP_SAMPLES: time::Duration = time::Duration::days(8);

/// More than a fleet makes while the database is away for a moment.
const MOST_WAITING: usize = 100_000;

/// Rows in one statement.
const CHUNK: usize = 64;

/// The cause of connections that a killed Console left behind.
const STOPPED: &str = "the Console stopped";

const WRITING: &str = "writing history";

const UPSERT_HEAD: &str =
    "INSERT INTO connections (defender, connected_at, address, disconnected_at, cause) VALUES";

const UPSERT_TAIL: &str = "ON CONFLICT (defender, connected_at) DO UPDATE SET \
     disconnected_at = excluded.disconnected_at, cause = excluded.cause";

#[cfg(test)]
mod tests;
