//! The URL that users reach the Console by: that of `--public-url` wins; without it, the one that an administrator has
//! set; without either, whatever a browser has called.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use thiserror::Error;
use time::OffsetDateTime;

use crate::config::PublicUrl;
use crate::store::audits::Actor;
use crate::store::{Store, StoreError};

/// The URL. Clones share it.
#[derive(Debug, Clone)]
pub struct PublicAddress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    flag: Option<PublicUrl>,
    /// As stored at the start or set since; of a change that another Console of the same database makes, the next
    /// start tells.
    stored: Mutex<Option<PublicUrl>>,
}

/// Why the URL was not changed.
#[derive(Debug, Error)]
pub enum PublicUrlError {
    /// The flag wins.
    #[error(
        "the Console runs with --public-url (CONSOLE_PUBLIC_URL), which wins: change it there and restart, or leave it out"
    )]
    Flag,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PublicAddress {
    /// The URL of the flag or as stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(store: Store, flag: Option<PublicUrl>) -> Result<Self, StoreError> {
        // What somebody else put there must not keep the Console from starting.
        let stored =
            store.setting(SETTING).await?.and_then(|text| serde_json::from_str::<String>(&text).ok());
        let stored = Mutex::new(stored.and_then(|url| url.parse().ok()));
        Ok(Self(Arc::new(Inner { store, flag, stored })))
    }

    /// The URL; `None`: nobody has set one.
    #[must_use]
    pub fn current(&self) -> Option<PublicUrl> {
        let stored = || self.0.stored.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.0.flag.clone().or_else(stored)
    }

    /// Whether the flag sets it.
    #[must_use]
    pub fn is_flag(&self) -> bool {
        self.0.flag.is_some()
    }

    /// Sets it in the name of `actor`; `None` leaves it to what browsers call.
    ///
    /// # Errors
    /// [`PublicUrlError`].
    pub async fn change(&self, url: Option<PublicUrl>, actor: &Actor) -> Result<(), PublicUrlError> {
        if self.is_flag() {
            return Err(PublicUrlError::Flag);
        }
        let json = |url: &Option<PublicUrl>| url.as_ref().map_or(Value::Null, |url| url.as_str().into());
        let (old, new) = (json(&self.current()), json(&url));
        if old != new {
            self.0.store.change_setting(SETTING, (old, new), actor, OffsetDateTime::now_utc()).await?;
            *self.0.stored.lock().unwrap_or_else(PoisonError::into_inner) = url;
        }
        Ok(())
    }
}

const SETTING: &str = "public-url";
