//! The tables of alerts and of the messages about them. An alert and its messages are stored together or not at all,
//! so a Console that is killed has either not raised the alert or still tells of it.

use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::audits::{Action, Actor, Deed};
use super::{Store, StoreError, from_milliseconds, milliseconds, settings, text};
use crate::alerts::{Alert, Kind, Severity};

/// One group of changes.
#[derive(Debug, Default)]
pub struct AlertRows {
    /// New alerts.
    pub raised: Vec<Alert>,
    /// Alerts that are open again.
    pub reopened: Vec<Uuid>,
    /// Alerts that are over, and since when.
    pub resolved: Vec<(Uuid, OffsetDateTime)>,
    /// What receivers are told.
    pub messages: Vec<Message>,
}

/// A message that no receiver has taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its identity, the same at each attempt.
    pub id: Uuid,
    /// `webhook` or `syslog`.
    pub channel: &'static str,
    /// JSON.
    pub body: String,
    /// When it came to be.
    pub created_at: OffsetDateTime,
    /// Attempts so far.
    pub attempts: u32,
}

impl Store {
    /// The alerts that are open, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        let rows = sqlx::query("SELECT * FROM alerts WHERE resolved_at IS NULL ORDER BY raised_at, id")
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::during(READING))?;
        rows.iter().map(alert).collect::<Result<_, _>>().map_err(StoreError::during(READING))
    }

    /// A page of the alerts that contain `search` (in lower case), open ones first, then the newest, and how many
    /// there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn alerts(
        &self,
        is_open: Option<bool>,
        search: &str,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<Alert>, u64), StoreError> {
        // How many are kept is bounded, see `prune_alerts`.
        let rows = sqlx::query("SELECT * FROM alerts ORDER BY raised_at DESC, id")
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::during(READING))?;
        let all: Vec<Alert> =
            rows.iter().map(alert).collect::<Result<_, _>>().map_err(StoreError::during(READING))?;
        let fits = |alert: &Alert| {
            let texts = [&alert.summary, &alert.condition, &alert.remedy];
            is_open.is_none_or(|is_open| alert.resolved_at.is_none() == is_open)
                && (texts.iter().any(|text| text.to_lowercase().contains(search))
                    || alert.kind.as_str().contains(search)
                    || alert.severity.as_str().contains(search))
        };
        let mut found: Vec<Alert> = all.into_iter().filter(fits).collect();
        found.sort_by_key(|alert| alert.resolved_at.is_some());
        let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
        Ok((found.into_iter().skip(offset).take(limit).collect(), total))
    }

    /// The newest alert of a condition, open or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn alert_of(&self, condition: &str) -> Result<Option<Uuid>, StoreError> {
        let id: Option<String> =
            sqlx::query_scalar("SELECT id FROM alerts WHERE condition = $1 ORDER BY raised_at DESC LIMIT 1")
                .bind(text(condition).as_ref())
                .fetch_optional(self.pool())
                .await
                .map_err(StoreError::during(READING))?;
        Ok(id.and_then(|id| Uuid::parse_str(&id).ok()))
    }

    /// Writes one group: all of it, or nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write_alerts(&self, rows: &AlertRows) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        for alert in &rows.raised {
            sqlx::query(
                "INSERT INTO alerts (id, condition, kind, severity, summary, remedy, raised_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(alert.id.to_string())
            .bind(text(&alert.condition).as_ref())
            .bind(alert.kind.as_str())
            .bind(alert.severity.as_str())
            .bind(text(&alert.summary).as_ref())
            .bind(text(&alert.remedy).as_ref())
            .bind(milliseconds(alert.raised_at))
            .execute(write.connection())
            .await
            .map_err(StoreError::during(WRITING))?;
        }
        let reopened = rows.reopened.iter().map(|id| (id, None));
        let resolved = rows.resolved.iter().map(|(id, at)| (id, Some(milliseconds(*at))));
        for (id, at) in reopened.chain(resolved) {
            sqlx::query("UPDATE alerts SET resolved_at = $1 WHERE id = $2")
                .bind(at)
                .bind(id.to_string())
                .execute(write.connection())
                .await
                .map_err(StoreError::during(WRITING))?;
        }
        for message in &rows.messages {
            sqlx::query(
                "INSERT INTO alert_messages (id, channel, body, created_at, attempts, next_at) \
                 VALUES ($1, $2, $3, $4, 0, $4)",
            )
            .bind(message.id.to_string())
            .bind(message.channel)
            .bind(text(&message.body).as_ref())
            .bind(milliseconds(message.created_at))
            .execute(write.connection())
            .await
            .map_err(StoreError::during(WRITING))?;
        }
        write.commit().await
    }

    /// Notes that `actor` has seen an alert; `None` when there is no such alert. Who was first stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn acknowledge_alert(
        &self,
        id: Uuid,
        actor: &Actor,
        now: OffsetDateTime,
    ) -> Result<Option<Alert>, StoreError> {
        let mut ledger = self.ledger().await?;
        let done = sqlx::query(
            "UPDATE alerts SET acknowledged_at = $1, acknowledged_by = $2 \
             WHERE id = $3 AND acknowledged_at IS NULL",
        )
        .bind(milliseconds(now))
        .bind(&actor.user)
        .bind(id.to_string())
        .execute(ledger.write().connection())
        .await
        .map_err(StoreError::during(WRITING))?;
        let row = sqlx::query("SELECT * FROM alerts WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(ledger.write().connection())
            .await
            .map_err(StoreError::during(READING))?;
        let Some(row) = row else { return Ok(None) };
        let alert = alert(&row).map_err(StoreError::during(READING))?;
        if done.rows_affected() > 0 {
            let deed = Deed {
                actor: actor.clone(),
                action: Action::AlertAcknowledged,
                object: id.to_string(),
                old: Value::Null,
                new: json!({ "condition": alert.condition }),
            };
            ledger.enter(&deed, now).await?;
        }
        ledger.commit().await?;
        Ok(Some(alert))
    }

    /// Removes what is long over, and the oldest of what is over when there is too much.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_alerts(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query(
            "DELETE FROM alerts WHERE resolved_at < $1 OR (resolved_at IS NOT NULL AND id NOT IN \
             (SELECT id FROM alerts ORDER BY raised_at DESC LIMIT $2))",
        )
        .bind(milliseconds(now - KEEP_ALERTS))
        .bind(MOST_ALERTS)
        .execute(write.connection())
        .await
        .map_err(StoreError::during("removing old alerts"))?;
        write.commit().await
    }

    /// Keeps the settings of alerts in the name of `actor`; `secret` in place of the old one when it is given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_alert_settings(
        &self,
        value: &str,
        secret: Option<&Zeroizing<String>>,
        deed: &Deed,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut ledger = self.ledger().await?;
        settings::set(ledger.write(), SETTINGS, value).await?;
        if let Some(secret) = secret {
            settings::set(ledger.write(), SECRET, secret).await?;
        }
        ledger.enter(deed, now).await?;
        ledger.commit().await
    }
}

