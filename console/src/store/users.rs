//! Local users: name, password hash, role. What may be a password and how it is hashed is in `access/`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use thiserror::Error;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audits::{Action, Actor, Deed, Ledger};
use super::{Store, StoreError, Write, from_milliseconds, milliseconds, text};

/// What a user may do (contract section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything.
    Administrator,
    /// Reads everything.
    Auditor,
    /// For automation: reads fleet and certificates; installs, decommissions and restarts Defenders.
    DefenderManager,
    /// All but users and settings.
    Operator,
    /// Reads fleet and certificates.
    Viewer,
}

/// A user to be added.
#[derive(Clone)]
pub struct User {
    /// The name, which is the key.
    pub username: String,
    /// PHC string of the password's hash.
    pub password: String,
    /// What the user may do.
    pub role: Role,
}

/// A user as others may see it: nothing of the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserView {
    /// The name.
    pub username: String,
    /// What the user may do.
    pub role: Role,
    /// When the user was added.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// What is to change of a user; `None` stays as it is.
#[derive(Clone, Default)]
pub struct Change {
    /// PHC string of the new password's hash.
    pub password: Option<String>,
    /// The new role.
    pub role: Option<Role>,
    /// The session that goes on with a new token, when users change their own passwords; all others end.
    pub keep: Option<Kept>,
}

/// A session that outlives a change of its user.
#[derive(Clone)]
pub struct Kept {
    /// The session.
    pub id: Uuid,
    /// Digest of its new token.
    pub sha256: String,
}

/// Why users stay as they are.
#[derive(Debug, Error)]
pub enum UserError {
    /// Nobody could add an administrator any more.
    #[error("the last administrator can be neither deleted nor demoted; make another administrator first")]
    LastAdministrator,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is a user of that name.
    #[error("there is a user of that name already")]
    Taken,
    /// There is no user of that name.
    #[error("there is no user of that name")]
    Unknown,
}

/// What came of adding the first user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// It is there now.
    Added(UserView),
    /// There is a user already; nothing was changed.
    TooLate,
}

impl Role {
    /// Every role, the most powerful first.
    pub const ALL: [Self; 5] =
        [Self::Administrator, Self::Operator, Self::Auditor, Self::DefenderManager, Self::Viewer];

    /// Whether who has this role may hand out `other`: it allows nothing that this one does not.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        match self {
            Self::Administrator => true,
            Self::Operator => {
                matches!(other, Self::DefenderManager | Self::Operator | Self::Viewer)
            }
            Self::Auditor | Self::DefenderManager | Self::Viewer => other == self || other == Self::Viewer,
        }
    }

    /// The role as the API and the database write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
            Self::DefenderManager => "defender-manager",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }
}

impl FromStr for Role {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
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
            .bind(text(username).into_owned())
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::during("reading a user"))?;
        row.map(|row| read(&row)).transpose()
    }

    /// Adds a user if there is none at all. Of several at once, also from several Consoles, one wins.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_first_user(
        &self,
        user: &User,
        actor: &Actor,
        now: OffsetDateTime,
    ) -> Result<First, StoreError> {
        let mut ledger = self.ledger().await?;
        let there: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM users")
            .fetch_one(ledger.write().connection())
            .await
            .map_err(StoreError::during("counting users"))?;
        if there > 0 {
            return Ok(First::TooLate);
        }
        let added = insert(ledger.write(), user, now).await?;
        let action = if actor.user.is_empty() { Action::UserAdded } else { Action::UserSignedUp };
        enter(&mut ledger, action, &user.username, (Value::Null, json!({ "role": user.role })), actor, now)
            .await?;
        ledger.commit().await?;
        Ok(First::Added(added))
    }

    /// All users, in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn users(&self) -> Result<Vec<UserView>, StoreError> {
        let rows = sqlx::query("SELECT username, role, created_at FROM users")
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::during("reading users"))?;
        rows.iter().map(view).collect()
    }

    /// Adds a user in the name of `actor`.
    ///
    /// # Errors
    /// [`UserError::Taken`], or when the database fails.
    pub async fn add_user(
        &self,
        user: &User,
        actor: &Actor,
        now: OffsetDateTime,
    ) -> Result<UserView, UserError> {
        let mut ledger = self.ledger().await?;
        if find(ledger.write(), &user.username).await?.is_some() {
            return Err(UserError::Taken);
        }
        let added = insert(ledger.write(), user, now).await?;
        let values = (Value::Null, json!({ "role": user.role }));
        enter(&mut ledger, Action::UserAdded, &user.username, values, actor, now).await?;
        ledger.commit().await?;
        Ok(added)
    }

    /// Changes a user in the name of `actor`. A new password ends all tokens of the user, both end all sessions, and a
    /// new role ends the access keys that may do more.
    ///
    /// # Errors
    /// [`UserError::Unknown`], [`UserError::LastAdministrator`], or when the database fails.
    pub async fn change_user(
        &self,
        username: &str,
        change: &Change,
        actor: &Actor,
        now: OffsetDateTime,
    ) -> Result<UserView, UserError> {
        let mut ledger = self.ledger().await?;
        let mut user = find(ledger.write(), username).await?.ok_or(UserError::Unknown)?;
        let (mut old, mut new) = (Map::new(), Map::new());
        if let Some(role) = change.role.filter(|role| *role != user.role) {
            keep_an_administrator(ledger.write(), &user).await?;
            let texts = [role.as_str(), username];
            execute(ledger.write(), "UPDATE users SET role = $1 WHERE username = $2", &texts).await?;
            old.insert("role".to_owned(), json!(user.role));
            new.insert("role".to_owned(), json!(role));
            let ended = end_keys_above(ledger.write(), username, role).await?;
            if !ended.is_empty() {
                old.insert("access_keys".to_owned(), json!(ended));
            }
            user.role = role;
        }
        if let Some(hash) = &change.password {
            let texts = [hash.as_str(), username];
            execute(ledger.write(), "UPDATE users SET password = $1 WHERE username = $2", &texts).await?;
            execute(ledger.write(), "DELETE FROM tokens WHERE username = $1", &[username]).await?;
            new.insert("password".to_owned(), json!("changed"));
        }
        if !new.is_empty() {
            end_sessions(ledger.write(), username, change.keep.as_ref()).await?;
            let values = (Value::Object(old), Value::Object(new));
            enter(&mut ledger, Action::UserChanged, username, values, actor, now).await?;
            ledger.commit().await?;
        }
        Ok(user)
    }

    /// Removes a user and all tokens of the user in the name of `actor`.
    ///
    /// # Errors
    /// [`UserError::Unknown`], [`UserError::LastAdministrator`], or when the database fails.
    pub async fn remove_user(
        &self,
        username: &str,
        actor: &Actor,
        now: OffsetDateTime,
    ) -> Result<(), UserError> {
        let mut ledger = self.ledger().await?;
        let user = find(ledger.write(), username).await?.ok_or(UserError::Unknown)?;
        keep_an_administrator(ledger.write(), &user).await?;
        execute(ledger.write(), "DELETE FROM users WHERE username = $1", &[username]).await?;
        let values = (json!({ "role": user.role }), Value::Null);
        enter(&mut ledger, Action::UserRemoved, username, values, actor, now).await?;
        ledger.commit().await?;
        Ok(())
    }
}

