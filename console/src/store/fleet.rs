//! The tables of the fleet: Defenders and their reports. Only `writer.rs` writes to them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use protocol::message::{CertificateSource, CertificateSummary, DefenderIdentity};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::audits::{Deed, Ledger};
use super::history::HistoryRows;
use super::{Store, StoreError, Write, from_milliseconds, milliseconds};
use crate::fleet::Record;

/// One group of changes.
#[derive(Debug, Default)]
pub struct FleetRows {
    /// Defenders that said `hello`.
    pub records: Vec<Record>,
    /// When Defenders were last heard.
    pub seen: Vec<(Uuid, OffsetDateTime)>,
    /// Reports, each number of a Defender once, rising.
    pub reports: Vec<ReportRow>,
    /// The highest report number of each Defender that has reports in the group.
    pub last_seqs: HashMap<Uuid, u64>,
    /// Defenders to be refused from now on.
    pub decommissions: Vec<Decommission>,
    /// Custom certificates that Defenders have shown.
    pub certificates_seen: Vec<CertificateSeen>,
    /// What was.
    pub history: HistoryRows,
}

/// A Defender to be refused from now on.
#[derive(Debug, Clone)]
pub struct Decommission {
    /// Which.
    pub id: Uuid,
    /// Since when.
    pub at: OffsetDateTime,
    /// The entry for the audit log.
    pub deed: Deed,
}

/// A custom certificate that a Defender has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSeen {
    /// Who.
    pub defender: Uuid,
    /// Of the leaf, hexadecimal.
    pub sha256: String,
    /// End of its validity.
    pub not_after: OffsetDateTime,
}

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRow {
    /// Whose it is.
    pub defender: Uuid,
    /// Its number.
    pub seq: u64,
    /// What is reported.
    pub kind: String,
    /// When the Console got it.
    pub received_at: OffsetDateTime,
    /// JSON.
    pub body: String,
}

impl Store {
    /// All Defenders that ever said `hello`, also the decommissioned.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn defenders(&self) -> Result<Vec<Record>, StoreError> {
        let rows =
            sqlx::query(DEFENDERS).fetch_all(self.pool()).await.map_err(StoreError::during(READING))?;
        rows.iter().map(|row| record(row).map_err(StoreError::during(READING))).collect()
    }

    /// Those that were decommissioned since then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn decommissioned_since(&self, since: OffsetDateTime) -> Result<Vec<Record>, StoreError> {
        let rows = sqlx::query(DECOMMISSIONED)
            .bind(milliseconds(since))
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::during(READING))?;
        rows.iter().map(|row| record(row).map_err(StoreError::during(READING))).collect()
    }

    /// The newest report of a kind, as JSON, and when it came.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_report(
        &self,
        defender: Uuid,
        kind: &str,
    ) -> Result<Option<(String, OffsetDateTime)>, StoreError> {
        let row = sqlx::query(
            "SELECT body, received_at FROM reports WHERE defender = $1 AND kind = $2 ORDER BY seq DESC LIMIT 1",
        )
        .bind(defender.to_string())
        .bind(kind)
        .fetch_optional(self.pool())
        .await
        .map_err(StoreError::during(READING_REPORT))?;
        row.map(|row| Ok((row.try_get(0)?, from_milliseconds(row.try_get(1)?))))
            .transpose()
            .map_err(StoreError::during(READING_REPORT))
    }

    /// Writes one group in one transaction: all of it is on disk when this returns `Ok`, else none of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write_fleet(&self, rows: &FleetRows) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        for chunk in rows.records.chunks(CHUNK) {
            let sql = format!("{UPSERT_RECORDS_HEAD} {} {UPSERT_RECORDS_TAIL}", values(chunk.len(), 14));
            let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            for record in chunk {
                query = bind_record(query, record);
            }
            query.execute(write.connection()).await.map_err(StoreError::during(WRITING))?;
        }
        for chunk in rows.reports.chunks(CHUNK) {
            let sql = format!(
                "INSERT INTO reports (defender, seq, kind, received_at, body) VALUES {}",
                values(chunk.len(), 5)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            for report in chunk {
                query = query
                    .bind(report.defender.to_string())
                    .bind(number(report.seq))
                    .bind(report.kind.as_str())
                    .bind(milliseconds(report.received_at))
                    .bind(report.body.as_str());
            }
            query.execute(write.connection()).await.map_err(StoreError::during(WRITING))?;
        }
        let last_seqs: Vec<_> = rows.last_seqs.iter().map(|(id, seq)| (*id, number(*seq))).collect();
        update_each(write.connection(), "last_seq", &last_seqs).await?;
        let seen: Vec<_> = rows.seen.iter().map(|(id, at)| (*id, milliseconds(*at))).collect();
        update_each(write.connection(), "last_seen", &seen).await?;
        certificates::write(write.connection(), &rows.certificates_seen).await?;
        rows.history.write(write.connection()).await?;
        if rows.decommissions.is_empty() { write.commit().await } else { decommission(write, rows).await }
    }

    /// Removes reports that came before `before`, but for the newest host report of each Defender.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune_reports(&self, before: OffsetDateTime) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query(
            "DELETE FROM reports WHERE received_at < $1 AND (kind <> 'host' OR EXISTS (SELECT 1 FROM reports newer \
             WHERE newer.defender = reports.defender AND newer.kind = 'host' AND newer.seq > reports.seq))",
        )
        .bind(milliseconds(before))
        .execute(write.connection())
        .await
        .map_err(StoreError::during("removing old reports"))?;
        write.commit().await
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

