//! The tables of enrolment: registrations, who used them, and the own certificates of Defenders.

use std::net::{IpAddr, Ipv4Addr};

use sqlx::Row as _;
use sqlx::any::AnyRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::audits::Deed;
use super::{Store, StoreError, Write, from_milliseconds, milliseconds};
use crate::enroll::{Enrolled, Own, Registration, State, Use};

/// One group of changes.
#[derive(Debug, Default)]
pub struct EnrolmentRows {
    /// What is known of Defenders' own certificates.
    pub enrolled: Vec<(Uuid, Enrolled)>,
    /// Registration, Defender, when and from where.
    pub uses: Vec<(Uuid, Uuid, Use)>,
}

impl Store {
    /// Everything.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enrolment(&self) -> Result<State, StoreError> {
        let fault = || StoreError::during(READING);
        let mut state = State::default();
        let registrations =
            "SELECT id, created_by, created_at, expires_at, max_uses, revoked_at, sha256 FROM registrations";
        for row in sqlx::query(registrations).fetch_all(self.pool()).await.map_err(fault())? {
            let registration = registration(&row).map_err(fault())?;
            state.registrations.insert(registration.id, registration);
        }
        let uses = "SELECT registration, defender, used_at, address FROM registration_uses";
        for row in sqlx::query(uses).fetch_all(self.pool()).await.map_err(fault())? {
            let (of, by, use_) = used(&row).map_err(fault())?;
            if let Some(registration) = state.registrations.get_mut(&of) {
                registration.uses.insert(by, use_);
            }
        }
        let enrolments = "SELECT defender, enrolled_at, registration, own_since, own_until, issuer, authorities, \
            approved_until FROM enrolments";
        for row in sqlx::query(enrolments).fetch_all(self.pool()).await.map_err(fault())? {
            let (id, enrolled) = enrolled(&row).map_err(fault())?;
            state.enrolled.insert(id, enrolled);
        }
        Ok(state)
    }

    /// Keeps a new registration, with the entry in the audit log if there is to be one, and forgets those that expired
    /// [`KEEP_EXPIRED`] ago.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_registration(&self, new: &Registration, deed: Option<&Deed>) -> Result<(), StoreError> {
        let mut ledger = self.ledger().await?;
        let before = milliseconds(new.created_at - KEEP_EXPIRED);
        for sql in [
            "DELETE FROM registration_uses WHERE registration IN (SELECT id FROM registrations WHERE expires_at < $1)",
            "DELETE FROM registrations WHERE expires_at < $1",
        ] {
            let query = sqlx::query(sql).bind(before);
            query.execute(ledger.write().connection()).await.map_err(StoreError::during(WRITING))?;
        }
        sqlx::query(
            "INSERT INTO registrations (id, created_by, created_at, expires_at, max_uses, sha256) VALUES ($1, $2, $3, \
             $4, $5, $6)",
        )
        .bind(new.id.to_string())
        .bind(new.created_by.as_str())
        .bind(milliseconds(new.created_at))
        .bind(milliseconds(new.expires_at))
        .bind(new.max_uses.map(|max| i64::try_from(max).unwrap_or(i64::MAX)))
        .bind(new.sha256.as_str())
        .execute(ledger.write().connection())
        .await
        .map_err(StoreError::during(WRITING))?;
        if let Some(deed) = deed {
            ledger.enter(deed, new.created_at).await?;
        }
        ledger.commit().await
    }

    /// Revokes a registration, and says so in the audit log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_registration(
        &self,
        id: Uuid,
        deed: &Deed,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut ledger = self.ledger().await?;
        sqlx::query("UPDATE registrations SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
            .bind(milliseconds(now))
            .bind(id.to_string())
            .execute(ledger.write().connection())
            .await
            .map_err(StoreError::during(WRITING))?;
        ledger.enter(deed, now).await?;
        ledger.commit().await
    }

    /// Keeps what is known of a Defender whose return was approved, and says so in the audit log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn approve_return(
        &self,
        id: Uuid,
        enrolled: &Enrolled,
        deed: &Deed,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut ledger = self.ledger().await?;
        put_enrolled(ledger.write(), id, enrolled).await?;
        ledger.enter(deed, now).await?;
        ledger.commit().await
    }

    /// Writes one group in one transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write_enrolment(&self, rows: &EnrolmentRows) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        for (id, enrolled) in &rows.enrolled {
            put_enrolled(&mut write, *id, enrolled).await?;
        }
        for (registration, defender, Use { at, address }) in &rows.uses {
            sqlx::query(
                "INSERT INTO registration_uses (registration, defender, used_at, address) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (registration, defender) DO NOTHING",
            )
            .bind(registration.to_string())
            .bind(defender.to_string())
            .bind(milliseconds(*at))
            .bind(address.to_string())
            .execute(write.connection())
            .await
            .map_err(StoreError::during(WRITING))?;
        }
        write.commit().await
    }
}

