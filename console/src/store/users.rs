//! Local users: name, password hash, role. What may be a password and how it is hashed is in `access/`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use time::OffsetDateTime;

use super::{Store, StoreError, milliseconds, settings};

/// What a user may do (contract section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Administrator,
    /// Reads everything.
    Auditor,
    /// All but users and settings.
    Operator,
    /// Reads fleet and certificates.
    Viewer,
}

/// A user as stored.
#[derive(Clone)]
pub struct User {
    /// The name, which is the key.
    pub username: String,
    /// PHC string of the password's hash.
    pub password: String,
    /// What the user may do.
    pub role: Role,
}

/// What came of adding the first user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// It is there now.
    Added,
    /// There is a user already; nothing was changed.
    TooLate,
}

impl Role {
    /// The role as the API and the database write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }
}

impl FromStr for Role {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Administrator, Self::Auditor, Self::Operator, Self::Viewer]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| StoreError::Value { operation: "reading a role", value: text.to_owned() })
    }
}

impl Store {
    /// Whether there is any user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT username FROM users LIMIT 1").fetch_optional(self.pool()).await;
        Ok(row.map_err(StoreError::during("reading users"))?.is_some())
    }

    /// The user of that name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user(&self, username: &str) -> Result<Option<User>, StoreError> {
        let row = sqlx::query("SELECT username, password, role FROM users WHERE username = $1")
            .bind(username)
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::during("reading a user"))?;
        row.map(|row| read(&row)).transpose()
    }

    /// Adds a user if there is none at all. Of several at once, also from several Consoles, one wins.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_first_user(&self, user: &User, now: OffsetDateTime) -> Result<First, StoreError> {
        let mut write = self.write().await?;
        // PostgreSQL: whoever comes second waits for this row until the first has committed.
        settings::set(&mut write, FIRST_USER, &user.username).await?;
        let there: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM users")
            .fetch_one(write.connection())
            .await
            .map_err(StoreError::during("counting users"))?;
        if there > 0 {
            return Ok(First::TooLate);
        }
        sqlx::query("INSERT INTO users (username, password, role, created_at) VALUES ($1, $2, $3, $4)")
            .bind(&user.username)
            .bind(&user.password)
            .bind(user.role.as_str())
            .bind(milliseconds(now))
            .execute(write.connection())
            .await
            .map_err(StoreError::during("adding the first user"))?;
        write.commit().await?;
        Ok(First::Added)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("username", &self.username)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

fn read(row: &AnyRow) -> Result<User, StoreError> {
    let column = |name| row.try_get::<String, _>(name).map_err(StoreError::during("reading a user"));
    Ok(User { username: column("username")?, password: column("password")?, role: column("role")?.parse()? })
}

/// Setting that holds the name of the first user.
const FIRST_USER: &str = "first-user";
