//! Users as administrators add, change and remove them. Roles count with the next call, a new password and a removal
//! end the user's tokens, and both end the event streams of everybody, whose readers come back and prove themselves
//! again.

use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{Access, PasswordError, password};
use crate::store::StoreError;
use crate::store::audits::Actor;
use crate::store::users::{Change, Role, User, UserError, UserView};

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
        let change = Change { password, role };
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

    /// Returns once a user was changed or removed after this call.
    pub fn users_changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut changed = self.0.users_changed.subscribe();
        async move {
            // The sender goes with the Console.
            let _ = changed.changed().await;
        }
    }

    async fn hash(&self, password: &str) -> Result<String, ManageError> {
        password::check_form(password).map_err(|error| ManageError::Form(error.to_string()))?;
        self.0.passwords.hash(password).await.map_err(|PasswordError| ManageError::Busy)
    }
}
