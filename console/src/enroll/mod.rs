//! How Defenders get certificates: install bundles, and requests over the live connection.
//!
//! ```text
//! mod.rs      issues, and keeps what it issued
//! state.rs    who may speak for which Defender, who may have a certificate; pure
//! bundle.rs   the form of an install bundle; the one that is kept for a Defender of the same host
//! returns.rs  Defenders that wait for an administrator to come back
//! known.rs    what is in memory, and what of it is not on disk yet
//! pace.rs     how many certificates a second, of all Defenders and of one
//! ```
//!
//! All come from the Console's own authority, so there are none while a custom WebSocket set runs: then only
//! certificates of its `defender-ca.pem` are accepted (contract section 2).

mod bundle;
mod known;
mod pace;
mod returns;
mod state;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use certs::{Authority, Holder, IssueError, Source, Subscriber};
use protocol::message::Hello;
use rustls::ServerConfig;
use serde_json::{Value, json};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use zeroize::Zeroizing;

pub use bundle::keep_bundle;
pub use pace::Pace;
pub use returns::Return;
pub use state::{ClientCredential, Enrolled, Mark, Own, Refused, Registration, Rules, State, Use};

use crate::store::audits::{Action, Actor, Deed};
use crate::store::enrolment::{EnrolmentRows, KEEP_EXPIRED};
use crate::store::{Store, StoreError};
use known::Known;

/// Issues certificates to Defenders. Clones share it.
#[derive(Debug, Clone)]
pub struct Enrolment {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    authority: Arc<Authority>,
    defender: Subscriber<ServerConfig>,
    store: Store,
    lives: Lives,
    state: Mutex<Known>,
    changed: Notify,
}

/// How long certificates are good for.
#[derive(Debug, Clone, Copy)]
pub struct Lives {
    /// Of a certificate that a Defender asks for.
    pub own: Duration,
    /// After the end of its certificate, while a Defender comes back without being asked about.
    pub return_within: Duration,
}

