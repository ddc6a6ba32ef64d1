//! The audit log: every change, by whom, from where; each entry chained to the one before it.
//!
//! ```text
//! mod.rs      what an entry says, how its hash is made
//! ledger.rs   a transaction that also writes entries: a change and its entry are stored together or not at all
//! query.rs    which entries are asked for
//! verify.rs   whether the chain is unbroken
//! ```
//!
//! The hash of an entry is the SHA-256, in hexadecimal, of the hash before it ([`NO_HASH`] for the first) followed by
//! the compact JSON array `[time,user,address,action,object,old,new]` of what the API shows. Who can write to the
//! database can also make a new chain: whoever must rule that out keeps a hash elsewhere from time to time.

mod ledger;
mod query;
#[cfg(test)]
mod tests;
mod verify;

use std::net::IpAddr;

use aws_lc_rs::digest;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::from_milliseconds;

pub(super) use ledger::Ledger;
pub use query::AuditQuery;
pub(super) use query::pattern;
pub use verify::Chain;

/// Who does something, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user; empty for the Console itself, and for who has not proved to be a user.
    pub user: String,
    /// The address of the peer; empty for the Console itself.
    pub address: String,
}

/// Something that was done.
#[derive(Debug, Clone)]
pub struct Deed {
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    /// What it was done to.
    pub object: String,
    /// What changed, before; `null` when there was nothing. Never a secret.
    pub old: Value,
    /// What changed, after; `null` when there is nothing. Never a secret.
    pub new: Value,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An alert was acknowledged.
    AlertAcknowledged,
    /// A kept backup was removed.
    BackupDeleted,
    /// A kept backup was downloaded.
    BackupDownloaded,
    /// A backup was made.
    BackupMade,
    /// The Console was restored from a backup.
    BackupRestored,
    /// The rotation of the Console's own CA took a step.
    AuthorityRotated,
    /// An install bundle was issued.
    BundleIssued,
    /// A custom set that would lose Defenders was let through.
    CertificatesAccepted,
    /// A Defender was decommissioned.
    Decommissioned,
    /// An access key was made.
    KeyAdded,
    /// An access key was deleted.
    KeyRemoved,
    /// A session was ended, by its user or by an administrator.
    SessionEnded,
    /// A Defender was told to start afresh.
    Restarted,
    /// A Defender that was away for too long may come back.
    ReturnApproved,
    /// A registration was revoked.
    RegistrationRevoked,
    /// A setting was changed.
    SettingChanged,
    /// A user was added.
    UserAdded,
    /// A user got another role or password.
    UserChanged,
    /// A user was removed.
    UserRemoved,
    /// A user proved to be one.
    UserSignedIn,
    /// Somebody failed to, again and again.
    UserSignInFailed,
    /// A user ended the session.
    UserSignedOut,
    /// The first administrator signed up.
    UserSignedUp,
}

/// An entry as stored and as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Audit {
    /// When, to the millisecond.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Who.
    pub user: String,
    /// From where.
    pub address: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub object: String,
    /// What changed, before.
    #[schema(value_type = Value)]
    pub old: Box<RawValue>,
    /// What changed, after.
    #[schema(value_type = Value)]
    pub new: Box<RawValue>,
    /// SHA-256 over the hash before and all of the above.
    pub hash: String,
}

impl Actor {
    /// A user at an address.
    #[must_use]
    pub fn new(user: &str, address: IpAddr) -> Self {
        Self { user: user.to_owned(), address: address.to_canonical().to_string() }
    }

    /// The Console itself.
    #[must_use]
    pub fn console() -> Self {
        Self { user: String::new(), address: String::new() }
    }
}

impl Action {
    /// The action as the API and the database write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlertAcknowledged => "alert.acknowledged",
            Self::BackupDeleted => "backup.deleted",
            Self::BackupDownloaded => "backup.downloaded",
            Self::BackupMade => "backup.made",
            Self::BackupRestored => "backup.restored",
            Self::AuthorityRotated => "authority.rotated",
            Self::BundleIssued => "defender.bundle-issued",
            Self::CertificatesAccepted => "certificates.accepted",
            Self::Decommissioned => "defender.decommissioned",
            Self::KeyAdded => "access-key.added",
            Self::KeyRemoved => "access-key.removed",
            Self::SessionEnded => "session.ended",
            Self::Restarted => "defender.restarted",
            Self::ReturnApproved => "defender.return-approved",
            Self::RegistrationRevoked => "registration.revoked",
            Self::SettingChanged => "setting.changed",
            Self::UserAdded => "user.added",
            Self::UserChanged => "user.changed",
            Self::UserRemoved => "user.removed",
            Self::UserSignedIn => "user.signed-in",
            Self::UserSignInFailed => "user.sign-in-failed",
            Self::UserSignedOut => "user.signed-out",
            Self::UserSignedUp => "user.signed-up",
        }
    }
}

impl Audit {
    /// The hash that follows from `previous` and what the entry says.
    fn hash_after(&self, previous: &str) -> String {
        let Self { time, user, address, action, object, old, new, hash: _ } = self;
        let time = time.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
        let content = serde_json::to_string(&(time, user, address, action, object, old, new));
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(previous.as_bytes());
        context.update(content.unwrap_or_default().as_bytes());
        certs::hex::encode(context.finish())
    }
}

/// An entry and its number.
fn read(row: &AnyRow) -> Result<(i64, Audit), sqlx::Error> {
    // What is no JSON was not written here; as a text it does not fit its hash.
    let json = |column| {
        let text: String = row.try_get(column)?;
        let json = RawValue::from_string(text.clone()).or_else(|_| to_raw_value(&text));
        json.map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let audit = Audit {
        time: from_milliseconds(row.try_get("made_at")?),
        user: row.try_get("username")?,
        address: row.try_get("address")?,
        action: row.try_get("action")?,
        object: row.try_get("object")?,
        old: json("old_value")?,
        new: json("new_value")?,
        hash: row.try_get("hash")?,
    };
    Ok((row.try_get("seq")?, audit))
}

/// Stands before the first entry.
pub const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const READING: &str = "reading the audit log";