async fn enter(
    ledger: &mut Ledger,
    action: Action,
    username: &str,
    values: (Value, Value),
    actor: &Actor,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let (old, new) = values;
    ledger.enter(&Deed { actor: actor.clone(), action, object: username.to_owned(), old, new }, now).await
}

async fn insert(write: &mut Write, user: &User, now: OffsetDateTime) -> Result<UserView, StoreError> {
    let sql = "INSERT INTO users (username, password, role, created_at) VALUES ($1, $2, $3, $4) \
               RETURNING username, role, created_at";
    let row = sqlx::query(sql)
        .bind(&user.username)
        .bind(&user.password)
        .bind(user.role.as_str())
        .bind(milliseconds(now))
        .fetch_one(write.connection())
        .await
        .map_err(StoreError::during("adding a user"))?;
    view(&row)
}

async fn find(write: &mut Write, username: &str) -> Result<Option<UserView>, StoreError> {
    let row = sqlx::query("SELECT username, role, created_at FROM users WHERE username = $1")
        .bind(text(username).into_owned())
        .fetch_optional(write.connection())
        .await
        .map_err(StoreError::during("reading a user"))?;
    row.as_ref().map(view).transpose()
}

/// Whether there is an administrator beside `user`, who is about to go or to get another role. It stays true until
/// the ledger is committed.
async fn keep_an_administrator(write: &mut Write, user: &UserView) -> Result<(), UserError> {
    let others: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM users WHERE role = $1 AND username <> $2")
        .bind(Role::Administrator.as_str())
        .bind(&user.username)
        .fetch_one(write.connection())
        .await
        .map_err(StoreError::during("counting administrators"))?;
    if user.role == Role::Administrator && others == 0 {
        return Err(UserError::LastAdministrator);
    }
    Ok(())
}

/// Ends the sessions of a user but `kept`, which gets another token.
async fn end_sessions(write: &mut Write, username: &str, kept: Option<&Kept>) -> Result<(), StoreError> {
    let id = kept.map(|kept| kept.id.to_string()).unwrap_or_default();
    execute(write, "DELETE FROM sessions WHERE username = $1 AND id <> $2", &[username, &id]).await?;
    match kept {
        Some(kept) => {
            execute(write, "UPDATE sessions SET sha256 = $1 WHERE id = $2", &[&kept.sha256, &id]).await
        }
        None => Ok(()),
    }
}

/// Ends the access keys of a user that may do what `role` may not; their names.
async fn end_keys_above(write: &mut Write, username: &str, role: Role) -> Result<Vec<String>, StoreError> {
    let keys: Vec<(String, String)> =
        sqlx::query_as("SELECT name, role FROM access_keys WHERE username = $1 ORDER BY created_at, name")
            .bind(username)
            .fetch_all(write.connection())
            .await
            .map_err(StoreError::during("reading access keys"))?;
    let mut ended = Vec::new();
    for (name, of_key) in keys {
        if !role.covers(of_key.parse()?) {
            execute(write, "DELETE FROM access_keys WHERE name = $1", &[&name]).await?;
            ended.push(name);
        }
    }
    Ok(ended)
}

async fn execute(write: &mut Write, sql: &'static str, texts: &[&str]) -> Result<(), StoreError> {
    let query = texts.iter().fold(sqlx::query(sql), |query, text| query.bind(*text));
    query.execute(write.connection()).await.map(|_| ()).map_err(StoreError::during("changing a user"))
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

fn view(row: &AnyRow) -> Result<UserView, StoreError> {
    let fault = StoreError::during("reading a user");
    let columns = || Ok((row.try_get(0)?, row.try_get::<String, _>(1)?, row.try_get(2)?));
    let (username, role, created_at) = columns().map_err(fault)?;
    Ok(UserView { username, role: role.parse()?, created_at: from_milliseconds(created_at) })
}
