//! Which Defender is calling: its certificate -> the identity that it was issued for.
//!
//! The Console's own authority puts the identity into the leaf as the URI name `urn:uuid:…`. A custom
//! certificate may be shared by many Defenders and carry none.

use rustls_pki_types::CertificateDer;
use uuid::Uuid;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// The identity in the leaf of `chain`; `None` when it carries none.
#[must_use]
pub(super) fn identity(chain: &[CertificateDer<'_>]) -> Option<Uuid> {
    let (_, leaf) = parse_x509_certificate(chain.first()?).ok()?;
    let names = leaf.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => Uuid::parse_str(uri.strip_prefix(URN)?).ok(),
        _ => None,
    })
}

const URN: &str = "urn:uuid:";
