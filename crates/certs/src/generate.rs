//! Own CA, leaves and requests; pure but for the randomness in keys and serials: names and dates in, PEM out. What is
//! kept on disk is in `authority.rs`.

use std::fmt;
use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::fingerprint::sha256_hex;
use crate::hex;

/// A client certificate with its key, for an install bundle.
pub struct ClientBundle {
    /// The chain, leaf first.
    pub cert_pem: String,
    /// The key, PKCS#8.
    pub key_pem: Zeroizing<String>,
    /// When the leaf expires.
    pub not_after: OffsetDateTime,
    /// SHA-256 of the leaf, in hexadecimal.
    pub sha256: String,
}

/// A key that was just made, and the request for a certificate for it.
pub struct KeyRequest {
    /// PKCS#10, PEM.
    pub csr_pem: String,
    /// The key, PKCS#8.
    pub key_pem: Zeroizing<String>,
}

/// Whom a client certificate is for; told by a URI in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// The Defender of this identity, a UUID: `urn:uuid:IDENTITY`.
    Defender(&'a str),
    /// A Defender that has yet to ask for one of its own, with the registration of this UUID: [`REGISTRATION_URN`].
    Registration(&'a str),
}

/// What a registration's URI begins with.
pub const REGISTRATION_URN: &str = "urn:garrison:registration:";

/// What the URI of a Defender's own certificate begins with.
pub const IDENTITY_URN: &str = "urn:uuid:";

/// Makes a key and a request for a certificate for it. Whose it is, the Console knows.
///
/// # Errors
/// [`IssueError::Generate`].
pub fn request() -> Result<KeyRequest, IssueError> {
    let key = KeyPair::generate().map_err(IssueError::Generate)?;
    let request = CertificateParams::default().serialize_request(&key).map_err(IssueError::Generate)?;
    let csr_pem = request.pem().map_err(IssueError::Generate)?;
    Ok(KeyRequest { csr_pem, key_pem: Zeroizing::new(key.serialize_pem()) })
}

/// Why a certificate was not issued.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The library failed.
    #[error("generating a certificate")]
    Generate(#[source] rcgen::Error),
    /// A name that cannot stand in a certificate.
    #[error("{0:?} is no DNS name, address or identity that a certificate can hold")]
    Name(String),
    /// The request cannot be read, or its signature does not fit its key.
    #[error("reading the certificate request")]
    Request(#[source] rcgen::Error),
}

/// From when to when a certificate is valid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dates {
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
}

/// A certificate and its key.
pub(crate) struct Generated {
    pub(crate) der: Vec<u8>,
    pub(crate) cert_pem: String,
    pub(crate) key_pem: Zeroizing<String>,
}

impl Dates {
    /// From an hour before `now` (a tenth of a shorter `life` than ten hours), for clocks that are behind, to `life`
    /// after it.
    pub(crate) fn starting(now: OffsetDateTime, life: Duration) -> Self {
        // Certificates count in seconds.
        let now = now.replace_nanosecond(0).unwrap_or(now);
        let not_after = now.checked_add(life).unwrap_or(LAST_DATE).min(LAST_DATE);
        Self { not_before: now - BACK_DATED.min(life / 10), not_after }
    }

    /// From two days before `now`, for those who verify by clocks that are behind, to `life` after that (a tenth of a
    /// shorter `life` than twenty days).
    pub(crate) fn for_wrong_clocks(now: OffsetDateTime, life: Duration) -> Self {
        let now = now.replace_nanosecond(0).unwrap_or(now);
        let not_before = now - FAR_BACK_DATED.min(life / 10);
        let not_after = not_before.checked_add(life).unwrap_or(LAST_DATE).min(LAST_DATE);
        Self { not_before, not_after }
    }

    /// The same, but not beyond `end`.
    pub(crate) fn until(self, end: OffsetDateTime) -> Self {
        Self { not_after: self.not_after.min(end), ..self }
    }
}

/// A CA with a subject that no other has.
pub(crate) fn authority(dates: Dates) -> Result<Generated, IssueError> {
    let mark = hex::encode(random::<8>()?).to_uppercase();
    let mut params = params(&format!("Garrison CA {mark}"), dates)?;
    make_ca(&mut params);
    let key = KeyPair::generate().map_err(IssueError::Generate)?;
    let certificate = params.self_signed(&key).map_err(IssueError::Generate)?;
    let der = certificate.der().to_vec();
    Ok(Generated { der, cert_pem: certificate.pem(), key_pem: Zeroizing::new(key.serialize_pem()) })
}

/// A CA to take the place of `present`, and its certificate with the signature of `present` (PEM), by which who trusts
/// that one can verify what the new one issues.
pub(crate) fn next_authority(
    present: &Issuer<'_, KeyPair>,
    dates: Dates,
    cross_dates: Dates,
) -> Result<(Generated, String), IssueError> {
    let mark = hex::encode(random::<8>()?).to_uppercase();
    let name = format!("Garrison CA {mark}");
    let mut own = params(&name, dates)?;
    make_ca(&mut own);
    let mut crossed = params(&name, cross_dates)?;
    make_ca(&mut crossed);
    let key = KeyPair::generate().map_err(IssueError::Generate)?;
    let certificate = own.self_signed(&key).map_err(IssueError::Generate)?;
    let cross = crossed.signed_by(&key, present).map_err(IssueError::Generate)?;
    let der = certificate.der().to_vec();
    let generated =
        Generated { der, cert_pem: certificate.pem(), key_pem: Zeroizing::new(key.serialize_pem()) };
    Ok((generated, cross.pem()))
}

/// It may sign other CAs: the one after it.
fn make_ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
}

