//! Sessions of the web UI: a random token in a cookie, whose digest is stored. A session ends when it was idle for too
//! long, at the end of its life, when its user signs out, is removed, or gets another password or role.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Access, Caller, Credential, SignInError, Token, sha256};
use crate::store::audits::{Action, Actor, Deed};
use crate::store::sessions::{Cutoff, NewSession, SessionView};
use crate::store::{Store, StoreError};

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SessionLimits {
    /// A session ends when nothing was asked with it for so many minutes.
    #[schema(minimum = 5, maximum = 1440)]
    pub idle_minutes: u16,
    /// A session ends so many hours after the sign-in, however much it is used.
    #[schema(minimum = 1, maximum = 720)]
    pub life_hours: u16,
}

/// The limits as read of late: another Console of the same database may change them.
pub(super) struct Limits {
    limits: SessionLimits,
    read_at: Instant,
}

/// Where a browser calls from.
#[derive(Debug, Clone, Copy)]
pub struct Browser<'a> {
    /// The address.
    pub address: IpAddr,
    /// What it says of itself.
    pub user_agent: &'a str,
    /// The token that it showed, valid or not.
    pub token: Option<&'a str>,
}

/// Whether a call says that somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A page refreshed itself: the session does not last longer for that.
    Page,
    /// A person did something.
    Person,
}

/// Limits that are none.
#[derive(Debug, Error)]
pub enum LimitsError {
    /// Out of range.
    #[error("idleMinutes is 5 to 1440 and lifeHours is 1 to 720 (30 days)")]
    Range,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { idle_minutes: 30, life_hours: 12 }
    }
}

impl SessionLimits {
    fn idle(self) -> time::Duration {
        time::Duration::minutes(i64::from(self.idle_minutes))
    }

    fn life(self) -> time::Duration {
        time::Duration::hours(i64::from(self.life_hours))
    }

    fn cutoff(self, now: OffsetDateTime) -> Cutoff {
        Cutoff { now, used_after: now - self.idle(), made_after: now - self.life() }
    }

    fn is_in_range(self) -> bool {
        (5..=1440).contains(&self.idle_minutes) && (1..=720).contains(&self.life_hours)
    }

    /// The stored ones; the default ones where there are none, or none that this version can read.
    async fn stored(store: &Store) -> Result<Self, StoreError> {
        let stored = store.setting(SETTING).await?;
        let limits = stored.and_then(|text| serde_json::from_str::<Self>(&text).ok());
        Ok(limits.filter(|limits| limits.is_in_range()).unwrap_or_default())
    }
}

impl Limits {
    pub(super) async fn open(store: &Store) -> Result<Self, StoreError> {
        Ok(Self { limits: SessionLimits::stored(store).await?, read_at: Instant::now() })
    }
}