/// What an install bundle is to be good for.
#[derive(Debug, Clone, Copy)]
pub struct BundleOrder {
    /// How long it can be used to enrol.
    pub life: Duration,
    /// How many Defenders may enrol with it; `None`: any number.
    pub max_uses: Option<u64>,
}

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum EnrolError {
    /// Too many ask at once.
    #[error("too many Defenders ask for certificates at once: ask again later")]
    Busy,
    /// A custom WebSocket set runs.
    #[error(
        "custom certificates secure the Defender listener, and only their CA is accepted: issue \
         defender-client-cert.pem and defender-client-key.pem from it and copy them to the hosts"
    )]
    CustomCertificates,
    /// The bundle directory cannot be written.
    #[error("writing the install bundle to {path}")]
    Directory {
        /// The directory or file.
        path: std::path::PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The authority cannot sign.
    #[error("issuing a certificate")]
    Issue(#[from] IssueError),
    /// The bundle cannot be put into JSON.
    #[error("writing the install bundle as JSON")]
    Json(#[from] serde_json::Error),
    /// Whoever asks may not have one.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What is issued cannot be kept, so nothing was issued.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Default for BundleOrder {
    fn default() -> Self {
        Self { life: BUNDLE_LIFE, max_uses: None }
    }
}

impl Enrolment {
    /// Issues from `authority` while `defender` runs on its material; `state` is what `store` has. Run
    /// [`Enrolment::run`].
    #[must_use]
    pub fn new(
        authority: Arc<Authority>,
        defender: Subscriber<ServerConfig>,
        store: Store,
        state: State,
        lives: Lives,
    ) -> Self {
        let state = Mutex::new(Known::new(state));
        Self { inner: Arc::new(Inner { authority, defender, store, lives, state, changed: Notify::new() }) }
    }

    /// A new install bundle, base64 of a JSON object of the three files, in the name of `actor` and for `object`. It
    /// holds a private key.
    ///
    /// # Errors
    /// [`EnrolError::CustomCertificates`], or when the authority cannot sign or the store cannot keep it.
    pub async fn install_bundle(
        &self,
        order: BundleOrder,
        actor: &Actor,
        object: &str,
        now: OffsetDateTime,
    ) -> Result<Zeroizing<String>, EnrolError> {
        let issued = self.register(order, actor, Some(object), now).await?;
        bundle::encode(&self.inner.authority.ca_pem(), &issued)
    }

    /// The certificate of a new registration, which is kept; the audit log says so when it is for an `object`.
    async fn register(
        &self,
        order: BundleOrder,
        actor: &Actor,
        object: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<certs::ClientBundle, EnrolError> {
        self.check_own_authority()?;
        let id = Uuid::new_v4();
        let holder = id.to_string();
        let issued = self.inner.authority.issue_client(
            Holder::Registration(&holder),
            "Garrison Defender",
            order.life,
            now,
        )?;
        let registration = Registration {
            id,
            created_by: actor.user.clone(),
            created_at: now,
            expires_at: issued.not_after,
            max_uses: order.max_uses,
            revoked_at: None,
            sha256: issued.sha256.clone(),
            uses: std::collections::BTreeMap::new(),
        };
        let new = json!({
            "registration": id,
            "expires_at_ms": crate::store::milliseconds(registration.expires_at),
            "max_uses": registration.max_uses,
        });
        let deed = object.map(|object| {
            let (actor, action, object) = (actor.clone(), Action::BundleIssued, object.to_owned());
            Deed { actor, action, object, old: Value::Null, new }
        });
        self.inner.store.add_registration(&registration, deed.as_ref()).await?;
        let registrations = &mut self.known().state.registrations;
        registrations.retain(|_, one| one.expires_at >= now - KEEP_EXPIRED);
        registrations.insert(id, registration);
        Ok(issued)
    }

    /// How long certificates are good for.
    #[must_use]
    pub fn lives(&self) -> Lives {
        self.inner.lives
    }

    /// Every CA that Defenders are to trust, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.inner.authority.ca_pem()
    }

    /// SHA-256 of each CA that Defenders are to trust, sorted, and the subject of the one that signs.
    #[must_use]
    pub fn authorities(&self) -> (Vec<String>, String) {
        let trusted = self.inner.authority.trusted();
        let signer =
            trusted.iter().find(|ca| ca.signs).map(|ca| ca.facts.subject.clone()).unwrap_or_default();
        let mut digests: Vec<_> = trusted.into_iter().map(|ca| ca.facts.sha256).collect();
        digests.sort();
        (digests, signer)
    }

    /// Looks at what is known of Defenders' own certificates. Every `hello` waits meanwhile.
    pub fn look<T>(&self, at: impl FnOnce(&HashMap<Uuid, Enrolled>) -> T) -> T {
        at(&self.known().state.enrolled)
    }

    fn rules(&self) -> Rules {
        let issuers = self.inner.authority.trusted().into_iter().map(|ca| ca.facts.subject).collect();
        let return_within = self.inner.lives.return_within.try_into().unwrap_or(time::Duration::MAX);
        Rules { issuers, return_within }
    }

    /// Every registration that is known, in no order.
    #[must_use]
    pub fn registrations(&self) -> Vec<Registration> {
        self.known().state.registrations.values().cloned().collect()
    }

    /// Revokes a registration in the name of `actor`: nobody enrols with it any more. `false` when there is none, or
    /// it was revoked before.
    ///
    /// # Errors
    /// When the store cannot keep it; nothing has changed then.
    pub async fn revoke(&self, id: Uuid, actor: Actor, now: OffsetDateTime) -> Result<bool, StoreError> {
        let known = self.known().state.registrations.get(&id).map(|one| one.revoked_at);
        if !matches!(known, Some(None)) {
            return Ok(false);
        }
        let (action, object) = (Action::RegistrationRevoked, id.to_string());
        let deed = Deed { actor, action, object, old: Value::Null, new: Value::Null };
        self.inner.store.revoke_registration(id, &deed, now).await?;
        if let Some(registration) = self.known().state.registrations.get_mut(&id) {
            registration.revoked_at = Some(now);
        }
        Ok(true)
    }

    /// Whether `credential` speaks for the Defender `id`, on a connection that was secured from `source`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn admit(
        &self,
        credential: &ClientCredential,
        source: Source,
        hello: &Hello,
        address: IpAddr,
        now: OffsetDateTime,
    ) -> Result<(), Refused> {
        let id = hello.defender.id;
        match (source, credential.mark) {
            (Source::Custom, Mark::Own(holder)) if holder != id => Err(Refused::Another),
            (Source::Custom, _) => Ok(()),
            (Source::SelfSigned, _) => {
                let (rules, mut known) = (self.rules(), self.known());
                if let Err(refused) = known.state.admit(credential, id, &rules, now) {
                    drop(known);
                    self.note_return(hello, address, refused, now);
                    return Err(refused);
                }
                known.returns.remove(&id);
                if known.state.see(credential, id, &hello.authorities) {
                    known.dirty.insert(id);
                    self.inner.changed.notify_one();
                }
                Ok(())
            }
        }
    }

    /// Signs a request of the Defender `id`, which has shown `credential`: the chain and the authority to trust, both
    /// PEM. A use of a registration that counts its uses is on disk before.
    ///
    /// # Errors
    /// [`EnrolError`]: why there is no certificate.
    pub async fn sign(
        &self,
        csr: &str,
        credential: &ClientCredential,
        id: Uuid,
        address: IpAddr,
        now: OffsetDateTime,
    ) -> Result<(String, String), EnrolError> {
        self.check_own_authority()?;
        let counted = {
            let (rules, mut known) = (self.rules(), self.known());
            if !known.pace.take(now) {
                return Err(EnrolError::Busy);
            }
            known.note_enrolment(credential, id, address, &rules, now)?
        };
        self.inner.changed.notify_one();
        if let Some(one) = counted {
            let rows = EnrolmentRows { enrolled: Vec::new(), uses: vec![one] };
            self.inner.store.write_enrolment(&rows).await?;
            self.known().wrote(&rows.uses);
        }
        let chain = self.inner.authority.sign_request(csr, &id.to_string(), self.inner.lives.own, now)?;
        Ok((chain, self.inner.authority.ca_pem()))
    }

    /// Keeps on disk what has changed, until `shutdown`, then once more.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            let stops = tokio::select! {
                () = self.inner.changed.notified() => false,
                () = shutdown.cancelled() => true,
            };
            if !stops {
                // A fleet that enrols at once costs the database a few transactions.
                tokio::select! {
                    () = tokio::time::sleep(PACE) => {}
                    () = shutdown.cancelled() => {}
                }
            }
            self.flush().await;
            if stops {
                return;
            }
        }
    }

    /// Keeps on disk what has changed; what fails is tried again with the next change.
    pub async fn flush(&self) {
        let rows = self.known().take_rows();
        if rows.enrolled.is_empty() && rows.uses.is_empty() {
            return;
        }
        let written = self.inner.store.write_enrolment(&rows).await;
        let mut known = self.known();
        match written {
            Ok(()) => known.wrote(&rows.uses),
            Err(error) => {
                known.dirty.extend(rows.enrolled.iter().map(|(id, _)| *id));
                drop(known);
                tracing::warn!(
                    error = lifecycle::logging::error_chain(&error),
                    "Cannot keep which Defenders have enrolled; tried again with the next one"
                );
            }
        }
    }

    fn check_own_authority(&self) -> Result<(), EnrolError> {
        match self.inner.defender.current().source {
            Source::Custom => Err(EnrolError::CustomCertificates),
            Source::SelfSigned => Ok(()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bundle for one host is used soon.
const BUNDLE_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long changes are gathered.
const PACE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
