//! Which Defender is calling: its certificate -> whom it was issued for.
//!
//! The Console's own authority puts the identity into the leaf as the URI name `urn:uuid:…`, and the name of a
//! registration as `urn:garrison:registration:…`. A custom certificate may be shared by many Defenders and carry none.

use aws_lc_rs::digest::{SHA256, digest};
use certs::{CertificateFacts, IDENTITY_URN, REGISTRATION_URN, hex};
use rustls_pki_types::CertificateDer;
use uuid::Uuid;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::enroll::{ClientCredential, Mark};

/// What the leaf of `chain` says; `None` when there is none that can be read.
#[must_use]
pub fn credential(chain: &[CertificateDer<'_>]) -> Option<ClientCredential> {
    let (_, leaf) = parse_x509_certificate(chain.first()?).ok()?;
    let validity = leaf.validity();
    Some(ClientCredential {
        mark: mark(&leaf).unwrap_or(Mark::Nobody),
        not_before: validity.not_before.to_datetime(),
        not_after: validity.not_after.to_datetime(),
        issuer: leaf.issuer().to_string(),
        sha256: hex::encode(digest(&SHA256, chain.first()?)),
    })
}

/// Whose own certificate it is, if it is one.
#[must_use]
pub(super) fn holder(leaf: &CertificateFacts) -> Option<Uuid> {
    leaf.sans.iter().find_map(|name| Uuid::parse_str(name.strip_prefix(IDENTITY_URN)?).ok())
}

fn mark(leaf: &X509Certificate<'_>) -> Option<Mark> {
    let names = leaf.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| {
        let GeneralName::URI(uri) = name else { return None };
        let after = |prefix| uri.strip_prefix(prefix).and_then(|text| Uuid::parse_str(text).ok());
        after(IDENTITY_URN).map(Mark::Own).or_else(|| after(REGISTRATION_URN).map(Mark::Registration))
    })
}
