//! Who is refused at the Console's Defender listener although a CA vouches for the certificate: whoever was
//! decommissioned, and whom a revocation list names. The rules change while configurations that were made with them are
//! in use; what the Console knows of a certificate is decided by its fleet, what TLS says about it here.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use futures_util::FutureExt as _;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use crate::certificate::CertificateFacts;
use crate::crl::Crls;
use crate::generate::IDENTITY_URN;

/// The rules. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    rules: Arc<RwLock<Rules>>,
    /// Rises with each other revocation list.
    lists: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Rules {
    /// SHA-256 of leaves, hexadecimal.
    certificates: HashSet<String>,
    /// Identities, as own certificates name them.
    holders: HashSet<String>,
    /// Replaced as a whole: handshakes go on with the one that they have.
    crls: Arc<Crls>,
}

impl Guard {
    /// Refuses the certificate with this SHA-256 (hexadecimal) from now on.
    pub fn refuse_certificate(&self, sha256: &str) {
        self.change().certificates.insert(sha256.to_ascii_lowercase());
    }

    /// Refuses every certificate that was issued for this identity.
    pub fn refuse_holder(&self, identity: &str) {
        self.change().holders.insert(identity.to_ascii_lowercase());
    }

    /// Puts revocation lists in force, in place of the earlier ones.
    pub(crate) fn revoke(&self, crls: Crls) {
        self.change().crls = Arc::new(crls);
        self.lists.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Follows the revocation lists: whoever is connected may be named by another one.
    #[must_use]
    pub fn lists(&self) -> watch::Receiver<u64> {
        self.lists.subscribe()
    }

    /// Whether a revocation list names one of a chain that a peer has shown.
    #[must_use]
    pub fn revokes(&self, chain: &[CertificateDer<'_>]) -> bool {
        let crls = Arc::clone(&self.rules().crls);
        crls.name_one_of(chain)
    }

    /// Whether a leaf is refused.
    #[must_use]
    pub fn refuses_leaf(&self, leaf: &CertificateFacts) -> bool {
        let rules = self.rules();
        let mut holders = leaf.sans.iter().filter_map(|name| name.strip_prefix(IDENTITY_URN));
        rules.certificates.contains(&leaf.sha256)
            || holders.any(|holder| rules.holders.contains(&holder.to_ascii_lowercase()))
    }

    fn refuses(&self, der: &[u8]) -> bool {
        // Mostly nobody is, and then nothing needs to be read.
        let is_idle = {
            let rules = self.rules();
            rules.certificates.is_empty() && rules.holders.is_empty()
        };
        !is_idle && CertificateFacts::read(der).is_some_and(|leaf| self.refuses_leaf(&leaf))
    }

    /// `usual`, and these rules before it.
    pub(crate) fn before(&self, usual: Arc<dyn ClientCertVerifier>) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Guarded { usual, guard: self.clone() })
    }

    fn rules(&self) -> RwLockReadGuard<'_, Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Rules> {
        self.rules.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a handshake, and tells which leaf the peer has shown in it, also when it was refused. Whether the peer has its
/// key is not known then. The leaf is not read yet: that takes as long as a thirtieth of the handshake, and who was let
/// in has a chain on the connection. Cancel-safe where `handshake` is.
pub fn shown<F: Future>(handshake: F) -> impl Future<Output = (F::Output, Option<CertificateDer<'static>>)> {
    SHOWN.scope(RefCell::default(), handshake.map(|output| (output, SHOWN.with(RefCell::take))))
}

tokio::task_local! {
    /// The leaf of the handshake that the task is in. TLS tells who was refused to nobody.
    static SHOWN: RefCell<Option<CertificateDer<'static>>>;
}

/// A verifier with the rules before it.
#[derive(Debug)]
struct Guarded {
    usual: Arc<dyn ClientCertVerifier>,
    guard: Guard,
}

impl ClientCertVerifier for Guarded {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.usual.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Outside of `shown` nobody wants to know.
        let _ = SHOWN.try_with(|shown| shown.replace(Some(end_entity.clone().into_owned())));
        // First of all: whoever is decommissioned is to hear that, also when its certificate has expired since.
        if self.guard.refuses(end_entity) {
            return Err(CertificateError::Revoked.into());
        }
        let verified = self.usual.verify_client_cert(end_entity, intermediates, now)?;
        if self.guard.revokes(std::slice::from_ref(end_entity)) || self.guard.revokes(intermediates) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
