//! Bearer tokens, as SHA-256 digests: who reads the database cannot sign in with it.

use serde_json::{Value, json};
use sqlx::Row as _;
use time::OffsetDateTime;

use super::audits::{Action, Actor, Deed};
use super::users::{Role, User};
use super::{Store, StoreError, milliseconds};

impl Store {
    /// Keeps a token for `user` until `expires_at`, and drops those that have expired at `now`. `false` when the
    /// user is gone or has another password by now: nothing is kept then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_token(
        &self,
        sha256: &str,
        user: &User,
        actor: &Actor,
        now: OffsetDateTime,
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut ledger = self.ledger().await?;
        sqlx::query("DELETE FROM tokens WHERE expires_at <= $1")
            .bind(milliseconds(now))
            .execute(ledger.write().connection())
            .await
            .map_err(StoreError::during("dropping expired tokens"))?;
        let added = sqlx::query(
            "INSERT INTO tokens (sha256, username, created_at, expires_at) \
             SELECT $1, username, CAST($2 AS BIGINT), CAST($3 AS BIGINT) FROM users \
             WHERE username = $4 AND password = $5",
        )
        .bind(sha256)
        .bind(milliseconds(now))
        .bind(milliseconds(expires_at))
        .bind(&user.username)
        .bind(&user.password)
        .execute(ledger.write().connection())
        .await
        .map_err(StoreError::during("adding a token"))?;
        if added.rows_affected() == 0 {
            return Ok(false);
        }
        let (action, object) = (Action::UserSignedIn, user.username.clone());
        let new = json!({ "with": "token" });
        let deed = Deed { actor: actor.clone(), action, object, old: Value::Null, new };
        ledger.enter(&deed, now).await?;
        ledger.commit().await?;
        Ok(true)
    }

    /// Name and role of the user whom a token stands for at `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token(
        &self,
        sha256: &str,
        now: OffsetDateTime,
    ) -> Result<Option<(String, Role)>, StoreError> {
        let operation = "reading a token";
        let row = sqlx::query(
            "SELECT users.username, users.role FROM tokens JOIN users ON users.username = tokens.username \
             WHERE tokens.sha256 = $1 AND tokens.expires_at > $2",
        )
        .bind(sha256)
        .bind(milliseconds(now))
        .fetch_optional(self.pool())
        .await
        .map_err(StoreError::during(operation))?;
        let Some(row) = row else { return Ok(None) };
        let username = row.try_get(0).map_err(StoreError::during(operation))?;
        let role: String = row.try_get(1).map_err(StoreError::during(operation))?;
        Ok(Some((username, role.parse()?)))
    }
}
