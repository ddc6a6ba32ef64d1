//! Why a set of certificates is refused. `Display` is the CAUSE of the contract's log lines, in full; the remedy
//! is a sentence of its own. What can be wrong inside a file is in `fault.rs`.

use std::path::{Path, PathBuf};

use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::crl::CrlFault;
use crate::fault::Fault;

/// A set that cannot be used, or (from [`crate::Material::unfit`]) one that must not replace what runs.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CertError {
    /// The CA file cannot be used.
    #[error("error reading CA certificate ({}): {fault}", file.display())]
    Ca {
        /// The file, with its path.
        file: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// No CA of the CA file is valid now.
    #[error(
        "{}: x509: every CA certificate has expired or is not yet valid: {subject}, valid from {} to {}",
        file.display(), rfc3339(*not_before), rfc3339(*not_after)
    )]
    CasExpired {
        /// The CA file.
        file: PathBuf,
        /// The CA that lasted longest.
        subject: String,
        /// When that one begins to be valid.
        not_before: OffsetDateTime,
        /// When that one expired.
        not_after: OffsetDateTime,
    },
    /// The file of revocation lists cannot be used.
    #[error("error reading revocation list ({}): {fault}", file.display())]
    Crl {
        /// The file, with its path.
        file: PathBuf,
        /// What is wrong with it.
        fault: CrlFault,
    },
    /// The leaf or an intermediate has expired.
    #[error("{}: x509: certificate has expired: {subject}, not valid after {}", file.display(), rfc3339(*not_after))]
    Expired {
        /// The chain's file.
        file: PathBuf,
        /// The subject of the expired certificate.
        subject: String,
        /// When it expired.
        not_after: OffsetDateTime,
    },
    /// The certificate or the key cannot be used, or they do not belong together.
    #[error("error reading X509 key pair ({}, {}): {fault}", cert.display(), key.display())]
    KeyPair {
        /// The chain's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        fault: Fault,
    },
    /// The leaf or an intermediate is not valid yet.
    #[error(
        "{}: x509: certificate is not yet valid: {subject}, not valid before {}",
        file.display(), rfc3339(*not_before)
    )]
    NotYetValid {
        /// The chain's file.
        file: PathBuf,
        /// The subject of that certificate.
        subject: String,
        /// When it becomes valid.
        not_before: OffsetDateTime,
    },
    /// A certificate of the chain was not issued by the next one.
    #[error(
        "{}: x509: certificate chain is out of order: certificate {position} ({subject}) was not issued by the next one ({next})",
        file.display()
    )]
    OutOfOrder {
        /// The chain's file.
        file: PathBuf,
        /// Which certificate, counted from 1.
        position: usize,
        /// Its subject.
        subject: String,
        /// The subject of the one behind it.
        next: String,
    },
    /// The TLS library refuses what passed every check.
    #[error("building the TLS configuration: {0}")]
    Tls(#[source] rustls::Error),
}

impl CertError {
    /// What to do about it, in one sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Ca { fault, .. } | Self::KeyPair { fault, .. } => fault.remedy(),
            Self::Crl { fault, .. } => fault.remedy(),
            Self::CasExpired { file, .. } => {
                format!("put a CA certificate that is valid now into {}", show(file))
            }
            Self::Expired { file, .. } => {
                format!("renew the certificate and replace {} together with its key", show(file))
            }
            Self::NotYetValid { file, .. } => {
                format!(
                    "check the clock of this host, or replace {} with a certificate valid now",
                    show(file)
                )
            }
            Self::OutOfOrder { file, .. } => format!(
                "order {} leaf first, then each certificate followed by the one that issued it, and nothing else",
                show(file)
            ),
            Self::Tls(_) => {
                "replace the set with one that openssl and rustls accept, such as ECDSA P-256".to_owned()
            }
        }
    }

    /// What is wrong, without naming the pair that it was found in.
    pub(crate) fn into_cause(self) -> String {
        match self {
            Self::Ca { fault, .. } | Self::KeyPair { fault, .. } => fault.to_string(),
            Self::Crl { fault, .. } => fault.to_string(),
            other => other.to_string(),
        }
    }
}

/// A time as logs and messages show it.
pub(crate) fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

/// A path as logs and messages show it.
pub(crate) fn show(path: &Path) -> String {
    path.display().to_string()
}
