//! What was, newest first.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{Store, StoreError, from_milliseconds, milliseconds};
use super::{CertificateChange, Connection, Sample};

impl Store {
    /// The connections of a Defender that mention `needle`, newest first, and how many there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn connections(
        &self,
        defender: Uuid,
        needle: &str,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<Connection>, u64), StoreError> {
        let rows = sqlx::query(
            "SELECT connected_at, disconnected_at, cause, address FROM connections WHERE defender = $1 \
             ORDER BY connected_at DESC",
        )
        .bind(defender.to_string())
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::during(CONNECTIONS))?;
        let all: Result<Vec<_>, _> = rows.iter().map(connection).collect();
        let mut all = all.map_err(StoreError::during(CONNECTIONS))?;
        // No more than some 150 are kept of one.
        let needle = needle.to_lowercase();
        all.retain(|one| {
            let cause = one.cause.as_deref().unwrap_or_default();
            cause.to_lowercase().contains(&needle) || one.address.contains(&needle)
        });
        let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
        Ok((all.into_iter().skip(offset).take(limit).collect(), total))
    }

    /// How many Defenders there were since `since`, newest first: of each `step` the last count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn samples(
        &self,
        since: OffsetDateTime,
        step: time::Duration,
    ) -> Result<Vec<Sample>, StoreError> {
        let rows = sqlx::query(
            "SELECT taken_at, connected, disconnected FROM fleet_samples WHERE taken_at >= $1 ORDER BY taken_at DESC",
        )
        .bind(milliseconds(since))
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::during(SAMPLES))?;
        let all: Result<Vec<_>, _> = rows.iter().map(sample).collect();
        let mut all = all.map_err(StoreError::during(SAMPLES))?;
        let step = i64::try_from(step.whole_milliseconds()).unwrap_or(i64::MAX).max(1);
        all.dedup_by_key(|sample| milliseconds(sample.time).div_euclid(step));
        Ok(all)
    }

    /// Rotations and refusals that mention `needle`, newest first, and how many there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn certificate_changes(
        &self,
        needle: &str,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<CertificateChange>, u64), StoreError> {
        let pattern = super::super::audits::pattern(needle);
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let total = sqlx::query(AssertSqlSafe(format!("SELECT COUNT(*) {CHANGES_THAT_MENTION}")))
            .bind(&pattern)
            .fetch_one(self.pool())
            .await
            .and_then(|row| row.try_get::<i64, _>(0))
            .map_err(StoreError::during(CHANGES))?;
        let sql = format!(
            "SELECT changed_at, channel, outcome, source, not_after, sha256, error, remedy {CHANGES_THAT_MENTION} \
             ORDER BY changed_at DESC, channel, outcome LIMIT $2 OFFSET $3"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(&pattern)
            .bind(number(limit))
            .bind(number(offset))
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::during(CHANGES))?;
        let changes: Result<Vec<_>, _> = rows.iter().map(change).collect();
        Ok((changes.map_err(StoreError::during(CHANGES))?, u64::try_from(total).unwrap_or(0)))
    }
}

fn connection(row: &AnyRow) -> Result<Connection, sqlx::Error> {
    let disconnected_at: Option<i64> = row.try_get(1)?;
    Ok(Connection {
        connected_at: from_milliseconds(row.try_get(0)?),
        disconnected_at: disconnected_at.map(from_milliseconds),
        cause: row.try_get(2)?,
        address: row.try_get(3)?,
    })
}

fn sample(row: &AnyRow) -> Result<Sample, sqlx::Error> {
    let count = |place| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(place)?).unwrap_or(0));
    Ok(Sample { time: from_milliseconds(row.try_get(0)?), connected: count(1)?, disconnected: count(2)? })
}

fn change(row: &AnyRow) -> Result<CertificateChange, sqlx::Error> {
    let not_after: Option<i64> = row.try_get(4)?;
    Ok(CertificateChange {
        time: from_milliseconds(row.try_get(0)?),
        channel: row.try_get(1)?,
        outcome: row.try_get(2)?,
        source: row.try_get(3)?,
        not_after: not_after.map(from_milliseconds),
        sha256: row.try_get(5)?,
        error: row.try_get(6)?,
        remedy: row.try_get(7)?,
    })
}

const CHANGES_THAT_MENTION: &str = "FROM certificate_changes WHERE LOWER(channel || ' ' || outcome || ' ' || \
     COALESCE(source, '') || ' ' || COALESCE(sha256, '') || ' ' || COALESCE(error, '') || ' ' || \
     COALESCE(remedy, '')) LIKE $1 ESCAPE '\\'";

const CONNECTIONS: &str = "reading connections";
const SAMPLES: &str = "reading how many Defenders there were";
const CHANGES: &str = "reading rotations and refusals";
