//! Users as administrators add, change and remove them, and passwords as their users change them. Roles count with the
//! next call, a new password and a removal end the user's tokens, and all of them end the user's sessions and the event
//! streams of everybody, whose readers come back and prove themselves again.

use std::net::IpAddr;

use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::sessions::new_token;
use super::{Access, Caller, Credential, PasswordError, SignInError, Token, password, sha256};
use crate::store::StoreError;
use crate::store::audits::Actor;
use crate::store::users::{Change, Kept, Role, User, UserError, UserView};

/// Why users stay as they are.
#[derive(Debug, Error)]
pub enum ManageError {
    /// Too many passwords wait to be hashed.
    #[error("too many sign-ins at once")]
    Busy,
    /// The name or the password is none.
    #[error("{0}")]
    Form(String),
    /// The change is not possible.
    #[error(transparent)]
    User(#[from] UserError),
}

/// Why a user's own password stays as it is.
#[derive(Debug, Error)]
pub enum OwnPasswordError {
    /// The new password is none, or nothing could be changed.
    #[error(transparent)]
    Manage(#[from] ManageError),
    /// The old password is another, or was not looked at.
    #[error(transparent)]
    Old(#[from] SignInError),
}

impl Access {
    /// All users, in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn users(&self) -> Result<Vec<UserView>, StoreError> {
        self.0.store.users().await
    }

    /// Adds a user in the name of `actor`.
    ///
    /// # Errors
    /// [`ManageError`]; nothing has changed then.
    pub async fn add_user(
        &self,
        username: &str,
        password: &str,
        role: Role,
        actor: &Actor,
    ) -> Result<UserView, ManageError> {
        let username = crate::config::username(username).map_err(ManageError::Form)?;
        let password = self.hash(password).await?;
        let user = User { username, password, role };
        Ok(self.0.store.add_user(&user, actor, OffsetDateTime::now_utc()).await?)
    }

    /// Gives a user another password, another role, or both, in the name of `actor`.
    ///
    /// # Errors
    /// [`ManageError`]; nothing has changed then.
    pub async fn change_user(
        &self,
        username: &str,
        password: Option<&Zeroizing<String>>,
        role: Option<Role>,
        actor: &Actor,
    ) -> Result<UserView, ManageError> {
        let password = match password {
            Some(password) => Some(self.hash(password).await?),
            None => None,
        };
        let change = Change { password, role, keep: None };
        let user = self.0.store.change_user(username, &change, actor, OffsetDateTime::now_utc()).await?;
        self.0.users_changed.send_replace(());
        Ok(user)
    }

    /// Removes a user in the name of `actor`.
    ///
    /// # Errors
    /// [`ManageError`]; nothing has changed then.
    pub async fn remove_user(&self, username: &str, actor: &Actor) -> Result<(), ManageError> {
        self.0.store.remove_user(username, actor, OffsetDateTime::now_utc()).await?;
        self.0.users_changed.send_replace(());
        Ok(())
    }

    /// Gives the caller, who knows the old password, a new one. All tokens and sessions of the user end; the session
    /// of the caller goes on with a new token, which is the answer.
    ///
    /// # Errors
    /// [`OwnPasswordError`]; nothing has changed then.
    pub async fn change_own_password(
        &self,
        caller: &Caller,
        old: &str,
        new: &str,
        address: IpAddr,
    ) -> Result<Option<Token>, OwnPasswordError> {
        let form = |error: password::FormError| ManageError::Form(error.to_string());
        password::check_form(new).map_err(form)?;
        if new == old {
            return Err(
                ManageError::Form("the new password is the old one; choose another".to_owned()).into()
            );
        }
        let user = self.sign_in(&caller.username, old, address).await?;
        let token = new_token();
        let keep = match caller.by {
            Credential::Session(id) => Some(Kept { id, sha256: sha256(&token) }),
            Credential::Key(_) | Credential::Password(_) | Credential::Token(_) => None,
        };
        let kept = keep.is_some();
        let change = Change { password: Some(self.hash(new).await?), role: None, keep };
        let (actor, now) = (caller.actor(address), OffsetDateTime::now_utc());
        self.0.store.change_user(&user.username, &change, &actor, now).await.map_err(ManageError::from)?;
        self.0.users_changed.send_replace(());
        Ok(kept.then(|| Token(token)))
    }

    async fn hash(&self, password: &str) -> Result<String, ManageError> {
        password::check_form(password).map_err(|error| ManageError::Form(error.to_string()))?;
        self.0.passwords.hash(password).await.map_err(|PasswordError| ManageError::Busy)
    }
}
