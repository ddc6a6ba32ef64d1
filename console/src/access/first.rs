//! The first administrator: made from the password file at start, or signed up with a one-time setup token that
//! is logged while there is no user.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::{Mutex, watch};
use zeroize::Zeroizing;

use super::known::Known;
use super::password::{self, Passwords};
use super::sessions::Limits;
use super::throttle::Throttle;
use super::trail::Trail;
use super::{Access, Inner, LANES, PasswordError};
use crate::config::FirstAdministrator;
use crate::store::audits::Actor;
use crate::store::users::{First, Role, User};
use crate::store::{Store, StoreError};

/// The token that the first sign-up must show; `None` when there was a user at start.
pub(super) struct SetupToken(Option<Zeroizing<String>>);

/// Why the first administrator cannot be made at start.
#[derive(Debug, Error)]
pub enum FirstAdministratorError {
    /// The password is too short or too long.
    #[error("the password in {0} is none: a password has 8 to 1024 characters; write one into the file")]
    Form(PathBuf),
    /// The password cannot be hashed.
    #[error("hashing the first administrator's password")]
    Hash(#[from] PasswordError),
    /// The file cannot be read.
    #[error(
        "reading the first administrator's password from {path} (--admin-password-file must name a text file \
         that the Console's user can read)"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The database failed.
    #[error("making the first administrator")]
    Store(#[from] StoreError),
}

impl SetupToken {
    fn new() -> Self {
        Self(Some(Zeroizing::new(URL_SAFE_NO_PAD.encode(lifecycle::random::bytes::<24>()))))
    }

    /// Compares in constant time.
    pub(super) fn is(&self, given: &str) -> bool {
        self.0.as_ref().is_some_and(|token| bool::from(token.as_bytes().ct_eq(given.as_bytes())))
    }
}

impl Access {
    /// Prepares sign-in. While there is no user it makes the first administrator from the password file, or
    /// logs the setup token.
    ///
    /// # Errors
    /// [`FirstAdministratorError`].
    pub async fn open(store: Store, first: &FirstAdministrator) -> Result<Self, FirstAdministratorError> {
        let passwords = Passwords::new().await?;
        let mut setup = SetupToken(None);
        if !store.has_users().await? {
            match &first.password_file {
                Some(path) => add(&store, &passwords, &first.username, path).await?,
                None => {
                    setup = SetupToken::new();
                    let token = setup.0.as_ref().map_or("", |token| token.as_str());
                    tracing::info!("Setup token for the first administrator: {token}");
                }
            }
        }
        let limits = Limits::open(&store).await?;
        Ok(Self(Arc::new(Inner {
            store,
            passwords,
            setup,
            throttle: StdMutex::new(Throttle::default()),
            trail: StdMutex::new(Trail::new(Instant::now())),
            known: StdMutex::new(Known::new()),
            lanes: [const { Mutex::const_new(()) }; LANES],
            lane_of: std::hash::RandomState::new(),
            users_changed: watch::Sender::new(()),
            endings: watch::Sender::new(()),
            limits: StdMutex::new(limits),
        })))
    }

    /// The setup token, for tests of the sign-up.
    #[cfg(test)]
    pub(crate) fn setup_token(&self) -> String {
        self.0.setup.0.as_ref().expect("there was no user").to_string()
    }
}

async fn add(
    store: &Store,
    passwords: &Passwords,
    username: &str,
    path: &Path,
) -> Result<(), FirstAdministratorError> {
    let password =
        read(path).map_err(|source| FirstAdministratorError::Read { path: path.to_owned(), source })?;
    password::check_form(&password).map_err(|_| FirstAdministratorError::Form(path.to_owned()))?;
    let password = passwords.hash(&password).await?;
    let user = User { username: username.to_owned(), password, role: Role::Administrator };
    let first = store.add_first_user(&user, &Actor::console(), OffsetDateTime::now_utc()).await?;
    if matches!(first, First::Added(_)) {
        tracing::info!(user = username, "First administrator made from the password file");
    }
    Ok(())
}

/// The text of the file without the line end that editors leave.
fn read(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(MOST_BYTES));
    std::fs::File::open(path)?
        .take(u64::try_from(MOST_BYTES).unwrap_or(u64::MAX))
        .read_to_string(&mut text)?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Zeroizing::new(password.strip_suffix('\r').unwrap_or(password).to_owned()))
}

/// More than any password: 1024 characters of four bytes and the line end.
const MOST_BYTES: usize = 8 * 1024;