fn bind_record<'q>(query: Query<'q>, record: &'q Record) -> Query<'q> {
    let Record { defender, certificate, .. } = record;
    query
        .bind(defender.id.to_string())
        .bind(defender.hostname.as_str())
        .bind(defender.version.as_str())
        .bind(defender.os.as_str())
        .bind(defender.kernel.as_str())
        .bind(defender.arch.as_str())
        .bind(record.address.to_string())
        .bind(match certificate.source {
            CertificateSource::Custom => "custom",
            CertificateSource::SelfSigned => "self-signed",
        })
        .bind(milliseconds(certificate.not_after))
        .bind(certificate.sha256.as_str())
        .bind(milliseconds(record.first_seen))
        .bind(milliseconds(record.last_seen))
        .bind(0_i64)
        .bind(defender.cluster.as_deref())
}

/// Refuses Defenders, says so in the audit log, and commits; who is refused already stays as before.
async fn decommission(write: Write, rows: &FleetRows) -> Result<(), StoreError> {
    let mut ledger = Ledger::open(write).await?;
    for Decommission { id, at, deed } in &rows.decommissions {
        let done = sqlx::query(
            "UPDATE defenders SET decommissioned_at = $1 WHERE id = $2 AND decommissioned_at IS NULL",
        )
        .bind(milliseconds(*at))
        .bind(id.to_string())
        .execute(ledger.write().connection())
        .await
        .map_err(StoreError::during(WRITING))?;
        if done.rows_affected() > 0 {
            ledger.enter(deed, *at).await?;
        }
    }
    ledger.commit().await
}

/// Sets one numeric column of many Defenders.
async fn update_each(
    connection: &mut AnyConnection,
    column: &'static str,
    changes: &[(Uuid, i64)],
) -> Result<(), StoreError> {
    for chunk in changes.chunks(CHUNK) {
        let rows = (0..chunk.len())
            .map(|row| format!("(${}, CAST(${} AS BIGINT))", 2 * row + 1, 2 * row + 2))
            .collect::<Vec<_>>()
            .join(", ");
        let sql = format!(
            "UPDATE defenders SET {column} = change.column2 FROM (VALUES {rows}) AS change \
             WHERE defenders.id = change.column1"
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for (id, value) in chunk {
            query = query.bind(id.to_string()).bind(*value);
        }
        query.execute(&mut *connection).await.map_err(StoreError::during(WRITING))?;
    }
    Ok(())
}

fn record(row: &AnyRow) -> Result<Record, sqlx::Error> {
    let id: String = row.try_get("id")?;
    let source: String = row.try_get("certificate_source")?;
    let address: String = row.try_get("address")?;
    let last_seq: i64 = row.try_get("last_seq")?;
    let decommissioned_at: Option<i64> = row.try_get("decommissioned_at")?;
    Ok(Record {
        defender: DefenderIdentity {
            id: Uuid::parse_str(&id).map_err(|error| sqlx::Error::Decode(error.into()))?,
            hostname: row.try_get("hostname")?,
            version: row.try_get("version")?,
            os: row.try_get("os")?,
            kernel: row.try_get("kernel")?,
            arch: row.try_get("arch")?,
            cluster: row.try_get("cluster")?,
        },
        certificate: CertificateSummary {
            source: match source.as_str() {
                "custom" => CertificateSource::Custom,
                _ => CertificateSource::SelfSigned,
            },
            not_after: from_milliseconds(row.try_get("certificate_not_after")?),
            sha256: row.try_get("certificate_sha256")?,
        },
        address: address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        first_seen: from_milliseconds(row.try_get("first_seen")?),
        last_seen: from_milliseconds(row.try_get("last_seen")?),
        last_seq: u64::try_from(last_seq).unwrap_or(0),
        decommissioned_at: decommissioned_at.map(from_milliseconds),
    })
}

/// `($1, $2), ($3, $4), …`
pub(super) fn values(rows: usize, columns: usize) -> String {
    (0..rows)
        .map(|row| {
            let places =
                (1..=columns).map(|column| format!("${}", row * columns + column)).collect::<Vec<_>>();
            format!("({})", places.join(", "))
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// Report numbers fit: `gateway/session.rs` refuses larger ones.
fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

const DEFENDERS: &str = "SELECT id, hostname, version, os, kernel, arch, address, certificate_source, \
    certificate_not_after, certificate_sha256, first_seen, last_seen, last_seq, decommissioned_at, cluster FROM defenders";

const DECOMMISSIONED: &str = "SELECT id, hostname, version, os, kernel, arch, address, certificate_source, \
    certificate_not_after, certificate_sha256, first_seen, last_seen, last_seq, decommissioned_at, cluster FROM defenders \
    WHERE decommissioned_at >= $1";

const READING: &str = "reading Defenders";
const READING_REPORT: &str = "reading the newest report";
const WRITING: &str = "writing reports and Defenders";

const UPSERT_RECORDS_HEAD: &str = "INSERT INTO defenders (id, hostname, version, os, kernel, arch, address, certificate_source, \
     certificate_not_after, certificate_sha256, first_seen, last_seen, last_seq, cluster) VALUES";

const UPSERT_RECORDS_TAIL: &str = "ON CONFLICT (id) DO UPDATE SET hostname = excluded.hostname, version = excluded.version, os = excluded.os, \
     kernel = excluded.kernel, arch = excluded.arch, address = excluded.address, \
     certificate_source = excluded.certificate_source, certificate_not_after = excluded.certificate_not_after, \
     certificate_sha256 = excluded.certificate_sha256, last_seen = excluded.last_seen, \
     cluster = excluded.cluster";

/// Rows in one statement: 14 columns each stay well below SQLite's 32,766 parameters.
const CHUNK: usize = 32;

mod certificates;

#[cfg(test)]
mod tests;