async fn put_enrolled(write: &mut Write, id: Uuid, enrolled: &Enrolled) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO enrolments (defender, enrolled_at, registration, own_since, own_until, issuer, authorities, \
         approved_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (defender) DO UPDATE SET \
         enrolled_at = excluded.enrolled_at, registration = excluded.registration, own_since = excluded.own_since, \
         own_until = excluded.own_until, issuer = excluded.issuer, authorities = excluded.authorities, \
         approved_until = excluded.approved_until",
    )
    .bind(id.to_string())
    .bind(milliseconds(enrolled.at))
    .bind(enrolled.registration.map(|id| id.to_string()))
    .bind(enrolled.own.map(|own| milliseconds(own.since)))
    .bind(enrolled.own.map(|own| milliseconds(own.until)))
    .bind(enrolled.issuer.as_deref())
    .bind((!enrolled.authorities.is_empty()).then(|| enrolled.authorities.join(",")))
    .bind(enrolled.approved_until.map(milliseconds))
    .execute(write.connection())
    .await
    .map(|_| ())
    .map_err(StoreError::during(WRITING))
}

fn registration(row: &AnyRow) -> Result<Registration, sqlx::Error> {
    let max_uses: Option<i64> = row.try_get("max_uses")?;
    let revoked_at: Option<i64> = row.try_get("revoked_at")?;
    Ok(Registration {
        id: uuid(&row.try_get::<String, _>("id")?)?,
        created_by: row.try_get("created_by")?,
        created_at: from_milliseconds(row.try_get("created_at")?),
        expires_at: from_milliseconds(row.try_get("expires_at")?),
        max_uses: max_uses.map(|max| u64::try_from(max).unwrap_or(0)),
        revoked_at: revoked_at.map(from_milliseconds),
        sha256: row.try_get("sha256")?,
        uses: std::collections::BTreeMap::new(),
    })
}

fn used(row: &AnyRow) -> Result<(Uuid, Uuid, Use), sqlx::Error> {
    let address: String = row.try_get("address")?;
    let use_ = Use {
        at: from_milliseconds(row.try_get("used_at")?),
        address: address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    };
    let of = uuid(&row.try_get::<String, _>("registration")?)?;
    Ok((of, uuid(&row.try_get::<String, _>("defender")?)?, use_))
}

fn enrolled(row: &AnyRow) -> Result<(Uuid, Enrolled), sqlx::Error> {
    let registration: Option<String> = row.try_get("registration")?;
    let since: Option<i64> = row.try_get("own_since")?;
    let until: Option<i64> = row.try_get("own_until")?;
    let own = since
        .zip(until)
        .map(|(since, until)| Own { since: from_milliseconds(since), until: from_milliseconds(until) });
    let authorities: Option<String> = row.try_get("authorities")?;
    let approved: Option<i64> = row.try_get("approved_until")?;
    let enrolled = Enrolled {
        issuer: row.try_get("issuer")?,
        authorities: authorities.iter().flat_map(|list| list.split(',')).map(str::to_owned).collect(),
        approved_until: approved.map(from_milliseconds),
        at: from_milliseconds(row.try_get("enrolled_at")?),
        registration: registration.map(|text| uuid(&text)).transpose()?,
        own,
    };
    Ok((uuid(&row.try_get::<String, _>("defender")?)?, enrolled))
}

fn uuid(text: &str) -> Result<Uuid, sqlx::Error> {
    Uuid::parse_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

const READING: &str = "reading enrolments";
const WRITING: &str = "writing enrolments";

/// How long an expired registration is still listed.
pub const KEEP_EXPIRED: time::Duration = time::Duration::days(30);
