//! A transaction that also writes audit entries: a change and its entry are stored together or not at all.

use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::{Action, Actor, Audit, Deed, NO_HASH};
use crate::store::{Store, StoreError, Write, from_milliseconds, milliseconds, settings, text};

/// The transaction. Only one has the end of the chain at a time, also of several Consoles: on PostgreSQL the next
/// one waits for the row that holds it. So what is read in here stays true until the commit.
pub(in crate::store) struct Ledger {
    write: Write,
    /// Hash of the newest entry.
    head: String,
    /// Number of the next entry.
    next: i64,
}

impl Store {
    /// Begins a transaction that changes something and says so.
    pub(in crate::store) async fn ledger(&self) -> Result<Ledger, StoreError> {
        Ledger::open(self.write().await?).await
    }

    /// Writes an entry for what is no change of the database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record(&self, deed: &Deed, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut ledger = self.ledger().await?;
        ledger.enter(deed, now).await?;
        ledger.commit().await
    }

    /// Writes entries for what is no change of the database, all of them or none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_all(&self, deeds: &[Deed], now: OffsetDateTime) -> Result<(), StoreError> {
        let mut ledger = self.ledger().await?;
        for deed in deeds {
            ledger.enter(deed, now).await?;
        }
        ledger.commit().await
    }

    /// Changes a setting in the name of `actor`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_setting(
        &self,
        key: &str,
        values: (Value, Value),
        actor: &Actor,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.change_setting_and(key, values, None, actor, now).await
    }

    /// Changes a setting in the name of `actor`, and writes the entry of what is done with it, both or neither.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_setting_and(
        &self,
        key: &str,
        values: (Value, Value),
        also: Option<&Deed>,
        actor: &Actor,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let (old, new) = values;
        let mut ledger = self.ledger().await?;
        settings::set(ledger.write(), key, &new.to_string()).await?;
        let (action, object) = (Action::SettingChanged, key.to_owned());
        ledger.enter(&Deed { actor: actor.clone(), action, object, old, new }, now).await?;
        if let Some(also) = also {
            ledger.enter(also, now).await?;
        }
        ledger.commit().await
    }
}

impl Ledger {
    /// Makes `write` one that also writes entries.
    pub(in crate::store) async fn open(mut write: Write) -> Result<Self, StoreError> {
        let head = sqlx::query_scalar(
            "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = settings.value \
             RETURNING value",
        )
        .bind(HEAD)
        .bind(NO_HASH)
        .fetch_one(write.connection())
        .await
        .map_err(StoreError::during("reading the end of the audit log"))?;
        let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM audits")
            .fetch_one(write.connection())
            .await
            .map_err(StoreError::during("reading the end of the audit log"))?;
        Ok(Self { write, head, next: last + 1 })
    }

    /// The transaction, for the change itself.
    pub(in crate::store) fn write(&mut self) -> &mut Write {
        &mut self.write
    }

    /// Writes an entry.
    pub(in crate::store) async fn enter(
        &mut self,
        deed: &Deed,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut audit = audit(deed, now)?;
        audit.hash = audit.hash_after(&self.head);
        sqlx::query(
            "INSERT INTO audits (seq, made_at, username, address, action, object, old_value, new_value, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(self.next)
        .bind(milliseconds(audit.time))
        .bind(&audit.user)
        .bind(&audit.address)
        .bind(&audit.action)
        .bind(&audit.object)
        .bind(audit.old.get())
        .bind(audit.new.get())
        .bind(&audit.hash)
        .execute(self.write.connection())
        .await
        .map_err(StoreError::during("writing the audit log"))?;
        self.head = audit.hash;
        self.next += 1;
        Ok(())
    }

    /// Makes the change and its entries durable.
    pub(in crate::store) async fn commit(mut self) -> Result<(), StoreError> {
        settings::set(&mut self.write, HEAD, &self.head).await?;
        self.write.commit().await
    }
}

/// The entry as it will be read again: time to the millisecond, no NUL. The hash comes later.
fn audit(deed: &Deed, now: OffsetDateTime) -> Result<Audit, StoreError> {
    // JSON writes NUL as an escape.
    let json = |value: &Value| {
        RawValue::from_string(value.to_string())
            .map_err(|error| StoreError::during("writing the audit log")(sqlx::Error::Encode(error.into())))
    };
    Ok(Audit {
        time: from_milliseconds(milliseconds(now)),
        user: text(&deed.actor.user).into_owned(),
        address: text(&deed.actor.address).into_owned(),
        action: deed.action.as_str().to_owned(),
        object: text(&deed.object).into_owned(),
        old: json(&deed.old)?,
        new: json(&deed.new)?,
        hash: String::new(),
    })
}

/// Setting that holds the hash of the newest entry: without it, the newest entries could go unnoticed.
pub(super) const HEAD: &str = "audit-head";
