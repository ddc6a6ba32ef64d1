//! Who is calling: users with passwords, bearer tokens, sessions, access keys, the first administrator. What a caller
//! may do is in `web/auth.rs`.
//!
//! ```text
//! password.rs   Argon2id, a few at a time
//! throttle.rs   slows down guessing, pure
//! trail.rs      which sign-ins are worth an audit entry, pure
//! known.rs      Basic credentials verified a moment ago
//! first.rs      the first administrator: password file, or setup token
//! users.rs      users added, changed and removed
//! sessions.rs   the web UI's sessions
//! keys.rs       named access keys of programs
//! ```

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::store::audits::{Action, Actor, Deed};
use crate::store::users::{First, Role, User, UserView};
use crate::store::{Store, StoreError};

pub use first::FirstAdministratorError;
pub use keys::NewKeyError;
pub use password::PasswordError;
pub use sessions::{Browser, LimitsError, Presence, SessionLimits};
pub use users::{ManageError, OwnPasswordError};

use first::SetupToken;
use known::Known;
use password::Passwords;
use sessions::Limits;
use throttle::{Key, Throttle};
use trail::Trail;

mod first;
mod keys;
mod known;
mod password;
mod sessions;
mod throttle;
mod trail;
mod users;

/// Everything about sign-in. Clones share it.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    store: Store,
    passwords: Passwords,
    setup: SetupToken,
    throttle: StdMutex<Throttle>,
    trail: StdMutex<Trail>,
    known: StdMutex<Known>,
    /// Attempts of one user from one address run one after the other, so that many at once are counted as many.
    lanes: [Mutex<()>; LANES],
    lane_of: std::hash::RandomState,
    /// Told of each change and removal.
    users_changed: watch::Sender<()>,
    /// Told of each session and access key that somebody ends.
    endings: watch::Sender<()>,
    limits: StdMutex<Limits>,
}

/// A user who has proved to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name.
    pub username: String,
    /// What the caller may do.
    pub role: Role,
    /// What the caller has shown.
    pub by: Credential,
}

/// What proves who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// An access key, by its name.
    Key(String),
    /// The password, by a digest of what is stored of it.
    Password(String),
    /// A session of the web UI.
    Session(Uuid),
    /// A bearer token, by its digest.
    Token(String),
}

/// Why a password or token was not taken.
#[derive(Debug, Error)]
pub enum SignInError {
    /// Too many attempts wait.
    #[error("too many sign-ins at once")]
    Busy,
    /// The database failed.
    #[error("reading users")]
    Store(#[from] StoreError),
    /// Too many failures; try again after this time.
    #[error("too many failed attempts")]
    Throttled(Duration),
    /// No such user, or another password.
    #[error("wrong user name or password")]
    Wrong,
}

/// Why the first administrator was not signed up.
#[derive(Debug, Error)]
pub enum SignUpError {
    /// Too many attempts wait.
    #[error("too many sign-ins at once")]
    Busy,
    /// The name or the password is none.
    #[error("{0}")]
    Form(String),
    /// The database failed.
    #[error("adding the first administrator")]
    Store(#[from] StoreError),
    /// There is a user already.
    #[error("there is a user already")]
    TooLate,
    /// Another setup token.
    #[error("wrong setup token")]
    WrongToken,
}

/// A new bearer token. Only its digest is stored.
pub struct Token(Zeroizing<String>);

impl Token {
    /// The token, for its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Access {
    /// Whether there is a user; until then somebody must sign up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        self.0.store.has_users().await
    }

    /// Adds the first user; of several at once one wins.
    ///
    /// # Errors
    /// [`SignUpError`]; nothing has changed then.
    pub async fn sign_up(
        &self,
        username: &str,
        password: &str,
        setup_token: &str,
        address: IpAddr,
    ) -> Result<UserView, SignUpError> {
        if self.0.store.has_users().await? {
            return Err(SignUpError::TooLate);
        }
        if !self.0.setup.is(setup_token) {
            return Err(SignUpError::WrongToken);
        }
        let username = crate::config::username(username).map_err(SignUpError::Form)?;
        password::check_form(password).map_err(|error| SignUpError::Form(error.to_string()))?;
        let password = self.0.passwords.hash(password).await.map_err(|PasswordError| SignUpError::Busy)?;
        let user = User { username, password, role: Role::Administrator };
        let actor = Actor::new(&user.username, address);
        match self.0.store.add_first_user(&user, &actor, OffsetDateTime::now_utc()).await? {
            First::Added(added) => {
                tracing::info!(user = user.username, "First administrator signed up");
                Ok(added)
            }
            First::TooLate => Err(SignUpError::TooLate),
        }
    }

