//! Named access keys for programs: a secret that is shown once, a role, an end. A key never allows more than its owner
//! may: it is made with a role that the owner's covers, and ends when the owner gets a lesser one or is removed.

use std::net::IpAddr;

use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::sessions::new_token;
use super::{Access, Caller, Credential, Token, sha256};
use crate::store::audits::Actor;
use crate::store::keys::{KeyError, KeyView};
use crate::store::users::Role;
use crate::store::{StoreError, from_milliseconds, milliseconds};

/// Why there is no new key.
#[derive(Debug, Error)]
pub enum NewKeyError {
    /// The role allows what the caller may not.
    #[error("a key has at most your own role; ask an administrator for one that may do more")]
    Above,
    /// The caller is a program with a key.
    #[error("an access key makes no access keys; sign in with a password")]
    ByKey,
    /// The name or the end is none.
    #[error("{0}")]
    Form(String),
    /// There is no room for it.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Access {
    /// Makes a key of the caller that is good until `expires_at`.
    ///
    /// # Errors
    /// [`NewKeyError`]; nothing has changed then.
    pub async fn add_key(
        &self,
        name: &str,
        role: Role,
        expires_at: OffsetDateTime,
        caller: &Caller,
        actor: &Actor,
    ) -> Result<(KeyView, Token), NewKeyError> {
        let now = stored(OffsetDateTime::now_utc());
        let expires_at = stored(expires_at);
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !(1..=64).contains(&name.len()) || !name.chars().all(plain) || name.starts_with(['-', '.']) {
            let form = "a key's name has 1 to 64 letters, digits and . _ -, and does not start with - or .";
            return Err(NewKeyError::Form(form.to_owned()));
        }
        if expires_at <= now || expires_at > now + LONGEST {
            let form = "a key ends in the future, at most two years (731 days) from now";
            return Err(NewKeyError::Form(form.to_owned()));
        }
        // Whoever finds an administrator's key could make users just as well.
        if matches!(caller.by, Credential::Key(_)) && caller.role != Role::Administrator {
            return Err(NewKeyError::ByKey);
        }
        if !caller.role.covers(role) {
            return Err(NewKeyError::Above);
        }
        let secret = Zeroizing::new(format!("{PREFIX}{}", *new_token()));
        let key = KeyView {
            name: name.to_owned(),
            username: caller.username.clone(),
            role,
            created_at: now,
            expires_at,
            last_used_at: None,
            last_address: String::new(),
        };
        self.0.store.add_key(&key, &sha256(&secret), actor).await?;
        Ok((key, Token(secret)))
    }

    /// Whether a bearer token has the form of an access key.
    pub(super) fn is_key(token: &str) -> bool {
        token.starts_with(PREFIX)
    }

    /// The program that calls with a key from `address`.
    pub(super) async fn by_key(&self, secret: &str, address: IpAddr) -> Result<Option<Caller>, StoreError> {
        let now = OffsetDateTime::now_utc();
        let Some(key) = self.0.store.key(&sha256(secret), now).await? else { return Ok(None) };
        let address = address.to_canonical().to_string();
        if key.last_address != address || key.last_used_at.is_none_or(|last| now - last >= NOTED_EVERY) {
            self.0.store.use_key(&key.name, &address, now).await?;
        }
        Ok(Some(Caller { username: key.username, role: key.role, by: Credential::Key(key.name) }))
    }

    /// The keys of `owner`, or of all users, in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys(&self, owner: Option<&str>) -> Result<Vec<KeyView>, StoreError> {
        self.0.store.keys(owner).await
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
    ) -> Result<bool, StoreError> {
        let removed = self.0.store.remove_key(name, owner, actor, OffsetDateTime::now_utc()).await?;
        if removed {
            self.0.endings.send_replace(());
        }
        Ok(removed)
    }
}

/// A time as the database gives it back.
fn stored(time: OffsetDateTime) -> OffsetDateTime {
    from_milliseconds(milliseconds(time))
}

/// What scanners for leaked secrets look for.
const PREFIX: &str = "garrison_";

/// Two years, one of which may be a leap year.
const LONGEST: time::Duration = time::Duration::days(731);

/// Uses closer together than this, from one address, are one.
const NOTED_EVERY: time::Duration = time::Duration::minutes(1);
