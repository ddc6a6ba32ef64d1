//! RawMaterial -> Material: every check on certificates is here; the texts before it are in `raw.rs`. Dates and order
//! are judged apart from parsing, because a start takes an expired leaf and a swap does not.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls::sign::SigningKey;
use rustls_pki_types::{CertificateDer, ServerName};
use time::{Duration, OffsetDateTime};

use crate::certificate::{Certificate, CertificateFacts};
use crate::channel::{Channel, Role};
use crate::doubt::{Doubt, Suspicion};
use crate::error::CertError;
use crate::fault::{Fault, Input};
use crate::fingerprint::Fingerprint;
use crate::generate::REGISTRATION_URN;
use crate::raw::{Paths, RawMaterial};
use crate::{key, pem};

/// A set that can be used: everything parses, the key belongs to the leaf, version, key and extended key usage fit
/// the channel. Its dates are another matter: [`Material::unfit`].
pub struct Material {
    channel: Channel,
    paths: Paths,
    leaf: Certificate,
    /// Behind the leaf.
    intermediates: Vec<Certificate>,
    chain: Vec<CertificateDer<'static>>,
    cas: Vec<Certificate>,
    ca_ders: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    fingerprint: Fingerprint,
    /// Doubts about the files themselves, which are gone after parsing.
    file_doubts: Vec<Doubt>,
    /// CAs of our own whose holders are let through the handshake also when their certificate has expired or their CA
    /// was retired: whether they are served is decided afterwards.
    returners: Vec<Certificate>,
}

impl Material {
    /// Looks into a set.
    ///
    /// # Errors
    /// [`CertError::Ca`] and [`CertError::KeyPair`]: the set is unusable.
    pub fn parse(raw: RawMaterial) -> Result<Self, CertError> {
        let fingerprint = raw.fingerprint();
        let file_doubts = raw.doubts();
        let RawMaterial { channel, paths, ca, cert, key, .. } = raw;
        let cas = match channel.files().ca {
            Some(_) => parse_cas(&paths.ca, &ca.unwrap_or_default())
                .map_err(|fault| CertError::Ca { file: paths.ca.clone(), fault })?,
            None => Vec::new(),
        };
        let (leaf, intermediates, key) = parse_pair(channel, &paths, &cert, &key).map_err(|fault| {
            CertError::KeyPair { cert: paths.cert.clone(), key: paths.key.clone(), fault }
        })?;
        let chain = [&leaf].into_iter().chain(&intermediates).map(|one| one.der().clone()).collect();
        let ca_ders = cas.iter().map(|ca| ca.der().clone()).collect();
        Ok(Self {
            channel,
            paths,
            leaf,
            intermediates,
            chain,
            cas,
            ca_ders,
            key,
            fingerprint,
            file_doubts,
            returners: Vec::new(),
        })
    }

    /// With holders of certificates of these CAs let through.
    pub(crate) fn with_returners(self, returners: Vec<Certificate>) -> Self {
        Self { returners, ..self }
    }

    /// CAs whose holders are let through.
    pub(crate) fn returners(&self) -> &[Certificate] {
        &self.returners
    }

    /// Whether exactly these stand behind the leaf.
    pub(crate) fn has_intermediates(&self, wanted: &[&Certificate]) -> bool {
        self.intermediates.iter().map(Certificate::der).eq(wanted.iter().map(|one| one.der()))
    }