fn alert(row: &AnyRow) -> Result<Alert, sqlx::Error> {
    let (id, kind, severity): (String, String, String) =
        (row.try_get("id")?, row.try_get("kind")?, row.try_get("severity")?);
    let (resolved_at, acknowledged_at): (Option<i64>, Option<i64>) =
        (row.try_get("resolved_at")?, row.try_get("acknowledged_at")?);
    let unknown = |text: &str| sqlx::Error::Decode(format!("{text:?} is not known to this version").into());
    Ok(Alert {
        id: Uuid::parse_str(&id).map_err(|error| sqlx::Error::Decode(error.into()))?,
        condition: row.try_get("condition")?,
        kind: Kind::parse(&kind).ok_or_else(|| unknown(&kind))?,
        severity: Severity::parse(&severity).ok_or_else(|| unknown(&severity))?,
        summary: row.try_get("summary")?,
        remedy: row.try_get("remedy")?,
        raised_at: from_milliseconds(row.try_get("raised_at")?),
        resolved_at: resolved_at.map(from_milliseconds),
        acknowledged_at: acknowledged_at.map(from_milliseconds),
        acknowledged_by: row.try_get("acknowledged_by")?,
    })
}

/// Setting that holds the settings of alerts, but for the secret.
pub const SETTINGS: &str = "alerts";
/// Setting that holds the key that messages to the webhook are signed with.
pub const SECRET: &str = "alerts-webhook-secret";

const READING: &str = "reading alerts";
const WRITING: &str = "writing alerts";

/// Longer than the longest threshold, so that each is told of once for each certificate.
const KEEP_ALERTS: time::Duration = time::Duration::days(400);
const MOST_ALERTS: i64 = 5000;
