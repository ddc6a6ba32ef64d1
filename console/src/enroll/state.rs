//! Who may speak for which Defender, and who may have a certificate. Pure: no clock, no I/O. The rules in words are in
//! `docs/authority.md`; what is kept on disk is written by `mod.rs`.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use protocol::Close;
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// What the client certificate of a connection says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredential {
    /// Whom it is for.
    pub mark: Mark,
    /// When it begins to be valid.
    pub not_before: OffsetDateTime,
    /// When it expires.
    pub not_after: OffsetDateTime,
    /// Subject of the CA that issued it.
    pub issuer: String,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// What the rules need to know beside certificates.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Subjects of the CAs that are trusted now.
    pub issuers: Vec<String>,
    /// How long after its certificate's end a Defender comes back without being asked about.
    pub return_within: Duration,
}

/// Whom a client certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Nobody in particular: custom certificates, and install bundles of older Consoles.
    Nobody,
    /// The Defender of this identity.
    Own(Uuid),
    /// A Defender that enrols with this registration.
    Registration(Uuid),
}

/// What an install bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its name in the certificate.
    pub id: Uuid,
    /// Who issued it; empty: the Console itself.
    pub created_by: String,
    /// When it was issued.
    pub created_at: OffsetDateTime,
    /// When it expires.
    pub expires_at: OffsetDateTime,
    /// How many Defenders may enrol with it.
    pub max_uses: Option<u64>,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
    /// SHA-256 of the certificate, hexadecimal.
    pub sha256: String,
    /// The Defenders that enrolled with it.
    pub uses: BTreeMap<Uuid, Use>,
}

/// One enrolment with a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// When.
    pub at: OffsetDateTime,
    /// From where.
    pub address: IpAddr,
}

/// What is known of one Defender's own certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// When it was given its first one.
    pub at: OffsetDateTime,
    /// With which registration; `None`: an install bundle without a mark.
    pub registration: Option<Uuid>,
    /// The newest one that was seen in use.
    pub own: Option<Own>,
    /// Subject of the CA that issued it.
    pub issuer: Option<String>,
    /// SHA-256 of each CA that it said to trust.
    pub authorities: Vec<String>,
    /// Until when an administrator lets it come back with whatever it has.
    pub approved_until: Option<OffsetDateTime>,
}

/// Validity of an own certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Its beginning: older certificates are superseded.
    pub since: OffsetDateTime,
    /// Its end.
    pub until: OffsetDateTime,
}

/// Why a certificate does not speak for a Defender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// It was issued for another one.
    #[error("the identity in hello is not the one the certificate was issued for")]
    Another,
    /// The Defender has one of its own, and this is a registration.
    #[error("this Defender has a certificate of its own, and the install bundle no longer speaks for it")]
    HasItsOwn,
    /// It was away for too long: an administrator is to approve.
    #[error(
        "the certificate has expired too long ago: an administrator must approve the return of this Defender"
    )]
    NeedsApproval,
    /// The registration is of a retired CA, and the Console does not know it.
    #[error("the registration in the install bundle is of a retired authority")]
    Retired,
    /// The registration was revoked.
    #[error("the registration in the install bundle was revoked")]
    Revoked,
    /// The Defender has used a newer one.
    #[error("the certificate is superseded: a newer one of this Defender is in use")]
    Superseded,
    /// As many Defenders as may have enrolled with it.
    #[error("the registration in the install bundle is used up")]
    UsedUp,
}

impl Enrolled {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(at: OffsetDateTime, registration: Option<Uuid>) -> Self {
        Self { at, registration, own: None, issuer: None, authorities: Vec::new(), approved_until: None }
    }
}

impl Refused {
    /// The code that the connection is closed with.
    #[must_use]
    pub fn close(self) -> Close {
        match self {
            Self::Another | Self::HasItsOwn | Self::Superseded => Close::IdentityMismatch,
            Self::NeedsApproval => Close::ApprovalNeeded,
            Self::Retired | Self::Revoked | Self::UsedUp => Close::RegistrationRefused,
        }
    }
}

/// What is known of all certificates that were issued to Defenders.
#[derive(Debug, Default)]
pub struct State {
    /// By identity.
    pub enrolled: HashMap<Uuid, Enrolled>,
    /// By name.
    pub registrations: BTreeMap<Uuid, Registration>,
}

