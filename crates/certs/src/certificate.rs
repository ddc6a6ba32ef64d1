//! One certificate, read out of DER: the facts that people are told, and the ones that checks need.

use rustls_pki_types::CertificateDer;
use std::net::{Ipv4Addr, Ipv6Addr};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Error, X509Name};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::channel::Channel;
use crate::fingerprint::sha256_hex;
use crate::hex;

/// What people are told about a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it names, such as `CN=console.example.com`.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Subject alternative names: DNS names, addresses, URIs, e-mail addresses.
    pub sans: Vec<String>,
    /// When it begins to be valid.
    pub not_before: OffsetDateTime,
    /// When it expires.
    pub not_after: OffsetDateTime,
    /// SHA-256 of its DER form, in hexadecimal.
    pub sha256: String,
    /// Its serial number, in hexadecimal.
    pub serial: String,
}

impl CertificateFacts {
    /// Of one certificate in DER form; `None` when `der` is anything else.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        Certificate::parse(der).map(|certificate| certificate.facts)
    }
}

/// What an extended key usage lists, as far as TLS asks.
#[derive(Debug, Clone, Copy)]
struct Usages {
    any: bool,
    client: bool,
    server: bool,
}

/// A certificate that could be parsed.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    der: CertificateDer<'static>,
    facts: CertificateFacts,
    /// 1, 2 or 3.
    version: u32,
    is_ca: bool,
    /// The extended key usage, if there is one.
    usages: Option<Usages>,
    weak_signature: Option<&'static str>,
}

impl Certificate {
    /// Reads exactly one certificate; `None` when `der` is anything else.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let (rest, x509) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let usages = x509.extended_key_usage().ok()?.map(|usage| Usages {
            any: usage.value.any,
            client: usage.value.client_auth,
            server: usage.value.server_auth,
        });
        let version = x509.version().0.saturating_add(1);
        Some(Self {
            facts: facts(&x509, der)?,
            version,
            // Version 1 cannot say whether it is a CA's; old roots are of that kind.
            is_ca: version < 3 || x509.is_ca(),
            usages,
            weak_signature: weak(&x509.signature_algorithm.algorithm.to_id_string()),
            der: CertificateDer::from(der.to_vec()),
        })
    }

    /// The DER form.
    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// What people are told.
    pub(crate) fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// X.509 version: 1, 2 or 3.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// Whether it may issue others.
    pub(crate) fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// The algorithm of its signature, if that is a broken one.
    pub(crate) fn weak_signature(&self) -> Option<&'static str> {
        self.weak_signature
    }

    /// Whether `now` is within its dates.
    pub(crate) fn is_valid_at(&self, now: OffsetDateTime) -> bool {
        self.facts.not_before <= now && now <= self.facts.not_after
    }

    /// Whether the peers of `channel` take its extended key usage. Browsers take `anyExtendedKeyUsage` for all;
    /// rustls, which our own programs meet with, does not.
    pub(crate) fn is_usable_on(&self, channel: Channel) -> bool {
        self.usages.is_none_or(|usages| match channel {
            Channel::ConsoleDefender => usages.server,
            Channel::ConsoleHttps => usages.server || usages.any,
            Channel::Defender => usages.client,
        })
    }

    /// Whether `issuer` issued it: the names agree and the signature is the issuer's. A signature of an algorithm
    /// that we cannot check passes on the names.
    pub(crate) fn is_issued_by(&self, issuer: &Self) -> bool {
        let (Ok((_, own)), Ok((_, issuer))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&issuer.der))
        else {
            return false;
        };
        own.issuer().as_raw() == issuer.subject().as_raw()
            && match own.verify_signature(Some(issuer.public_key())) {
                // The library refuses RSA below 2048 bits like a wrong signature; that is for peers to judge.
                Err(X509Error::SignatureVerificationError) => has_small_rsa_key(issuer.public_key()),
                _ => true,
            }
    }

    /// Whether `issuer` has signed it, without a doubt: the names agree and the signature was verified.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        let (Ok((_, own)), Ok((_, issuer))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&issuer.der))
        else {
            return false;
        };
        own.issuer().as_raw() == issuer.subject().as_raw()
            && own.verify_signature(Some(issuer.public_key())).is_ok()
    }

    /// Whether its issuer is itself, by name.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.facts.subject == self.facts.issuer
    }

    /// Whether its public key is the one in `spki`, the DER form of a SubjectPublicKeyInfo.
    pub(crate) fn has_public_key(&self, spki: &[u8]) -> bool {
        let (Ok((_, own)), Ok((_, other))) =
            (X509Certificate::from_der(&self.der), SubjectPublicKeyInfo::from_der(spki))
        else {
            return false;
        };
        let own = own.public_key();
        // Parameters are compared for curves only: RSA's are NULL or absent, as the encoder likes.
        own.algorithm.algorithm == other.algorithm.algorithm
            && curve(own) == curve(&other)
            && is_same_point(&own.subject_public_key.data, &other.subject_public_key.data)
    }
}

fn curve(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    Some(key.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string())
}

/// Whether two public keys are equal; one that is a compressed point needs only its coordinate in common.
fn is_same_point(certificate: &[u8], key: &[u8]) -> bool {
    match (certificate, key) {
        ([2 | 3, x @ ..], [4, point @ ..]) => point.starts_with(x),
        _ => certificate == key,
    }
}

fn has_small_rsa_key(key: &SubjectPublicKeyInfo<'_>) -> bool {
    matches!(key.parsed(), Ok(PublicKey::RSA(rsa)) if rsa.key_size() < 2048)
}

fn facts(x509: &X509Certificate<'_>, der: &[u8]) -> Option<CertificateFacts> {
    let names = x509.subject_alternative_name().ok()?;
    Some(CertificateFacts {
        subject: name(x509.subject()),
        issuer: name(x509.issuer()),
        sans: names
            .map(|names| names.value.general_names.iter().filter_map(san).collect())
            .unwrap_or_default(),
        not_before: x509.validity().not_before.to_datetime(),
        not_after: x509.validity().not_after.to_datetime(),
        sha256: sha256_hex(der),
        serial: hex::encode(x509.raw_serial()),
    })
}

/// A name on one line: certificates come from anywhere, log lines must not.
fn name(name: &X509Name<'_>) -> String {
    let text = clean(&name.to_string());
    if text.is_empty() { "(empty subject)".to_owned() } else { text }
}

fn san(name: &GeneralName<'_>) -> Option<String> {
    Some(match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => clean(name),
        GeneralName::IPAddress(bytes) => address(bytes)?,
        _ => return None,
    })
}

fn clean(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).to_string());
    }
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string())
}

/// The name of a signature algorithm that uses a broken hash.
fn weak(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "1.2.840.113549.1.1.2" => "MD2 with RSA",
        "1.2.840.113549.1.1.4" => "MD5 with RSA",
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => "SHA-1 with RSA",
        "1.2.840.10045.4.1" => "SHA-1 with ECDSA",
        "1.2.840.10040.4.3" => "SHA-1 with DSA",
        _ => return None,
    })
}
