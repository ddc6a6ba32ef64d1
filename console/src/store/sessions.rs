//! Sessions of the web UI, by the SHA-256 digest of their token: who reads the database cannot sign in with it.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audits::{Action, Actor, Deed};
use super::users::{Role, User};
use super::{Store, StoreError, from_milliseconds, milliseconds, text};

/// A session to be kept.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Its name for people.
    pub id: Uuid,
    /// Digest of its token.
    pub sha256: &'a str,
    /// What the browser says of itself.
    pub user_agent: &'a str,
    /// Digest of the token of the session that it takes the place of in the same browser.
    pub replaces: Option<&'a str>,
}

/// From when a session must be to be valid still.
#[derive(Debug, Clone, Copy)]
pub struct Cutoff {
    /// The present.
    pub now: OffsetDateTime,
    /// It was last used after this.
    pub used_after: OffsetDateTime,
    /// It was made after this.
    pub made_after: OffsetDateTime,
}

/// A valid session.
#[derive(Debug)]
pub struct Found {
    /// Its name for people.
    pub id: Uuid,
    /// Whose it is.
    pub username: String,
    /// The role of that user now.
    pub role: Role,
    /// When it was last used.
    pub last_used_at: OffsetDateTime,
}

/// A session as its owner and administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionView {
    /// Ends it: `DELETE sessions/{id}`.
    pub id: Uuid,
    /// Whose it is.
    pub username: String,
    /// When the user signed in.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last used, to the half minute.
    #[serde(with = "time::serde::rfc3339")]
    pub last_used_at: OffsetDateTime,
    /// When it ends, unless it is used before; never later than its whole life.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// Where it was last used from.
    pub address: String,
    /// What the browser says of itself.
    pub user_agent: String,
    /// Whether it is the session of this call.
    pub current: bool,
}

