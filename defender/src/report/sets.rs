//! What this Defender can dial with, as the Console must know it before it changes its own certificates: each set with
//! its chain and the CAs that it trusts. No keys.

use std::sync::Arc;

use certs::{Material, Subscriber};
use rustls::ClientConfig;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::candidates::{Kind, materials};
use crate::own::Kept;

/// Where the sets are.
#[derive(Debug, Clone, Default)]
pub struct Sets {
    /// What is dialed with first.
    pub certificates: Option<Subscriber<ClientConfig>>,
    /// The certificate that the Console has issued.
    pub own: Option<watch::Receiver<Option<Kept>>>,
    /// The install bundle, or what stands in for it.
    pub bundle: Option<watch::Receiver<Arc<Material>>>,
}

/// One set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Set {
    /// `custom`, `own` or `bundle`.
    pub kind: &'static str,
    /// SHA-256 of the leaf, hexadecimal.
    pub sha256: String,
    /// End of the leaf's validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The chain, leaf first, PEM; empty when it is larger than 32 KiB.
    pub chain: String,
    /// The CAs that the Console's certificate must come from, PEM; empty when they are larger than 64 KiB.
    pub authorities: String,
}

impl Sets {
    /// The sets now, the best first.
    pub(crate) fn look(&self) -> Vec<Set> {
        let Some(certificates) = &self.certificates else { return Vec::new() };
        let own = self.own.as_ref().and_then(|own| own.borrow().clone());
        let bundle = self.bundle.as_ref().map(|bundle| Arc::clone(&bundle.borrow()));
        let sets = materials(&certificates.current(), own.as_ref(), bundle.as_ref());
        sets.into_iter().map(|(kind, material)| Set::new(kind, &material)).collect()
    }
}

impl Set {
    fn new(kind: Kind, material: &Material) -> Self {
        let within = |text: String, most| if text.len() <= most { text } else { String::new() };
        Self {
            kind: match kind {
                Kind::Bundle | Kind::Registration => "bundle",
                Kind::Custom => "custom",
                Kind::Own => "own",
            },
            sha256: material.leaf().sha256.clone(),
            not_after: material.leaf().not_after,
            chain: within(material.chain_pem(), MOST_CHAIN_BYTES),
            authorities: within(material.ca_pem(), MOST_AUTHORITIES_BYTES),
        }
    }
}

const MOST_CHAIN_BYTES: usize = 32 * 1024;
const MOST_AUTHORITIES_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use certs::{Channel, RawMaterial};
    use testpki::{Ca, Leaf};
    use zeroize::Zeroizing;

    use super::*;

    fn material(cas: &str, ca: &Ca) -> Material {
        let pair = ca.issue(&Leaf::client("host"));
        let (cert, key) = (pair.cert_pem.into_bytes(), Zeroizing::new(pair.key_pem.into_bytes()));
        let nowhere = std::path::Path::new("memory");
        let raw = RawMaterial::from_files(Channel::Defender, nowhere, Some(cas.into()), cert, key);
        Material::parse(raw).expect("good")
    }

    #[test]
    fn a_set_is_told_with_its_chain_and_its_authorities_and_without_its_key() {
        let ca = Ca::new("corporate");
        let material = material(ca.pem(), &ca);
        let set = Set::new(Kind::Custom, &material);
        assert_eq!((set.kind, &set.sha256), ("custom", &material.leaf().sha256));
        assert_eq!(certs::certificates(&set.chain), material.chain());
        assert_eq!(certs::certificates(&set.authorities), material.cas());
        assert!(!serde_json::to_string(&set).expect("JSON").contains("KEY"));
    }

    #[test]
    fn what_is_too_large_is_left_out() {
        let ca = Ca::new("corporate");
        let set = Set::new(Kind::Own, &material(&ca.pem().repeat(200), &ca));
        assert!(set.authorities.is_empty() && !set.chain.is_empty());
    }
}
