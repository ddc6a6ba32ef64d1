//! Named access keys of programs, by their SHA-256 digest. A key belongs to a user, ends with that user, and has a
//! role of its own that is never above the user's.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::audits::{Action, Actor, Deed};
use super::users::Role;
use super::{Store, StoreError, from_milliseconds, milliseconds, text};

/// A key as its owner and administrators see it: nothing of the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeyView {
    /// The name, one of its kind in the whole Console.
    pub name: String,
    /// Whose it is.
    pub username: String,
    /// What a program may do with it.
    pub role: Role,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it ends.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was last used, to the minute.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
    /// Where it was last used from; empty before the first use.
    pub last_address: String,
}

/// Why there is no new key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The user has as many keys as a user may have.
    #[error("a user has at most {MOST_KEYS} access keys; delete one that is not needed any more")]
    Many,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is a key of that name.
    #[error("there is an access key of that name already; choose another name")]
    Taken,
}

impl Store {
    /// Keeps a key in the name of `actor`; drops those that ended more than a month ago.
    ///
    /// # Errors
    /// [`KeyError`]; nothing has changed then.
    pub async fn add_key(&self, key: &KeyView, sha256: &str, actor: &Actor) -> Result<(), KeyError> {
        let fault = || StoreError::during("adding an access key");
        let mut ledger = self.ledger().await?;
        let connection = ledger.write().connection();
        sqlx::query("DELETE FROM access_keys WHERE expires_at <= $1")
            .bind(milliseconds(key.created_at - SHOWN_AFTER_EXPIRY))
            .execute(&mut *connection)
            .await
            .map_err(fault())?;
        let (taken, own): (i64, i64) = sqlx::query_as(
            "SELECT CAST(COALESCE(SUM(CASE WHEN name = $1 THEN 1 ELSE 0 END), 0) AS BIGINT), \
             CAST(COALESCE(SUM(CASE WHEN username = $2 THEN 1 ELSE 0 END), 0) AS BIGINT) FROM access_keys",
        )
        .bind(&key.name)
        .bind(&key.username)
        .fetch_one(&mut *connection)
        .await
        .map_err(fault())?;
        if taken > 0 {
            return Err(KeyError::Taken);
        }
        if own >= MOST_KEYS {
            return Err(KeyError::Many);
        }
        sqlx::query(
            "INSERT INTO access_keys (name, sha256, username, role, created_at, expires_at, last_address) \
             VALUES ($1, $2, $3, $4, $5, $6, '')",
        )
        .bind(&key.name)
        .bind(sha256)
        .bind(&key.username)
        .bind(key.role.as_str())
        .bind(milliseconds(key.created_at))
        .bind(milliseconds(key.expires_at))
        .execute(connection)
        .await
        .map_err(fault())?;
        let expires_at = key.expires_at.format(&Rfc3339).unwrap_or_default();
        let new = json!({ "user": key.username, "role": key.role, "expires_at": expires_at });
        let (action, object) = (Action::KeyAdded, key.name.clone());
        let deed = Deed { actor: actor.clone(), action, object, old: Value::Null, new };
        ledger.enter(&deed, key.created_at).await?;
        ledger.commit().await?;
        Ok(())
    }

    /// The key of that digest if it is valid at `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key(&self, sha256: &str, now: OffsetDateTime) -> Result<Option<KeyView>, StoreError> {
        self.find_key("sha256", sha256, now).await
    }

    /// The key of that name if it is valid at `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_of_name(&self, name: &str, now: OffsetDateTime) -> Result<Option<KeyView>, StoreError> {
        self.find_key("name", name, now).await
    }

    async fn find_key(
        &self,
        column: &'static str,
        value: &str,
        now: OffsetDateTime,
    ) -> Result<Option<KeyView>, StoreError> {
        let sql = format!(
            "SELECT name, username, role, created_at, expires_at, last_used_at, last_address FROM access_keys \
             WHERE {column} = $1 AND expires_at > $2"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(value)
            .bind(milliseconds(now))
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::during(READING))?;
        row.as_ref().map(view).transpose()
    }

    /// Notes that a key is used.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn use_key(&self, name: &str, address: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("UPDATE access_keys SET last_used_at = $1, last_address = $2 WHERE name = $3")
            .bind(milliseconds(now))
            .bind(address)
            .bind(name)
            .execute(write.connection())
            .await
            .map_err(StoreError::during("noting that an access key is used"))?;
        write.commit().await
    }

    /// The keys of a user, or of all users, in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys(&self, owner: Option<&str>) -> Result<Vec<KeyView>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, username, role, created_at, expires_at, last_used_at, last_address FROM access_keys \
             WHERE username = $1 OR $2 = 1",
        )
        .bind(text(owner.unwrap_or_default()).into_owned())
        .bind(i64::from(owner.is_none()))
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::during(READING))?;
        rows.iter().map(view).collect()
    }

    /// Ends a key, of `owner` only unless that is `None`. `false` when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_key(
        &self,
        name: &str,
        owner: Option<&str>,
        actor: &Actor,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let fault = || StoreError::during("deleting an access key");
        let mut ledger = self.ledger().await?;
        let found: Option<(String, String)> =
            sqlx::query_as("SELECT username, role FROM access_keys WHERE name = $1")
                .bind(text(name).into_owned())
                .fetch_optional(ledger.write().connection())
                .await
                .map_err(fault())?;
        let Some((whose, role)) = found.filter(|(whose, _)| owner.is_none_or(|owner| owner == whose)) else {
            return Ok(false);
        };
        sqlx::query("DELETE FROM access_keys WHERE name = $1")
            .bind(name)
            .execute(ledger.write().connection())
            .await
            .map_err(fault())?;
        let (action, old) = (Action::KeyRemoved, json!({ "user": whose, "role": role }));
        let deed = Deed { actor: actor.clone(), action, object: name.to_owned(), old, new: Value::Null };
        ledger.enter(&deed, now).await?;
        ledger.commit().await?;
        Ok(true)
    }
}

fn view(row: &AnyRow) -> Result<KeyView, StoreError> {
    let fault = || StoreError::during(READING);
    let role: String = row.try_get("role").map_err(fault())?;
    let role = role.parse()?;
    let read = || {
        Ok(KeyView {
            name: row.try_get("name")?,
            username: row.try_get("username")?,
            role,
            created_at: row.try_get("created_at").map(from_milliseconds)?,
            expires_at: row.try_get("expires_at").map(from_milliseconds)?,
            last_used_at: row.try_get::<Option<i64>, _>("last_used_at")?.map(from_milliseconds),
            last_address: row.try_get("last_address")?,
        })
    };
    read().map_err(fault())
}

/// How many keys a user may have.
const MOST_KEYS: i64 = 50;

/// How long an ended key is shown still, so that its owner sees why a program is refused.
const SHOWN_AFTER_EXPIRY: time::Duration = time::Duration::days(30);

const READING: &str = "reading access keys";
