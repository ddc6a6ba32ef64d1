//! Material -> rustls configurations. The only file that builds one: versions, key exchange, client
//! authentication and resumption are decided here.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::error::CertError;
use crate::guard::Guard;
use crate::material::Material;
use crate::returners::Returners;

/// The Console's web UI and API: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, no client certificate. Tickets are made
/// with keys of this configuration alone, so they die with it.
///
/// # Errors
/// [`CertError::Tls`].
pub fn console_https(material: &Material) -> Result<ServerConfig, CertError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(CertError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(identity(material));
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(CertError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The Console's listener for Defenders: TLS 1.3 only, a client certificate of one of the material's CAs is
/// required that `guard` does not refuse; on the Console's own material also those of `returners.rs` pass, to be judged
/// afterwards. Nothing is resumed, because a resumed session skips that check.
///
/// # Errors
/// [`CertError::Tls`].
pub fn console_defender(material: &Material, guard: &Guard) -> Result<ServerConfig, CertError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(CertError::Tls)?
        .with_client_cert_verifier(guard.before(client_verifier(material)?))
        .with_cert_resolver(identity(material));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.ignore_client_order = true;
    Ok(config)
}

/// Who gets in at the Console's listener for Defenders.
pub(crate) fn client_verifier(material: &Material) -> Result<Arc<dyn ClientCertVerifier>, CertError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(material)?), provider())
        .build()
        .map_err(|error| CertError::Tls(rustls::Error::General(error.to_string())))?;
    Ok(match material.returners() {
        [] => verifier,
        known => Arc::new(Returners::new(verifier, known)),
    })
}

/// A Defender's connection: TLS 1.3 only, trusts the material's CAs and nothing else, presents its certificate,
/// resumes nothing.
///
/// # Errors
/// [`CertError::Tls`].
pub fn defender_client(material: &Material) -> Result<ClientConfig, CertError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(CertError::Tls)?
        .with_root_certificates(roots(material)?)
        .with_client_cert_resolver(identity(material));
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// As [`defender_client`], but takes any certificate of the peer: to hear what time it is there when its certificate
/// seems to be out of date. Nothing that matters may be told to such a peer, or believed of it.
///
/// # Errors
/// [`CertError::Tls`].
pub fn defender_client_unverified(material: &Material) -> Result<ClientConfig, CertError> {
    let provider = provider();
    let verifier = Arc::new(Anybody::new());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(CertError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(identity(material));
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Takes any certificate whose key the peer has: to look at what a stranger shows, never to trust it.
#[derive(Debug)]
pub struct Anybody(Arc<CryptoProvider>);

impl Anybody {
    /// With the algorithms of [`provider`].
    #[must_use]
    pub fn new() -> Self {
        Self(provider())
    }
}

impl Default for Anybody {
    fn default() -> Self {
        Self::new()
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The one provider: aws-lc-rs, with the key exchanges and cipher suites that we offer, the best first. The hybrid
/// exchange keeps recorded traffic safe from a future quantum computer. AES-128 comes before AES-256 because of its
/// SHA-256, which processors have instructions for: SHA-384 alone was 7 % of what a Defender's handshake costs.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups =
        vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    // Stable: the others keep their order.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

/// Chain and key. Not through `with_single_cert`: it refuses X.509 version 1, and [`Material`] has proved already
/// that the key belongs to the leaf.
fn identity(material: &Material) -> Arc<SingleCertAndKey> {
    let key = CertifiedKey::new(material.chain().to_vec(), material.signing_key());
    Arc::new(SingleCertAndKey::from(key))
}

fn roots(material: &Material) -> Result<RootCertStore, CertError> {
    let mut roots = RootCertStore::empty();
    for ca in material.cas() {
        roots.add(ca.clone()).map_err(CertError::Tls)?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