impl Store {
    /// Keeps a session of `user` until `expires_at`, and drops those that have ended. `false` when the user is gone or
    /// has another password by now: nothing is kept then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_session(
        &self,
        session: &NewSession<'_>,
        user: &User,
        actor: &Actor,
        cutoff: Cutoff,
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let fault = || StoreError::during("adding a session");
        let mut ledger = self.ledger().await?;
        let connection = ledger.write().connection();
        sqlx::query("DELETE FROM sessions WHERE expires_at <= $1 OR last_used_at <= $2 OR sha256 = $3")
            .bind(milliseconds(cutoff.now))
            .bind(milliseconds(cutoff.used_after))
            .bind(session.replaces.unwrap_or_default())
            .execute(&mut *connection)
            .await
            .map_err(fault())?;
        let added = sqlx::query(
            "INSERT INTO sessions (id, sha256, username, created_at, last_used_at, expires_at, address, user_agent) \
             SELECT $1, $2, username, CAST($3 AS BIGINT), CAST($4 AS BIGINT), CAST($5 AS BIGINT), $6, $7 FROM users \
             WHERE username = $8 AND password = $9",
        )
        .bind(session.id.to_string())
        .bind(session.sha256)
        .bind(milliseconds(cutoff.now))
        .bind(milliseconds(cutoff.now))
        .bind(milliseconds(expires_at))
        .bind(&actor.address)
        .bind(text(session.user_agent).into_owned())
        .bind(&user.username)
        .bind(&user.password)
        .execute(&mut *connection)
        .await
        .map_err(fault())?;
        if added.rows_affected() == 0 {
            return Ok(false);
        }
        // A browser that signs in again and again does not fill the disk: the oldest sessions go.
        sqlx::query(
            "DELETE FROM sessions WHERE username = $1 AND id NOT IN \
             (SELECT id FROM sessions WHERE username = $2 ORDER BY created_at DESC, id LIMIT 100)",
        )
        .bind(&user.username)
        .bind(&user.username)
        .execute(connection)
        .await
        .map_err(fault())?;
        let (action, object) = (Action::UserSignedIn, user.username.clone());
        let new = json!({ "with": "session" });
        ledger
            .enter(&Deed { actor: actor.clone(), action, object, old: Value::Null, new }, cutoff.now)
            .await?;
        ledger.commit().await?;
        Ok(true)
    }

    /// The valid session of a token.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session(&self, sha256: &str, cutoff: Cutoff) -> Result<Option<Found>, StoreError> {
        self.find_session("sha256", sha256, cutoff).await
    }

    /// The session of that name if it is valid.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session_of_id(&self, id: Uuid, cutoff: Cutoff) -> Result<Option<Found>, StoreError> {
        self.find_session("id", &id.to_string(), cutoff).await
    }

    async fn find_session(
        &self,
        column: &'static str,
        value: &str,
        cutoff: Cutoff,
    ) -> Result<Option<Found>, StoreError> {
        let sql = format!(
            "SELECT sessions.id, users.username, users.role, sessions.last_used_at FROM sessions \
             JOIN users ON users.username = sessions.username \
             WHERE sessions.{column} = $1 AND expires_at > $2 AND last_used_at > $3 AND sessions.created_at > $4"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(value)
            .bind(milliseconds(cutoff.now))
            .bind(milliseconds(cutoff.used_after))
            .bind(milliseconds(cutoff.made_after))
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::during(READING))?;
        row.as_ref().map(found).transpose()
    }

    /// Notes that a session is used.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn use_session(&self, id: Uuid, address: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("UPDATE sessions SET last_used_at = $1, address = $2 WHERE id = $3")
            .bind(milliseconds(now))
            .bind(address)
            .bind(id.to_string())
            .execute(write.connection())
            .await
            .map_err(StoreError::during("noting that a session is used"))?;
        write.commit().await
    }

    /// The valid sessions of a user, or of all users; in no order, `current` of none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sessions(
        &self,
        owner: Option<&str>,
        cutoff: Cutoff,
    ) -> Result<Vec<SessionView>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, username, created_at, last_used_at, expires_at, address, user_agent FROM sessions \
             WHERE (username = $1 OR $2 = 1) AND expires_at > $3 AND last_used_at > $4 AND created_at > $5",
        )
        .bind(text(owner.unwrap_or_default()).into_owned())
        .bind(i64::from(owner.is_none()))
        .bind(milliseconds(cutoff.now))
        .bind(milliseconds(cutoff.used_after))
        .bind(milliseconds(cutoff.made_after))
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::during(READING))?;
        rows.iter().map(view).collect()
    }

    /// Ends a session, of `owner` only unless that is `None`. `false` when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_session(
        &self,
        id: Uuid,
        owner: Option<&str>,
        deed: impl FnOnce(String) -> Deed + Send,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let fault = || StoreError::during("ending a session");
        let mut ledger = self.ledger().await?;
        let whose: Option<String> = sqlx::query_scalar("SELECT username FROM sessions WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(ledger.write().connection())
            .await
            .map_err(fault())?;
        let Some(whose) = whose.filter(|whose| owner.is_none_or(|owner| owner == whose)) else {
            return Ok(false);
        };
        sqlx::query("DELETE FROM sessions WHERE id = $1")
            .bind(id.to_string())
            .execute(ledger.write().connection())
            .await
            .map_err(fault())?;
        ledger.enter(&deed(whose), now).await?;
        ledger.commit().await?;
        Ok(true)
    }
}

fn id(row: &AnyRow) -> Result<Uuid, StoreError> {
    let text: String = row.try_get("id").map_err(StoreError::during(READING))?;
    text.parse().map_err(|_| StoreError::Value { operation: READING, value: text })
}

fn found(row: &AnyRow) -> Result<Found, StoreError> {
    let columns =
        || Ok((row.try_get("username")?, row.try_get::<String, _>("role")?, row.try_get("last_used_at")?));
    let (username, role, last_used_at) = columns().map_err(StoreError::during(READING))?;
    Ok(Found { id: id(row)?, username, role: role.parse()?, last_used_at: from_milliseconds(last_used_at) })
}

fn view(row: &AnyRow) -> Result<SessionView, StoreError> {
    let id = id(row)?;
    let read = || {
        let time = |column| row.try_get(column).map(from_milliseconds);
        Ok(SessionView {
            id,
            username: row.try_get("username")?,
            created_at: time("created_at")?,
            last_used_at: time("last_used_at")?,
            expires_at: time("expires_at")?,
            address: row.try_get("address")?,
            user_agent: row.try_get("user_agent")?,
            current: false,
        })
    };
    read().map_err(StoreError::during(READING))
}

const READING: &str = "reading sessions";