/// A server's leaf for DNS names (also with a wildcard) and addresses.
pub(crate) fn server(
    issuer: &Issuer<'_, KeyPair>,
    names: &[String],
    dates: Dates,
) -> Result<Generated, IssueError> {
    let common_name = names.iter().find(|name| name.len() <= COMMON_NAME_MAX);
    let mut params = params(common_name.map_or("Garrison Console", String::as_str), dates)?;
    params.subject_alt_names = names.iter().map(|name| subject_alt_name(name)).collect::<Result<_, _>>()?;
    leaf(params, ExtendedKeyUsagePurpose::ServerAuth, issuer)
}

/// A client's leaf.
pub(crate) fn client(
    issuer: &Issuer<'_, KeyPair>,
    common_name: &str,
    holder: Holder<'_>,
    dates: Dates,
) -> Result<ClientBundle, IssueError> {
    let params = client_params(common_name, holder, dates)?;
    let Generated { der, cert_pem, key_pem } = leaf(params, ExtendedKeyUsagePurpose::ClientAuth, issuer)?;
    Ok(ClientBundle { cert_pem, key_pem, not_after: dates.not_after, sha256: sha256_hex(&der) })
}

/// A client's leaf for the key of a request. Of what the request asks for, nothing but the key is taken.
pub(crate) fn client_for_request(
    issuer: &Issuer<'_, KeyPair>,
    csr_pem: &str,
    identity: &str,
    dates: Dates,
) -> Result<String, IssueError> {
    let request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(IssueError::Request)?;
    let mut params = client_params(identity, Holder::Defender(identity), dates)?;
    finish_leaf(&mut params, ExtendedKeyUsagePurpose::ClientAuth);
    Ok(params.signed_by(&request.public_key, issuer).map_err(IssueError::Generate)?.pem())
}

fn client_params(
    common_name: &str,
    holder: Holder<'_>,
    dates: Dates,
) -> Result<CertificateParams, IssueError> {
    let mut params = params(common_name, dates)?;
    let (prefix, mark) = match holder {
        Holder::Defender(identity) => (IDENTITY_URN, identity),
        Holder::Registration(registration) => (REGISTRATION_URN, registration),
    };
    let is_word = !mark.is_empty() && mark.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let uri = format!("{prefix}{mark}").try_into();
    let uri = uri.ok().filter(|_| is_word).ok_or_else(|| IssueError::Name(mark.to_owned()))?;
    params.subject_alt_names.push(SanType::URI(uri));
    Ok(params)
}

fn leaf(
    mut params: CertificateParams,
    usage: ExtendedKeyUsagePurpose,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<Generated, IssueError> {
    finish_leaf(&mut params, usage);
    let key = KeyPair::generate().map_err(IssueError::Generate)?;
    let certificate = params.signed_by(&key, issuer).map_err(IssueError::Generate)?;
    let der = certificate.der().to_vec();
    Ok(Generated { der, cert_pem: certificate.pem(), key_pem: Zeroizing::new(key.serialize_pem()) })
}

fn finish_leaf(params: &mut CertificateParams, usage: ExtendedKeyUsagePurpose) {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
}

/// What every certificate of ours has: rcgen's own defaults expire in 4096 and name nobody.
fn params(common_name: &str, dates: Dates) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Garrison");
    let common_name = common_name.chars().take(COMMON_NAME_MAX).collect::<String>();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    (params.not_before, params.not_after) = (dates.not_before, dates.not_after);
    params.use_authority_key_identifier_extension = true;
    let mut serial = random::<16>()?;
    // Positive, and never shorter than the others.
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn subject_alt_name(name: &str) -> Result<SanType, IssueError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let wrong = || IssueError::Name(name.to_owned());
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if name.len() > DNS_NAME_MAX || !labels.split('.').all(is_label) {
        return Err(wrong());
    }
    Ok(SanType::DnsName(name.try_into().map_err(|_| wrong())?))
}

fn random<const N: usize>() -> Result<[u8; N], IssueError> {
    let mut bytes = [0; N];
    let filled = aws_lc_rs::rand::fill(&mut bytes);
    filled.map_err(|_| IssueError::Generate(rcgen::Error::RingUnspecified))?;
    Ok(bytes)
}

impl fmt::Debug for ClientBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBundle")
            .field("cert_pem", &self.cert_pem)
            .field("key_pem", &"***")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRequest").field("csr_pem", &self.csr_pem).field("key_pem", &"***").finish()
    }
}

/// For clocks that are behind ours.
const BACK_DATED: Duration = Duration::HOUR;

/// For clocks of others, who are not to lose the Console when it has a new certificate: a day wrong, and then some.
const FAR_BACK_DATED: Duration = Duration::days(2);

/// The last date that X.509 can say.
const LAST_DATE: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59:59 UTC);

/// X.509 allows no more characters in a common name.
const COMMON_NAME_MAX: usize = 64;

/// DNS allows no more.
const DNS_NAME_MAX: usize = 253;

#[cfg(test)]
mod tests;
