//! A key file -> a signing key, or exactly why not.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use x509_parser::asn1_rs::{Any, FromDer, Integer, OctetString, Oid, Sequence};

use crate::fault::{Fault, Input, Instead};
use crate::pem;

/// Reads the one private key of a file. Certificates beside it are fine: `openssl pkcs12 -nodes` writes both.
///
/// # Errors
/// Each way in which a key file is wrong, see [`Fault`].
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Arc<dyn SigningKey>, Fault> {
    let path = || path.to_owned();
    let no_pem = |instead: Instead| Fault::NoPem { path: path(), input: Input::Key, instead };
    let blocks = pem::decode(bytes).map_err(no_pem)?;
    let mut keys = blocks.iter().filter(|block| block.is_private_key());
    let Some(key) = keys.next() else {
        if blocks.iter().any(pem::Block::is_certificate) {
            return Err(Fault::CertificateInKeyFile { path: path() });
        }
        let labels = blocks.into_iter().map(|block| block.label).collect();
        return Err(Fault::OtherBlocks { path: path(), input: Input::Key, labels });
    };
    let more = keys.count();
    if more > 0 {
        return Err(Fault::SeveralKeys { path: path(), count: more.saturating_add(1) });
    }
    if key.is_encrypted || key.label == "ENCRYPTED PRIVATE KEY" {
        return Err(Fault::Encrypted { path: path() });
    }
    signing_key(&key.der).ok_or_else(|| match refused_kind(&key.label, &key.der) {
        Some(kind) => Fault::RefusedKey { path: path(), kind },
        None => Fault::MalformedKey { path: path() },
    })
}

/// Tries every form, like Go: labels are often wrong.
fn signing_key(der: &[u8]) -> Option<Arc<dyn SigningKey>> {
    let forms = [
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
        PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
        PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
    ];
    forms.iter().find_map(|form| any_supported_type(form).ok())
}

/// What a key is that TLS does not take; `None` when it cannot even be read.
fn refused_kind(label: &str, der: &[u8]) -> Option<String> {
    match label {
        "DSA PRIVATE KEY" => Some("a DSA key".to_owned()),
        "EC PRIVATE KEY" => sec1_curve(der).map(|oid| ec_kind(&oid)),
        "OPENSSH PRIVATE KEY" => Some("a key in OpenSSH's own format".to_owned()),
        "RSA PRIVATE KEY" => rsa_kind(der),
        _ => pkcs8_kind(der),
    }
}

fn pkcs8_kind(der: &[u8]) -> Option<String> {
    let (_, outer) = Sequence::from_der(der).ok()?;
    let (rest, _version) = Integer::from_der(&outer.content).ok()?;
    let (rest, algorithm) = Sequence::from_der(rest).ok()?;
    let (parameters, oid) = Oid::from_der(&algorithm.content).ok()?;
    Some(match oid.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => return rsa_kind(&OctetString::from_der(rest).ok()?.1.into_cow()),
        "1.2.840.113549.1.1.10" => "an RSA-PSS key".to_owned(),
        "1.2.840.10040.4.1" => "a DSA key".to_owned(),
        "1.2.840.10045.2.1" => ec_kind(&Oid::from_der(parameters).ok()?.1.to_id_string()),
        "1.3.101.110" => "an X25519 key, which cannot sign".to_owned(),
        "1.3.101.111" => "an X448 key, which cannot sign".to_owned(),
        "1.3.101.112" => return None,
        "1.3.101.113" => "an Ed448 key".to_owned(),
        other => format!("a key of algorithm {other}"),
    })
}

/// Names the size if that is what is wrong with an RSA key.
fn rsa_kind(pkcs1: &[u8]) -> Option<String> {
    let (_, outer) = Sequence::from_der(pkcs1).ok()?;
    let (rest, _version) = Integer::from_der(&outer.content).ok()?;
    let (_, modulus) = Integer::from_der(rest).ok()?;
    let modulus = modulus.any().data;
    let significant = modulus.iter().skip_while(|byte| **byte == 0).collect::<Vec<_>>();
    let unused = significant.first()?.leading_zeros();
    let bits = u32::try_from(significant.len()).ok()?.checked_mul(8)?.checked_sub(unused)?;
    (!(2048..=8192).contains(&bits)).then(|| format!("an RSA key of {bits} bits"))
}

/// Names the curve if it is one that TLS does not take.
fn ec_kind(oid: &str) -> String {
    let curve = match oid {
        "1.2.840.10045.3.1.1" => "P-192",
        "1.3.132.0.10" => "secp256k1",
        "1.3.132.0.33" => "P-224",
        "1.3.36.3.3.2.8.1.1.7" => "brainpoolP256r1",
        "1.3.36.3.3.2.8.1.1.11" => "brainpoolP384r1",
        "1.3.36.3.3.2.8.1.1.13" => "brainpoolP512r1",
        other => other,
    };
    format!("an elliptic-curve key on {curve}")
}

fn sec1_curve(der: &[u8]) -> Option<String> {
    let (_, outer) = Sequence::from_der(der).ok()?;
    let (rest, _version) = Integer::from_der(&outer.content).ok()?;
    let (rest, _key) = OctetString::from_der(rest).ok()?;
    let (_, parameters) = Any::from_der(rest).ok()?;
    Some(Oid::from_der(parameters.data).ok()?.1.to_id_string())
}
