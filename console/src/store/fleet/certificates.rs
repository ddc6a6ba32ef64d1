//! The custom certificates that Defenders were seen with.

use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{Store, StoreError, from_milliseconds, milliseconds};
use super::{CHUNK, CertificateSeen, values};

impl Store {
    /// All of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn certificates_seen(&self) -> Result<Vec<CertificateSeen>, StoreError> {
        let rows = sqlx::query("SELECT defender, sha256, not_after FROM certificates_seen")
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::during(READING))?;
        let seen = rows.iter().map(|row| {
            let id: String = row.try_get(0)?;
            Ok(CertificateSeen {
                defender: Uuid::parse_str(&id).map_err(|error| sqlx::Error::Decode(error.into()))?,
                sha256: row.try_get(1)?,
                not_after: from_milliseconds(row.try_get(2)?),
            })
        });
        seen.collect::<Result<_, _>>().map_err(StoreError::during(READING))
    }

    /// Removes those that expired before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune_certificates_seen(&self, before: OffsetDateTime) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("DELETE FROM certificates_seen WHERE not_after < $1")
            .bind(milliseconds(before))
            .execute(write.connection())
            .await
            .map_err(StoreError::during("removing old certificates"))?;
        write.commit().await
    }
}

pub(super) async fn write(
    connection: &mut AnyConnection,
    seen: &[CertificateSeen],
) -> Result<(), StoreError> {
    for chunk in seen.chunks(CHUNK) {
        let sql = format!(
            "INSERT INTO certificates_seen (defender, sha256, not_after) VALUES {} ON CONFLICT (defender, sha256) DO NOTHING",
            values(chunk.len(), 3)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for one in chunk {
            query = query
                .bind(one.defender.to_string())
                .bind(one.sha256.as_str())
                .bind(milliseconds(one.not_after));
        }
        query.execute(&mut *connection).await.map_err(StoreError::during("writing certificates"))?;
    }
    Ok(())
}

const READING: &str = "reading the certificates that Defenders were seen with";
