//! Names and addresses that administrators add to those of the flags in the self-signed server certificates. A change
//! is stored, and both channels get new certificates at once; a channel on custom certificates keeps them, and the new
//! one waits for the day that they are gone.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::channels::Renewal;
use crate::config::San;
use crate::store::audits::Actor;
use crate::store::{Store, StoreError};

/// The names, and what issues certificates for them. Clones share it.
#[derive(Debug, Clone)]
pub struct ExtraNames(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    renewal: Arc<Renewal>,
    /// Held while names change, so that the last certificate has the last names.
    turn: Mutex<()>,
}

/// Why there are no certificates with these names.
#[derive(Debug, Error)]
pub enum NamesError {
    /// The names are stored; the certificates come with the next look, within the hour.
    #[error("issuing certificates with other names")]
    Issue(#[from] certs::AuthorityError),
    /// The database failed; nothing has changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ExtraNames {
    /// The names as stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stored(store: &Store) -> Result<Vec<String>, StoreError> {
        let text = store.setting(SETTING).await?.unwrap_or_default();
        let names: Vec<String> = serde_json::from_str(&text).unwrap_or_default();
        // Only names are written; what somebody else put there must not keep the Console from starting.
        Ok(names.into_iter().filter(|name| name.parse::<San>().is_ok()).collect())
    }

    /// The names of `store`, in the certificates of `renewal`.
    #[must_use]
    pub fn new(store: Store, renewal: Arc<Renewal>) -> Self {
        Self(Arc::new(Inner { store, renewal, turn: Mutex::default() }))
    }

    /// The names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<String>, StoreError> {
        Self::stored(&self.0.store).await
    }

    /// When the Console's own CA expires.
    #[must_use]
    pub fn ca_expiration(&self) -> OffsetDateTime {
        self.0.renewal.authority().not_after()
    }

    /// SHA-256 of the Console's own CA, hexadecimal.
    #[must_use]
    pub fn ca_sha256(&self) -> String {
        self.0.renewal.authority().ca_sha256()
    }

    /// Puts `names` in place of what there is, in the name of `actor`.
    ///
    /// # Errors
    /// [`NamesError`].
    pub async fn replace(&self, names: &[San], actor: &Actor) -> Result<(), NamesError> {
        let _turn = self.0.turn.lock().await;
        let old = self.list().await?;
        let new = unique(names);
        let now = OffsetDateTime::now_utc();
        if old != new {
            let values = (Value::from(old), json!(new));
            self.0.store.change_setting(SETTING, values, actor, now).await?;
        }
        self.issue(new, now).await
    }

    /// Every hour: issues certificates anew that have less than a third of their life left, and those whose names
    /// another Console of the same database has changed.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shutdown.cancelled() => return,
            }
            if let Err(error) = self.look(OffsetDateTime::now_utc()).await {
                tracing::error!(
                    error = lifecycle::logging::error_chain(&error),
                    "Cannot renew the self-signed certificates; the present ones go on"
                );
            }
        }
    }

    /// Issues certificates anew where names, authority or the rest of their life ask for it.
    ///
    /// # Errors
    /// [`NamesError`].
    pub async fn look(&self, now: OffsetDateTime) -> Result<(), NamesError> {
        let _turn = self.0.turn.lock().await;
        let names = self.list().await?;
        self.issue(names, now).await
    }

    /// Keys are made and files written beside the other tasks.
    async fn issue(&self, names: Vec<String>, now: OffsetDateTime) -> Result<(), NamesError> {
        let renewal = Arc::clone(&self.0.renewal);
        let issuing = tokio::task::spawn_blocking(move || renewal.issue(&names, now));
        match issuing.await {
            Ok(issued) => Ok(issued?),
            // It panicked, which was logged, or the Console stops.
            Err(_) => Err(StoreError::Closed.into()),
        }
    }
}

fn unique(names: &[San]) -> Vec<String> {
    names.iter().map(ToString::to_string).fold(Vec::new(), |mut unique, name| {
        if !unique.contains(&name) {
            unique.push(name);
        }
        unique
    })
}

const SETTING: &str = "certs.console-san";
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests;