    /// Checks a name and a password that come from `address`. Slow by design, and slower after failures.
    async fn sign_in(&self, username: &str, password: &str, address: IpAddr) -> Result<User, SignInError> {
        let key = Key::new(username, address);
        let lane = usize::try_from(self.0.lane_of.hash_one(&key) % LANES_U64).unwrap_or(0);
        let _turn = match self.0.lanes.get(lane) {
            Some(lane) => Some(lane.lock().await),
            None => None,
        };
        self.0.throttle().check(&key, Instant::now()).map_err(SignInError::Throttled)?;
        let user = self.0.store.user(username).await?;
        let hash = user.as_ref().map(|user| user.password.as_str());
        let right =
            self.0.passwords.verify(password, hash).await.map_err(|PasswordError| SignInError::Busy)?;
        let username = user.as_ref().map_or_else(String::new, |user| user.username.clone());
        if let Some(user) = user.filter(|_| right) {
            self.0.throttle().succeeded(&key);
            return Ok(user);
        }
        let is_burst = self.0.throttle().failed(key, Instant::now());
        if is_burst {
            self.note_burst(username, address).await?;
        }
        Err(SignInError::Wrong)
    }

    /// The user of a name and a password that come with each call: what was right within the last minute is taken
    /// without the cost, as long as the user is there and has that password.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn by_password(
        &self,
        username: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<Caller, SignInError> {
        if let Some(user) = self.0.store.user(username).await? {
            let key = self.0.known().key(username, password, &user.password);
            if self.0.known().has(&key, Instant::now()) {
                return Ok(user.into());
            }
        }
        let user = self.sign_in(username, password, address).await?;
        let key = self.0.known().key(username, password, &user.password);
        self.note_user(&user.username, address).await?;
        self.0.known().keep(key, Instant::now());
        Ok(user.into())
    }

    /// A token, good for half an hour, for who knows the password.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn authenticate(
        &self,
        username: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<Token, SignInError> {
        let user = self.sign_in(username, password, address).await?;
        let token = sessions::new_token();
        let now = OffsetDateTime::now_utc();
        let actor = Actor::new(&user.username, address);
        match self.0.store.add_token(&sha256(&token), &user, &actor, now, now + TOKEN_LIFE).await? {
            true => Ok(Token(token)),
            false => Err(SignInError::Wrong),
        }
    }

    /// The user whom a bearer token stands for, or the program whose access key it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_token(&self, token: &str, address: IpAddr) -> Result<Option<Caller>, StoreError> {
        if Self::is_key(token) {
            return self.by_key(token, address).await;
        }
        let digest = sha256(token);
        let found = self.0.store.token(&digest, OffsetDateTime::now_utc()).await?;
        Ok(found.map(|(username, role)| Caller { username, role, by: Credential::Token(digest) }))
    }

    async fn note_user(&self, username: &str, address: IpAddr) -> Result<(), StoreError> {
        if !self.0.trail().notes_user(username, address, Instant::now()) {
            return Ok(());
        }
        let actor = Actor::new(username, address);
        let (action, object) = (Action::UserSignedIn, username.to_owned());
        let deed = Deed { actor, action, object, old: Value::Null, new: json!({ "with": "password" }) };
        self.0.store.record(&deed, OffsetDateTime::now_utc()).await
    }

    /// `username` is empty where there is no such user: what was typed may be a password.
    async fn note_burst(&self, username: String, address: IpAddr) -> Result<(), StoreError> {
        let Some(unnoted) = self.0.trail().notes_burst(Instant::now()) else { return Ok(()) };
        let (actor, action) = (Actor::new("", address), Action::UserSignInFailed);
        let new = json!({ "failures": throttle::FREE, "bursts_without_entry": unnoted });
        let deed = Deed { actor, action, object: username, old: Value::Null, new };
        self.0.store.record(&deed, OffsetDateTime::now_utc()).await
    }
}

impl From<User> for Caller {
    fn from(user: User) -> Self {
        let by = Credential::Password(sha256(&user.password));
        Self { username: user.username, role: user.role, by }
    }
}

impl Caller {
    /// The caller as the audit log names it, at `address`: `user`, or `user/key` for a program.
    #[must_use]
    pub fn actor(&self, address: IpAddr) -> Actor {
        match &self.by {
            Credential::Key(name) => Actor::new(&format!("{}/{name}", self.username), address),
            Credential::Password(_) | Credential::Session(_) | Credential::Token(_) => {
                Actor::new(&self.username, address)
            }
        }
    }
}

impl Inner {
    fn throttle(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trail(&self) -> std::sync::MutexGuard<'_, Trail> {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}

/// A token has 256 random bits, so a plain digest cannot be turned back.
fn sha256(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

const TOKEN_LIFE: time::Duration = time::Duration::minutes(30);
const LANES: usize = 64;
const LANES_U64: u64 = 64;

#[cfg(test)]
mod tests;
