//! Whether a Console with one set and a Defender with another would take each other, before either is in use: the same
//! checks that the handshake will make, but for names.

use std::sync::Arc;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use time::OffsetDateTime;

use crate::error::CertError;
use crate::material::Material;
use crate::{pem, tls};

/// A set of the Console's Defender listener, ready to meet Defenders.
#[derive(Debug)]
pub struct Encounter {
    verifier: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
}

/// Why they would not take each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Obstacle {
    /// The Console refuses the Defender's certificate.
    #[error("the new defender-ca.pem does not verify its certificate: {0}")]
    Client(String),
    /// The Defender refuses the Console's certificate.
    #[error("its defender-ca.pem does not verify the new server certificate: {0}")]
    Server(String),
}

impl Encounter {
    /// With what the Console's Defender listener is to run on.
    ///
    /// # Errors
    /// [`CertError::Tls`].
    pub fn with(console: &Material) -> Result<Self, CertError> {
        let verifier = tls::client_verifier(console)?;
        Ok(Self { verifier, chain: console.chain().to_vec() })
    }

    /// Whether a Defender that presents `chain`, leaf first, and trusts `roots` gets in.
    ///
    /// # Errors
    /// [`Obstacle`].
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        roots: &[CertificateDer<'_>],
        now: OffsetDateTime,
    ) -> Result<(), Obstacle> {
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let nothing = || Obstacle::Client("there is none".to_owned());
        let (leaf, between) = chain.split_first().ok_or_else(nothing)?;
        let client = self.verifier.verify_client_cert(leaf, between, now);
        client.map_err(|error| Obstacle::Client(words(&error)))?;
        self.verify_server(roots, now).map_err(|error| Obstacle::Server(words(&error)))
    }

    fn verify_server(&self, roots: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let mut store = RootCertStore::empty();
        // What cannot be a root was left out or refused when the Defender read it.
        store.add_parsable_certificates(roots.iter().map(|root| root.clone().into_owned()));
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let (leaf, between) = self.chain.split_first().ok_or(unknown)?;
        let leaf = ParsedCertificate::try_from(leaf)?;
        let algorithms = tls::provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &store, between, now, algorithms)
    }
}

/// The certificates of a PEM text, as far as it is one.
#[must_use]
pub fn certificates(text: &str) -> Vec<CertificateDer<'static>> {
    let blocks = pem::decode(text.as_bytes()).unwrap_or_default();
    let blocks = blocks.into_iter().filter(pem::Block::is_certificate);
    blocks.map(|block| CertificateDer::from(block.der.to_vec())).collect()
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => "it comes from another CA".to_owned(),
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "it has expired".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "it is not valid yet".to_owned(),
        Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => "its extended key usage is for another purpose".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use testpki::{Ca, Leaf, Writing, write_console_defender};
    use time::Duration;

    use super::*;
    use crate::channel::Channel;
    use crate::raw::{Found, RawMaterial};

    /// The set of a Console whose `defender-ca.pem` holds `trusted`.
    fn console(trusted: &[&Ca], issuer: &Ca) -> Encounter {
        let dir = tempfile::tempdir().expect("a directory");
        let server = issuer.issue(&Leaf::server(&["localhost"]));
        write_console_defender(dir.path(), issuer, &server, Writing::InPlace);
        let cas: String = trusted.iter().map(|ca| ca.pem()).collect();
        testpki::put(dir.path(), "defender-ca.pem", cas, Writing::InPlace);
        let Found::Complete(raw) = RawMaterial::read(Channel::ConsoleDefender, dir.path()).expect("readable")
        else {
            panic!("all files are there")
        };
        Encounter::with(&Material::parse(raw).expect("good")).expect("good")
    }

    fn judge(encounter: &Encounter, leaf: &Leaf, issuer: &Ca, trusted: &[&Ca]) -> Result<(), Obstacle> {
        let chain = certificates(&issuer.issue(leaf).cert_pem);
        let roots: String = trusted.iter().map(|ca| ca.pem()).collect();
        encounter.judge(&chain, &certificates(&roots), OffsetDateTime::now_utc())
    }

    #[test]
    fn both_sides_must_verify_each_other_now() {
        let (old, new) = (Ca::new("old"), Ca::new("new"));
        let leaf = Leaf::client("host");
        let only_new = console(&[&new], &new);
        judge(&only_new, &leaf, &new, &[&new]).expect("both have the new CA");
        judge(&only_new, &leaf, &new, &[&old, &new]).expect("the Defender trusts both");
        let refused = judge(&only_new, &leaf, &old, &[&old, &new]).expect_err("an old client");
        assert!(matches!(&refused, Obstacle::Client(why) if why == "it comes from another CA"), "{refused}");
        let refused = judge(&only_new, &leaf, &new, &[&old]).expect_err("the server is unknown");
        assert!(matches!(&refused, Obstacle::Server(why) if why == "it comes from another CA"), "{refused}");
        judge(&console(&[&old, &new], &new), &leaf, &old, &[&old, &new]).expect("the overlap");
        judge(&console(&[&old, &new], &old), &leaf, &old, &[&old]).expect("the overlap before it is used");
    }

    #[test]
    fn dates_and_usage_count_and_intermediates_are_followed() {
        let root = Ca::new("root");
        let between = root.intermediate("between");
        let encounter = console(&[&root], &between);
        judge(&encounter, &Leaf::client("host"), &between, &[&root]).expect("two chains of two");
        for (leaf, why) in [
            (Leaf::client("host").expired(), "it has expired"),
            (Leaf::client("host").not_yet_valid(), "it is not valid yet"),
            (Leaf::server(&["host"]), "another purpose"),
        ] {
            let refused = judge(&encounter, &leaf, &root, &[&root]).expect_err(why).to_string();
            assert!(refused.to_lowercase().contains(why), "{refused}");
        }
        let later = OffsetDateTime::now_utc() + Duration::days(400);
        let chain = certificates(&root.issue(&Leaf::client("host")).cert_pem);
        encounter.judge(&chain, &certificates(root.pem()), later).expect_err("a year later");
        encounter.judge(&[], &certificates(root.pem()), OffsetDateTime::now_utc()).expect_err("nothing");
        assert!(certificates("no PEM").is_empty());
    }
}