impl State {
    /// Whether `credential`, of the Console's own authority, speaks for the Defender `id`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn admit(
        &self,
        credential: &ClientCredential,
        id: Uuid,
        rules: &Rules,
        now: OffsetDateTime,
    ) -> Result<(), Refused> {
        let known = self.enrolled.get(&id);
        let own = known.and_then(|known| known.own);
        let is_approved = known.and_then(|known| known.approved_until).is_some_and(|until| now < until);
        let registration = match credential.mark {
            Mark::Own(holder) if holder != id => return Err(Refused::Another),
            Mark::Own(_) if is_approved => return Ok(()),
            Mark::Own(_) if own.is_some_and(|own| credential.not_before < own.since) => {
                return Err(Refused::Superseded);
            }
            Mark::Own(_) if now - credential.not_after > rules.return_within => {
                return Err(Refused::NeedsApproval);
            }
            Mark::Own(_) => return Ok(()),
            Mark::Nobody => None,
            Mark::Registration(registration) => Some(registration),
        };
        let is_settled = known.is_some_and(|known| known.own.is_some() && now - known.at >= SETTLING);
        if is_settled && !is_approved {
            return Err(Refused::HasItsOwn);
        }
        if !rules.issuers.contains(&credential.issuer) {
            // A key that was retired may be in wrong hands: only what is known to have been signed with it counts.
            let known = registration.and_then(|id| self.registrations.get(&id));
            known.filter(|known| known.sha256 == credential.sha256).ok_or(Refused::Retired)?;
        }
        registration.map_or(Ok(()), |registration| self.may_enrol(registration, id))
    }

    fn may_enrol(&self, registration: Uuid, id: Uuid) -> Result<(), Refused> {
        // One that a restored database has forgotten is good: the authority signed it.
        let Some(registration) = self.registrations.get(&registration) else { return Ok(()) };
        if registration.revoked_at.is_some() {
            return Err(Refused::Revoked);
        }
        let used = u64::try_from(registration.uses.len()).unwrap_or(u64::MAX);
        let is_full = registration.max_uses.is_some_and(|max| used >= max);
        if is_full && !registration.uses.contains_key(&id) { Err(Refused::UsedUp) } else { Ok(()) }
    }

    /// Notes that `id`, which trusts `authorities`, uses `credential`, which was admitted. Whether that is news.
    pub fn see(&mut self, credential: &ClientCredential, id: Uuid, authorities: &[String]) -> bool {
        if !matches!(credential.mark, Mark::Own(_)) {
            return false;
        }
        let own = Own { since: credential.not_before, until: credential.not_after };
        // One that a restored database has forgotten: how it enrolled is not known.
        let enrolled =
            self.enrolled.entry(id).or_insert_with(|| Enrolled::new(OffsetDateTime::UNIX_EPOCH, None));
        let is_newer = enrolled.own.is_none_or(|known| known.since < own.since);
        if is_newer {
            (enrolled.own, enrolled.approved_until) = (Some(own), None);
        }
        let is_other =
            enrolled.issuer.as_ref() != Some(&credential.issuer) || enrolled.authorities != authorities;
        if is_other {
            enrolled.issuer = Some(credential.issuer.clone());
            enrolled.authorities = authorities.to_vec();
        }
        is_newer || is_other
    }

    /// Notes that `id` gets a certificate on the strength of `credential`. Whether that is the first use of a
    /// registration by it.
    ///
    /// # Errors
    /// [`Refused`], when it may not have one.
    pub fn enrol(
        &mut self,
        credential: &ClientCredential,
        id: Uuid,
        address: IpAddr,
        rules: &Rules,
        now: OffsetDateTime,
    ) -> Result<bool, Refused> {
        self.admit(credential, id, rules, now)?;
        let registration = match credential.mark {
            Mark::Own(_) => return Ok(false),
            Mark::Nobody => None,
            Mark::Registration(registration) => Some(registration),
        };
        let enrolled = self.enrolled.entry(id).or_insert_with(|| Enrolled::new(now, registration));
        if enrolled.own.is_none() {
            (enrolled.at, enrolled.registration) = (now, registration);
        }
        let Some(registration) = registration.and_then(|id| self.registrations.get_mut(&id)) else {
            return Ok(false);
        };
        let is_first = !registration.uses.contains_key(&id);
        registration.uses.entry(id).or_insert(Use { at: now, address });
        Ok(is_first)
    }
}

/// How long after an enrolment registrations go on speaking for the Defender: it may have lost what it was given, or
/// still be set up by hand.
const SETTLING: Duration = Duration::HOUR;

#[cfg(test)]
mod tests;