    /// Whether a client that expects `name`, a DNS name or an IP address, finds it in the leaf.
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        let (Ok(leaf), Ok(name)) = (ParsedCertificate::try_from(self.leaf.der()), ServerName::try_from(name))
        else {
            return false;
        };
        verify_server_name(&leaf, &name).is_ok()
    }

    /// The channel that it is for.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// What the leaf says.
    #[must_use]
    pub fn leaf(&self) -> &CertificateFacts {
        self.leaf.facts()
    }

    /// Whether a Console has issued it for a bundle, to ask for a certificate of one's own with.
    #[must_use]
    pub fn is_registration(&self) -> bool {
        self.leaf().sans.iter().any(|name| name.starts_with(REGISTRATION_URN))
    }

    /// What each certificate of the chain says, leaf first.
    pub fn chain_facts(&self) -> impl Iterator<Item = &CertificateFacts> {
        [&self.leaf].into_iter().chain(&self.intermediates).map(Certificate::facts)
    }

    /// What each of the CAs says that the other side's certificate must come from.
    pub fn ca_facts(&self) -> impl Iterator<Item = &CertificateFacts> {
        self.cas.iter().map(Certificate::facts)
    }

    /// The chain as it is sent, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The CAs that the other side's certificate must come from; none for [`Channel::ConsoleHttps`].
    #[must_use]
    pub fn cas(&self) -> &[CertificateDer<'static>] {
        &self.ca_ders
    }

    /// The chain as PEM text, leaf first.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        pem::encode_certificates(self.chain.iter().map(AsRef::as_ref))
    }

    /// The CAs as PEM text.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        pem::encode_certificates(self.ca_ders.iter().map(AsRef::as_ref))
    }

    /// SHA-256 of each CA, in hexadecimal, sorted.
    #[must_use]
    pub fn ca_sha256s(&self) -> Vec<String> {
        let mut digests: Vec<String> = self.cas.iter().map(|ca| ca.facts().sha256.clone()).collect();
        digests.sort();
        digests
    }

    /// CAs whose revocation lists count: those that clients must come from, and what stands behind the leaf.
    pub(crate) fn signers(&self) -> Vec<Certificate> {
        self.cas.iter().chain(&self.intermediates).cloned().collect()
    }

    /// The identity of the files' content.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The leaf's key, for `tls.rs`.
    pub(crate) fn signing_key(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.key)
    }

    /// Why this set must not replace one that runs: leaf or intermediate out of its dates, a chain out of order, or
    /// no CA that is valid.
    #[must_use]
    pub fn unfit(&self, now: OffsetDateTime) -> Option<CertError> {
        self.out_of_dates(now).or_else(|| self.out_of_order()).or_else(|| self.cas_expired(now))
    }

    /// When what [`Material::unfit`] says may next change, because one of the set's dates is reached.
    pub(crate) fn next_date(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let all =
            [&self.leaf].into_iter().chain(&self.intermediates).chain(&self.cas).map(Certificate::facts);
        all.flat_map(|facts| [facts.not_before, facts.not_after]).filter(|date| *date >= now).min()
    }

    fn out_of_dates(&self, now: OffsetDateTime) -> Option<CertError> {
        let mut own = [&self.leaf].into_iter().chain(&self.intermediates);
        let facts = own.find(|one| !one.is_valid_at(now))?.facts();
        let (file, subject) = (self.paths.cert.clone(), facts.subject.clone());
        Some(if facts.not_after < now {
            CertError::Expired { file, subject, not_after: facts.not_after }
        } else {
            CertError::NotYetValid { file, subject, not_before: facts.not_before }
        })
    }

    fn out_of_order(&self) -> Option<CertError> {
        let own = [&self.leaf].into_iter().chain(&self.intermediates);
        let (index, (one, next)) =
            own.zip(&self.intermediates).enumerate().find(|(_, (one, next))| !one.is_issued_by(next))?;
        Some(CertError::OutOfOrder {
            file: self.paths.cert.clone(),
            position: index.saturating_add(1),
            subject: one.facts().subject.clone(),
            next: next.facts().subject.clone(),
        })
    }

    fn cas_expired(&self, now: OffsetDateTime) -> Option<CertError> {
        // What the Console issues for a bundle may be good for longer than its CA, and neither side holds that date
        // against the other.
        if self.is_registration() || self.cas.iter().any(|ca| ca.is_valid_at(now)) {
            return None;
        }
        let last = self.cas.iter().map(Certificate::facts).max_by_key(|facts| facts.not_after)?;
        Some(CertError::CasExpired {
            file: self.paths.ca.clone(),
            subject: last.subject.clone(),
            not_before: last.not_before,
            not_after: last.not_after,
        })
    }

    /// Whether one of the set's CAs issued the leaf, straight or through the chain's intermediates; also when the
    /// channel has no CAs.
    pub(crate) fn is_issued_by_own_cas(&self) -> bool {
        let mut own = [&self.leaf].into_iter().chain(&self.intermediates);
        self.cas.is_empty() || own.any(|one| self.cas.iter().any(|ca| one.is_issued_by(ca)))
    }

    /// Whether `ca` itself issued the leaf.
    pub(crate) fn is_issued_by(&self, ca: &Certificate) -> bool {
        self.leaf.is_issued_by(ca)
    }

    /// What an operator should hear of, although the set is taken.
    #[must_use]
    pub fn doubts(&self, now: OffsetDateTime) -> Vec<Doubt> {
        let mut doubts = self.file_doubts.clone();
        self.doubt_leaf(now, &mut doubts);
        self.doubt_signatures(&mut doubts);
        self.doubt_cas(now, &mut doubts);
        doubts
    }

    fn doubt_leaf(&self, now: OffsetDateTime, doubts: &mut Vec<Doubt>) {
        let facts = self.leaf();
        let subject = || facts.subject.clone();
        let mut doubt = |suspicion| doubts.push(Doubt { file: self.paths.cert.clone(), suspicion });
        if self.leaf.version() < 3 {
            doubt(Suspicion::OldVersion { subject: subject(), version: self.leaf.version() });
        }
        if self.leaf.version() >= 3
            && self.leaf.is_ca()
            && let Some(refuser) = self.channel.own_peer()
        {
            doubt(Suspicion::LeafIsCa { subject: subject(), refuser });
        }
        if self.channel.role() == Role::Server && facts.sans.is_empty() {
            doubt(Suspicion::NoNames { subject: subject() });
        }
        if self.leaf.is_valid_at(now) && facts.not_after - now < EXPIRES_SOON {
            doubt(Suspicion::ExpiresSoon { subject: subject(), not_after: facts.not_after });
        }
        if !self.is_issued_by_own_cas() {
            let ca = self.paths.ca.clone();
            doubt(Suspicion::NotIssued { ca, subject: subject(), issuer: facts.issuer.clone() });
        }
    }

    fn doubt_signatures(&self, doubts: &mut Vec<Doubt>) {
        for (index, one) in [&self.leaf].into_iter().chain(&self.intermediates).enumerate() {
            // Nobody looks at the signature of a root.
            let Some(algorithm) = one.weak_signature().filter(|_| index == 0 || !one.is_self_issued()) else {
                continue;
            };
            let (position, subject) = (index.saturating_add(1), one.facts().subject.clone());
            let suspicion = Suspicion::WeakSignature { position, subject, algorithm };
            doubts.push(Doubt { file: self.paths.cert.clone(), suspicion });
        }
    }

    fn doubt_cas(&self, now: OffsetDateTime, doubts: &mut Vec<Doubt>) {
        let some_valid = self.cas.iter().any(|ca| ca.is_valid_at(now));
        for ca in &self.cas {
            let CertificateFacts { subject, not_before, not_after, .. } = ca.facts().clone();
            let mut doubt = |suspicion| doubts.push(Doubt { file: self.paths.ca.clone(), suspicion });
            if !ca.is_ca() {
                doubt(Suspicion::NotACa { subject: subject.clone() });
            }
            if some_valid && !ca.is_valid_at(now) {
                doubt(Suspicion::CaExpired { subject, not_before, not_after });
            }
        }
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("channel", &self.channel)
            .field("leaf", self.leaf())
            .field("key", &"***")
            .finish_non_exhaustive()
    }
}

