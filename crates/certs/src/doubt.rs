//! Doubts: what is taken, but with a warning.

use std::path::{Path, PathBuf};

use thiserror::Error;
use time::OffsetDateTime;

use crate::error::{rfc3339, show};
use crate::fault::WITH_EXTENSIONS;

/// One thing about a set that an operator should hear of.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {suspicion}", file.display())]
pub struct Doubt {
    /// The file that it is about.
    pub(crate) file: PathBuf,
    /// What it is.
    pub(crate) suspicion: Suspicion,
}

/// What a doubt is about.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Suspicion {
    /// The file starts with a byte order mark.
    #[error("starts with a byte order mark, which other programs refuse")]
    ByteOrderMark,
    /// One CA among good ones is not valid now.
    #[error("CA certificate {subject} is valid only from {} to {}", rfc3339(*not_before), rfc3339(*not_after))]
    CaExpired {
        /// The CA.
        subject: String,
        /// When it begins to be valid.
        not_before: OffsetDateTime,
        /// When it expires.
        not_after: OffsetDateTime,
    },
    /// The leaf expires within 30 days.
    #[error("certificate expires soon: {subject}, not valid after {}", rfc3339(*not_after))]
    ExpiresSoon {
        /// The leaf.
        subject: String,
        /// When it expires.
        not_after: OffsetDateTime,
    },
    /// The certificate file holds a private key as well.
    #[error("holds a private key beside the certificates")]
    KeyInCertificateFile,
    /// The CA file holds a private key as well.
    #[error("holds a private key, which must not be there: whoever is given the CA certificates can read it")]
    KeyInCaFile,
    /// Any user of the host can read the key.
    #[error("private key can be read by others (mode {mode:04o})")]
    KeyReadable {
        /// The permission bits.
        mode: u32,
    },
    /// A CA certificate stands for a program, which TLS libraries built on webpki refuse.
    #[error("certificate is that of a CA, {refuser} refuse it as the one of this side: {subject}")]
    LeafIsCa {
        /// The leaf.
        subject: String,
        /// The programs on the other side.
        refuser: &'static str,
    },
    /// A server certificate without subject alternative names.
    #[error("certificate has no subject alternative name, clients will not accept it: {subject}")]
    NoNames {
        /// The leaf.
        subject: String,
    },
    /// A certificate in the CA file is not a CA's.
    #[error("certificate {subject} is not a CA certificate")]
    NotACa {
        /// That certificate.
        subject: String,
    },
    /// The set's CAs did not issue the set's leaf.
    #[error("certificate was issued by none of the CAs in {}: {subject}, issued by {issuer}", ca.display())]
    NotIssued {
        /// The CA file.
        ca: PathBuf,
        /// The leaf.
        subject: String,
        /// Who issued it.
        issuer: String,
    },
    /// An X.509 version 1 certificate.
    #[error("certificate is X.509 version {version}, which TLS clients built on rustls refuse: {subject}")]
    OldVersion {
        /// The leaf.
        subject: String,
        /// 1 or 2.
        version: u32,
    },
    /// A signature with a broken hash.
    #[error("certificate {position} ({subject}) is signed with {algorithm}, which clients refuse")]
    WeakSignature {
        /// Which certificate, counted from 1.
        position: usize,
        /// Its subject.
        subject: String,
        /// The signature algorithm.
        algorithm: &'static str,
    },
}

impl Doubt {
    /// The file that it is about.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What it is.
    #[must_use]
    pub fn suspicion(&self) -> &Suspicion {
        &self.suspicion
    }

    /// What to do about it, in one sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        let file = show(&self.file);
        match &self.suspicion {
            Suspicion::ByteOrderMark => format!("save {file} without a byte order mark"),
            Suspicion::CaExpired { .. } | Suspicion::NotACa { .. } => {
                format!("remove that certificate from {file}")
            }
            Suspicion::ExpiresSoon { .. } => format!("renew the certificate and replace {file} with its key"),
            Suspicion::KeyInCertificateFile => format!("leave only the certificates in {file}"),
            Suspicion::KeyInCaFile => format!(
                "leave only the certificates in {file}; if others could read the key, make a new one in its place"
            ),
            Suspicion::LeafIsCa { .. } => {
                "have a certificate issued with basicConstraints CA:FALSE; `openssl req -x509` makes one of a CA".to_owned()
            }
            Suspicion::KeyReadable { .. } => format!("chmod o-rwx {file}"),
            Suspicion::NoNames { .. } => {
                "have it issued again with the names that clients use as subject alternative names".to_owned()
            }
            Suspicion::NotIssued { ca, .. } => {
                format!("put the CA that issued {file} into {}", show(ca))
            }
            Suspicion::OldVersion { .. } => {
                format!("have it issued again with extensions: {WITH_EXTENSIONS}")
            },
            Suspicion::WeakSignature { .. } => "have it issued again with a SHA-256 signature".to_owned(),
        }
    }
}
