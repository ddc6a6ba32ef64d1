//! Certificates made on demand, for tests and benches. Real ones: keys are fresh each time, nothing is checked in.
//!
//! ```
//! use testpki::{Ca, Leaf, Writing};
//! let dir = tempfile::tempdir().unwrap();
//! let ca = Ca::new("Test CA");
//! let pair = ca.issue(&Leaf::server(&["localhost", "127.0.0.1"]));
//! testpki::write_console_https(dir.path(), &pair, Writing::Atomic);
//! testpki::write_console_defender(dir.path(), &ca, &pair, Writing::InPlace);
//! testpki::write_defender(dir.path(), &ca, &ca.issue(&Leaf::client("host-1")), Writing::InPlace);
//! ```

mod files;

use std::sync::atomic::{AtomicU64, Ordering};

pub use files::{Writing, put, write_console_defender, write_console_https, write_defender};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

/// A CA whose subject no other CA of the process has.
#[derive(Debug)]
pub struct Ca {
    cert_pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// The certificates between a leaf and the root, in the order of a chain.
    above: Vec<String>,
}

/// A chain and its key, as PEM text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The chain, leaf first.
    pub cert_pem: String,
    /// The key, PKCS#8.
    pub key_pem: String,
}

/// Which key a leaf gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA of 2048 bits.
    Rsa2048,
}

/// A leaf to be issued; the defaults make a good one.
#[derive(Debug, Clone)]
pub struct Leaf {
    common_name: String,
    sans: Vec<String>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    usages: Vec<ExtendedKeyUsagePurpose>,
    key: KeyKind,
}

impl Ca {
    /// A root that is valid from yesterday for ten years.
    pub fn new(name: &str) -> Self {
        let now = OffsetDateTime::now_utc();
        Self::valid(name, now - Duration::days(1), now + Duration::days(3650))
    }

    /// A root with these dates.
    pub fn valid(name: &str, not_before: OffsetDateTime, not_after: OffsetDateTime) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = ca_params(name, not_before, not_after);
        let cert_pem = params.self_signed(&key).expect("a certificate").pem();
        Self { cert_pem, issuer: Issuer::new(params, key), above: Vec::new() }
    }

    /// A CA below this one; what it issues brings the chain up to, but without, the root.
    pub fn intermediate(&self, name: &str) -> Self {
        let now = OffsetDateTime::now_utc();
        self.intermediate_valid(name, now - Duration::days(1), now + Duration::days(3650))
    }

    /// A CA below this one, with these dates.
    pub fn intermediate_valid(
        &self,
        name: &str,
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = ca_params(name, not_before, not_after);
        let cert_pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let above = std::iter::once(cert_pem.clone()).chain(self.above.iter().cloned()).collect();
        Self { cert_pem, issuer: Issuer::new(params, key), above }
    }

    /// This CA's own certificate.
    pub fn pem(&self) -> &str {
        &self.cert_pem
    }

    /// Issues `leaf` with a fresh key.
    pub fn issue(&self, leaf: &Leaf) -> Pair {
        let key = leaf.key.generate();
        let cert = leaf.params().signed_by(&key, &self.issuer).expect("a certificate").pem();
        let cert_pem = std::iter::once(cert).chain(self.above.iter().cloned()).collect();
        Pair { cert_pem, key_pem: key.serialize_pem() }
    }
}

impl Leaf {
    /// A server's, for these DNS names and addresses; valid from an hour ago for a year.
    pub fn server(sans: &[&str]) -> Self {
        let common_name = sans.first().copied().unwrap_or("server");
        Self::new(common_name, ExtendedKeyUsagePurpose::ServerAuth).sans(sans)
    }

    /// A client's.
    pub fn client(common_name: &str) -> Self {
        Self::new(common_name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn new(common_name: &str, usage: ExtendedKeyUsagePurpose) -> Self {
        let now = OffsetDateTime::now_utc();
        Self {
            common_name: common_name.to_owned(),
            sans: Vec::new(),
            not_before: now - Duration::hours(1),
            not_after: now + Duration::days(365),
            usages: vec![usage],
            key: KeyKind::P256,
        }
    }

    /// With another common name.
    #[must_use]
    pub fn common_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.common_name);
        self
    }

    /// With these DNS names, addresses and `urn:`/`https:` URIs.
    #[must_use]
    pub fn sans(mut self, sans: &[&str]) -> Self {
        self.sans = sans.iter().map(|san| (*san).to_owned()).collect();
        self
    }

    /// With these dates.
    #[must_use]
    pub fn valid(mut self, not_before: OffsetDateTime, not_after: OffsetDateTime) -> Self {
        (self.not_before, self.not_after) = (not_before, not_after);
        self
    }

    /// Expired yesterday.
    #[must_use]
    pub fn expired(self) -> Self {
        let now = OffsetDateTime::now_utc();
        self.valid(now - Duration::days(30), now - Duration::days(1))
    }

    /// Valid from tomorrow.
    #[must_use]
    pub fn not_yet_valid(self) -> Self {
        let now = OffsetDateTime::now_utc();
        self.valid(now + Duration::days(1), now + Duration::days(30))
    }

    /// With these extended key usages; none leaves the extension out.
    #[must_use]
    pub fn usages(mut self, usages: &[ExtendedKeyUsagePurpose]) -> Self {
        self.usages = usages.to_vec();
        self
    }

    /// With a key of this kind.
    #[must_use]
    pub fn key(mut self, key: KeyKind) -> Self {
        self.key = key;
        self
    }

    /// Signed with its own key; a CA of nobody.
    pub fn self_signed(&self) -> Pair {
        let key = self.key.generate();
        let cert_pem = self.params().self_signed(&key).expect("a certificate").pem();
        Pair { cert_pem, key_pem: key.serialize_pem() }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        params.subject_alt_names = self.sans.iter().map(|san| subject_alt_name(san)).collect();
        (params.not_before, params.not_after) = (self.not_before, self.not_after);
        params.extended_key_usages.clone_from(&self.usages);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial());
        params
    }
}

impl KeyKind {
    fn generate(self) -> KeyPair {
        let algorithm = match self {
            Self::Ed25519 => &rcgen::PKCS_ED25519,
            Self::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
        };
        KeyPair::generate_for(algorithm).expect("a key")
    }
}

fn ca_params(name: &str, not_before: OffsetDateTime, not_after: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    // Two CAs of one name make "unknown issuer" look like "bad signature".
    params.distinguished_name.push(DnType::CommonName, format!("{name} {}", next()));
    (params.not_before, params.not_after) = (not_before, not_after);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial());
    params
}

fn subject_alt_name(san: &str) -> SanType {
    if let Ok(address) = san.parse() {
        return SanType::IpAddress(address);
    }
    let text = san.try_into().expect("ASCII");
    if san.contains(':') { SanType::URI(text) } else { SanType::DnsName(text) }
}

fn serial() -> SerialNumber {
    SerialNumber::from(next())
}

/// Another number each time, also in another process.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = u64::from(std::process::id()) << 24;
    start + NEXT.fetch_add(1, Ordering::Relaxed) + 1
}