fn parse_cas(path: &Path, bytes: &[u8]) -> Result<Vec<Certificate>, Fault> {
    let cas = parse_certificates(path, bytes)?;
    for (index, ca) in cas.iter().enumerate() {
        // The same reading that TLS will do, so that building a configuration cannot fail later.
        RootCertStore::empty().add(ca.der().clone()).map_err(|error| Fault::Anchor {
            path: path.to_owned(),
            position: index.saturating_add(1),
            detail: error.to_string(),
        })?;
    }
    Ok(cas)
}

type Pair = (Certificate, Vec<Certificate>, Arc<dyn SigningKey>);

fn parse_pair(channel: Channel, paths: &Paths, cert: &[u8], key: &[u8]) -> Result<Pair, Fault> {
    let mut chain = parse_certificates(&paths.cert, cert)?;
    let key = key::parse(&paths.key, key)?;
    let spki = key.public_key().map(|spki| spki.to_vec()).unwrap_or_default();
    match chain.iter().position(|one| one.has_public_key(&spki)) {
        Some(0) => {}
        Some(index) => {
            let (cert, key) = (paths.cert.clone(), paths.key.clone());
            return Err(Fault::WrongOrder { cert, key, position: index.saturating_add(1) });
        }
        None => return Err(Fault::Mismatch { cert: paths.cert.clone(), key: paths.key.clone() }),
    }
    let leaf = chain.remove(0);
    // Our own programs refuse it; what meets the HTTPS channel may take it.
    if channel.own_peer().is_some() && leaf.version() < 3 {
        return Err(Fault::OldVersion { path: paths.cert.clone(), version: leaf.version() });
    }
    if !leaf.is_usable_on(channel) {
        return Err(Fault::ExtendedKeyUsage { path: paths.cert.clone(), needed: channel.role().usage() });
    }
    Ok((leaf, chain, key))
}

/// The certificates of a file, at least one.
fn parse_certificates(path: &Path, bytes: &[u8]) -> Result<Vec<Certificate>, Fault> {
    let path = || path.to_owned();
    let input = Input::Certificate;
    let blocks = pem::decode(bytes).map_err(|instead| Fault::NoPem { path: path(), input, instead })?;
    let certificates = blocks
        .iter()
        .filter(|block| block.is_certificate())
        .enumerate()
        .map(|(index, block)| {
            Certificate::parse(&block.der).ok_or_else(|| Fault::MalformedCertificate {
                path: path(),
                position: index.saturating_add(1),
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if !certificates.is_empty() {
        Ok(certificates)
    } else if blocks.iter().any(pem::Block::is_private_key) {
        Err(Fault::Switched { path: path() })
    } else {
        Err(Fault::OtherBlocks {
            path: path(),
            input,
            labels: blocks.into_iter().map(|block| block.label).collect(),
        })
    }
}

/// 30 days, as the contract says.
const EXPIRES_SOON: Duration = Duration::days(30);

#[cfg(test)]
mod tests;