impl Access {
    /// Begins a session for who knows the password, always with a token of its own: the one that the browser showed
    /// ends.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn begin_session(
        &self,
        username: &str,
        password: &str,
        browser: Browser<'_>,
    ) -> Result<Token, SignInError> {
        let user = self.sign_in(username, password, browser.address).await?;
        let token = new_token();
        let now = OffsetDateTime::now_utc();
        let limits = self.session_limits().await?;
        let replaces = browser.token.map(sha256);
        let user_agent: String =
            browser.user_agent.chars().filter(|c| !c.is_control()).take(MOST_USER_AGENT).collect();
        let session = NewSession {
            id: Uuid::new_v4(),
            sha256: &sha256(&token),
            user_agent: &user_agent,
            replaces: replaces.as_deref(),
        };
        let actor = Actor::new(&user.username, browser.address);
        let (cutoff, end) = (limits.cutoff(now), now + limits.life());
        match self.0.store.add_session(&session, &user, &actor, cutoff, end).await? {
            true => Ok(Token(token)),
            false => Err(SignInError::Wrong),
        }
    }

    /// The user whose session this is the token of, who calls from `address`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_session(
        &self,
        token: &str,
        address: IpAddr,
        presence: Presence,
    ) -> Result<Option<Caller>, StoreError> {
        // Nothing else is a token; what strangers send costs no query.
        if token.len() != TOKEN_CHARACTERS {
            return Ok(None);
        }
        let now = OffsetDateTime::now_utc();
        let cutoff = self.session_limits().await?.cutoff(now);
        let Some(found) = self.0.store.session(&sha256(token), cutoff).await? else { return Ok(None) };
        if presence == Presence::Person && now - found.last_used_at >= NOTED_EVERY {
            self.0.store.use_session(found.id, &address.to_canonical().to_string(), now).await?;
        }
        let by = Credential::Session(found.id);
        Ok(Some(Caller { username: found.username, role: found.role, by }))
    }

    /// The valid sessions of `owner`, or of all users, that of `caller` marked; in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sessions(
        &self,
        owner: Option<&str>,
        caller: &Caller,
    ) -> Result<Vec<SessionView>, StoreError> {
        let limits = self.session_limits().await?;
        let mut sessions = self.0.store.sessions(owner, limits.cutoff(OffsetDateTime::now_utc())).await?;
        for session in &mut sessions {
            let whole = (session.created_at + limits.life()).min(session.expires_at);
            session.expires_at = (session.last_used_at + limits.idle()).min(whole);
            session.current = caller.by == Credential::Session(session.id);
        }
        Ok(sessions)
    }

    /// Ends a session, of `owner` only unless that is `None`. `false` when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_session(
        &self,
        id: Uuid,
        owner: Option<&str>,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        self.end(id, owner, Action::SessionEnded, actor).await
    }

    /// Ends the caller's session; `false` when the caller has none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out(&self, caller: &Caller, address: IpAddr) -> Result<bool, StoreError> {
        let Credential::Session(id) = caller.by else { return Ok(false) };
        let actor = Actor::new(&caller.username, address);
        self.end(id, Some(&caller.username), Action::UserSignedOut, &actor).await
    }

    /// How long sessions last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session_limits(&self) -> Result<SessionLimits, StoreError> {
        let kept = {
            let limits = self.0.limits.lock().unwrap_or_else(PoisonError::into_inner);
            (limits.read_at.elapsed() < READ_EVERY).then_some(limits.limits)
        };
        match kept {
            Some(limits) => Ok(limits),
            None => {
                let limits = SessionLimits::stored(&self.0.store).await?;
                self.keep_limits(limits);
                Ok(limits)
            }
        }
    }

    /// Changes how long sessions last, also those that there are, in the name of `actor`.
    ///
    /// # Errors
    /// [`LimitsError`]; nothing has changed then.
    pub async fn set_session_limits(&self, limits: SessionLimits, actor: &Actor) -> Result<(), LimitsError> {
        if !limits.is_in_range() {
            return Err(LimitsError::Range);
        }
        let old = SessionLimits::stored(&self.0.store).await?;
        if old != limits {
            let values = (json!(old), json!(limits));
            self.0.store.change_setting(SETTING, values, actor, OffsetDateTime::now_utc()).await?;
        }
        self.keep_limits(limits);
        self.0.endings.send_replace(());
        Ok(())
    }

    /// Returns once the caller has to prove who it is again, because what it called with has ended or stands for another
    /// role; within a minute if that came with time or at another Console.
    pub fn until_ended(&self, caller: &Caller) -> impl Future<Output = ()> + Send + use<> {
        let mut users = self.0.users_changed.subscribe();
        let mut endings = self.0.endings.subscribe();
        let (access, caller) = (self.clone(), caller.clone());
        async move {
            loop {
                tokio::select! {
                    _ = users.changed() => {}
                    _ = endings.changed() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                // A database that fails is no reason: the reader would only come back and fail.
                if matches!(access.lasts(&caller).await, Ok(false)) {
                    return;
                }
            }
        }
    }

    /// Whether what the caller called with would make it the same caller now.
    pub(super) async fn lasts(&self, caller: &Caller) -> Result<bool, StoreError> {
        let (store, now) = (&self.0.store, OffsetDateTime::now_utc());
        let role = match &caller.by {
            Credential::Key(name) => store.key_of_name(name, now).await?.map(|key| key.role),
            Credential::Password(digest) => {
                let user = store.user(&caller.username).await?;
                user.filter(|user| sha256(&user.password) == *digest).map(|user| user.role)
            }
            Credential::Session(id) => {
                let cutoff = self.session_limits().await?.cutoff(now);
                store.session_of_id(*id, cutoff).await?.map(|session| session.role)
            }
            Credential::Token(digest) => store.token(digest, now).await?.map(|(_, role)| role),
        };
        Ok(role == Some(caller.role))
    }

    async fn end(
        &self,
        id: Uuid,
        owner: Option<&str>,
        action: Action,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let actor = actor.clone();
        let deed =
            |whose| Deed { actor, action, object: whose, old: json!({ "session": id }), new: Value::Null };
        let ended = self.0.store.end_session(id, owner, deed, OffsetDateTime::now_utc()).await?;
        if ended {
            self.0.endings.send_replace(());
        }
        Ok(ended)
    }

    fn keep_limits(&self, limits: SessionLimits) {
        let mut kept = self.0.limits.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Limits { limits, read_at: Instant::now() };
    }
}

/// 256 random bits.
pub(super) fn new_token() -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(lifecycle::random::bytes::<32>()))
}

const TOKEN_CHARACTERS: usize = 43;
const MOST_USER_AGENT: usize = 256;
const SETTING: &str = "sessions";

/// Uses closer together than this are one: reading pages does not write to the disk each time.
const NOTED_EVERY: time::Duration = time::Duration::seconds(30);
const READ_EVERY: Duration = Duration::from_secs(10);

/// How often an open stream looks whether what it was opened with has ended by itself.
const LOOK_EVERY: Duration = Duration::from_secs(60);
