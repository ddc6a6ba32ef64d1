//! What a Defender may dial with, the best first: custom certificates, its own, the install bundle's. A Console that
//! cannot verify one is offered the next, so that hosts and Console may change over in any order.

use std::sync::Arc;

use certs::{Live, Material, Source};
use protocol::message::{CertificateSource, CertificateSummary, DefenderIdentity, Hello};
use rustls::ClientConfig;
use uuid::Uuid;

use crate::own::Kept;

/// One set to dial with.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where it comes from.
    pub kind: Kind,
    /// Chain, key, CAs.
    pub material: Arc<Material>,
    /// What to dial with.
    pub tls: Arc<ClientConfig>,
}

/// Where a set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The bundle, with a certificate that may be used like one's own.
    Bundle,
    /// The custom directory.
    Custom,
    /// The Console, for a key of this host.
    Own,
    /// The bundle, to ask for one's own with.
    Registration,
}

/// All of them, the best first. `live` is the custom set where there is one, else the bundle; `bundle` the bundle.
#[must_use]
pub fn candidates(
    live: &Live<ClientConfig>,
    own: Option<&Kept>,
    bundle: Option<&Arc<Material>>,
) -> Vec<Candidate> {
    let candidate = |(kind, material): (_, Arc<Material>)| {
        if material.fingerprint() != live.material.fingerprint() {
            return built(kind, &material);
        }
        Some(Candidate { kind, material, tls: Arc::clone(&live.tls) })
    };
    materials(live, own, bundle).into_iter().filter_map(candidate).collect()
}

/// What they are made of, the best first.
pub(crate) fn materials(
    live: &Live<ClientConfig>,
    own: Option<&Kept>,
    bundle: Option<&Arc<Material>>,
) -> Vec<(Kind, Arc<Material>)> {
    let bundle_kind =
        |material: &Arc<Material>| if material.is_registration() { Kind::Registration } else { Kind::Bundle };
    let newest = Arc::clone(&live.material);
    let own = own.map(|kept| (Kind::Own, Arc::clone(&kept.material)));
    match live.source {
        Source::Custom => {
            // Without a bundle the custom set stands in for it.
            let bundle = bundle.filter(|bundle| bundle.fingerprint() != newest.fingerprint());
            let bundle = bundle.map(|bundle| (bundle_kind(bundle), Arc::clone(bundle)));
            [Some((Kind::Custom, newest)), own, bundle].into_iter().flatten().collect()
        }
        Source::SelfSigned => {
            let is_own = own.as_ref().is_some_and(|(_, own)| own.fingerprint() == newest.fingerprint());
            let bundle = (!is_own).then(|| (bundle_kind(&newest), newest));
            [own, bundle].into_iter().flatten().collect()
        }
    }
}

/// The certificate that the Console has issued.
#[must_use]
pub fn own_candidate(own: Option<&Kept>) -> Option<Candidate> {
    own.and_then(|kept| built(Kind::Own, &kept.material))
}

fn built(kind: Kind, material: &Arc<Material>) -> Option<Candidate> {
    match certs::tls::defender_client(material) {
        Ok(tls) => Some(Candidate { kind, material: Arc::clone(material), tls: Arc::new(tls) }),
        Err(error) => {
            tracing::warn!(%error, remedy = error.remedy(), "A set of certificates cannot be used");
            None
        }
    }
}

impl Candidate {
    /// What to say first.
    #[must_use]
    pub fn hello(&self, identity: &DefenderIdentity, boot: Uuid) -> Hello {
        let leaf = self.material.leaf();
        let source = match self.kind {
            Kind::Custom => CertificateSource::Custom,
            Kind::Bundle | Kind::Own | Kind::Registration => CertificateSource::SelfSigned,
        };
        let certificate =
            CertificateSummary { source, not_after: leaf.not_after, sha256: leaf.sha256.clone() };
        let authorities = match self.kind {
            Kind::Own => self.material.ca_sha256s(),
            Kind::Bundle | Kind::Custom | Kind::Registration => Vec::new(),
        };
        Hello { defender: identity.clone(), boot, certificate, authorities, time: None }
    }
}

impl Kind {
    /// How a log line calls it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Bundle | Self::Registration => "the install bundle",
            Self::Custom => "custom certificates",
            Self::Own => "the Defender's own certificate",
        }
    }
}
