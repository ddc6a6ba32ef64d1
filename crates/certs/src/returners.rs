//! Client certificates of our own authorities that TLS would refuse and that the Console wants to hear of: a
//! Defender's own one that has expired, and any whose CA was retired. The handshake proves that the peer has the key;
//! whether it is served, and as what, is decided by who accepts the connection.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

use crate::certificate::Certificate;
use crate::channel::Channel;
use crate::generate::{IDENTITY_URN, REGISTRATION_URN};

/// The usual verifier, and those who come back.
#[derive(Debug)]
pub(crate) struct Returners {
    usual: Arc<dyn ClientCertVerifier>,
    /// Every CA that ever signed here.
    known: Vec<Certificate>,
}

impl Returners {
    /// Lets holders of certificates of `known` in, beside those whom `usual` does.
    pub(crate) fn new(usual: Arc<dyn ClientCertVerifier>, known: &[Certificate]) -> Self {
        Self { usual, known: known.to_vec() }
    }

    fn may_come_back(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> bool {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let Some(leaf) = Certificate::parse(leaf) else { return false };
        let Ok(now) = OffsetDateTime::from_unix_timestamp(seconds) else { return false };
        let facts = leaf.facts();
        let is_marked = |prefix| facts.sans.iter().any(|name| name.starts_with(prefix));
        let is_current = now <= facts.not_after;
        !leaf.is_ca()
            && leaf.is_usable_on(Channel::Defender)
            && facts.not_before <= now
            && (is_marked(IDENTITY_URN) || is_current && is_marked(REGISTRATION_URN))
            && self.known.iter().any(|ca| leaf.is_signed_by(ca))
    }
}

impl ClientCertVerifier for Returners {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.usual.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.usual.verify_client_cert(end_entity, intermediates, now) {
            Err(_) if self.may_come_back(end_entity, now) => Ok(ClientCertVerified::assertion()),
            judged => judged,
        }
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
