//! What can be wrong inside the files of a set, each with a text and a remedy of its own. Where Go's `crypto/tls`
//! has a text for it, that text comes first, because runbooks search for it.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::error::show;

/// Which of the two inputs of a pair a fault is about, in Go's words. A CA file is certificate input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A file of certificates.
    Certificate,
    /// A file with a private key.
    Key,
}

/// What a file without PEM data holds instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Instead {
    /// A PEM block with no end.
    #[error("ends inside a PEM block: it was cut off")]
    CutOff,
    /// A PEM block whose content is not base64.
    #[error("has a damaged PEM block: its content is not base64")]
    Damaged,
    /// The binary form of the same thing.
    #[error("is DER, not PEM")]
    Der,
    /// Nothing.
    #[error("is empty")]
    Empty,
    /// Some other text or bytes.
    #[error("holds no PEM block")]
    Other,
    /// A PKCS#12 archive (`.p12`, `.pfx`).
    #[error("is a PKCS#12 archive, not PEM")]
    Pkcs12,
    /// Text in two-byte characters, as some Windows editors save it.
    #[error("is UTF-16 text")]
    Utf16,
}

/// What is wrong in one file, or between the files of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// A CA that TLS cannot trust.
    #[error("x509: certificate {position} of {} cannot be a CA for TLS: {detail}", path.display())]
    Anchor {
        /// The file.
        path: PathBuf,
        /// Which certificate, counted from 1.
        position: usize,
        /// What the TLS library says.
        detail: String,
    },
    /// The key file holds a certificate instead.
    #[error("tls: found a certificate rather than a key in the PEM for the private key: {} holds no key", path.display())]
    CertificateInKeyFile {
        /// The key file.
        path: PathBuf,
    },
    /// The key is encrypted with a pass phrase.
    #[error("tls: failed to parse private key: {} is encrypted", path.display())]
    Encrypted {
        /// The key file.
        path: PathBuf,
    },
    /// The certificate's extended key usage excludes the role that it is for.
    #[error(
        "x509: certificate specifies an incompatible key usage: the leaf of {} has an extended key usage without {needed}",
        path.display()
    )]
    ExtendedKeyUsage {
        /// The chain's file.
        path: PathBuf,
        /// `serverAuth` or `clientAuth`.
        needed: &'static str,
    },
    /// A block that should be a certificate is none.
    #[error("x509: malformed certificate: certificate {position} of {}", path.display())]
    MalformedCertificate {
        /// The file.
        path: PathBuf,
        /// Which certificate, counted from 1.
        position: usize,
    },
    /// The key block cannot be read.
    #[error("tls: failed to parse private key: the key in {} is damaged or of an unknown form", path.display())]
    MalformedKey {
        /// The key file.
        path: PathBuf,
    },
    /// The key belongs to another certificate.
    #[error("tls: private key does not match public key: {} does not belong to the leaf of {}", key.display(), cert.display())]
    Mismatch {
        /// The chain's file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// There is no PEM data.
    #[error("tls: failed to find any PEM data in {} input: {} {instead}", input.word(), path.display())]
    NoPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        input: Input,
        /// What it holds instead.
        instead: Instead,
    },
    /// The file cannot be opened.
    #[error("open {}: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The leaf has no extensions, where the peer is one of our own programs.
    #[error(
        "x509: unsupported certificate version: the leaf of {} is X.509 version {version}, which the other side's TLS refuses",
        path.display()
    )]
    OldVersion {
        /// The chain's file.
        path: PathBuf,
        /// 1 or 2.
        version: u32,
    },
    /// There are PEM blocks, but none of the kind that belongs there.
    #[error(
        "tls: failed to find {} in {} input after skipping PEM blocks of the following types: [{}]: {}",
        input.block(), input.word(), labels.join(" "), path.display()
    )]
    OtherBlocks {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        input: Input,
        /// The types of its blocks.
        labels: Vec<String>,
    },
    /// The file is a folder, a FIFO, a device or a socket.
    #[error("read {}: is {kind}, not a regular file", path.display())]
    Irregular {
        /// The file.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// The key is of a kind or size that TLS refuses.
    #[error("tls: failed to parse private key: {} holds {kind}; accepted are {ACCEPTED_KEYS}", path.display())]
    RefusedKey {
        /// The key file.
        path: PathBuf,
        /// What it is.
        kind: String,
    },
    /// More than one key in the file.
    #[error("tls: failed to parse private key: {} holds {count} private keys", path.display())]
    SeveralKeys {
        /// The key file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// The storage has failed; whether the file is there is not known.
    #[error("open {}: {reason}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The certificate file holds the key instead.
    #[error(
        "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched: {} holds no certificate",
        path.display()
    )]
    Switched {
        /// The certificate file.
        path: PathBuf,
    },
    /// The file is too big to be a certificate or a key.
    #[error("read {}: larger than 1 MiB", path.display())]
    TooBig {
        /// The file.
        path: PathBuf,
    },
    /// The key belongs to a certificate of the chain, but not to the first.
    #[error(
        "tls: private key does not match public key: {} belongs to certificate {position} of {}, the leaf must be the first",
        key.display(), cert.display()
    )]
    WrongOrder {
        /// The chain's file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Which certificate the key belongs to, counted from 1.
        position: usize,
    },
}

impl Input {
    fn word(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
        }
    }

    fn block(self) -> &'static str {
        match self {
            Self::Certificate => "\"CERTIFICATE\" PEM block",
            Self::Key => "PEM block with type ending in \"PRIVATE KEY\"",
        }
    }
}

impl Fault {
    /// The file to mend first.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Anchor { path, .. }
            | Self::CertificateInKeyFile { path }
            | Self::Encrypted { path }
            | Self::ExtendedKeyUsage { path, .. }
            | Self::Irregular { path, .. }
            | Self::MalformedCertificate { path, .. }
            | Self::MalformedKey { path }
            | Self::Mismatch { key: path, .. }
            | Self::NoPem { path, .. }
            | Self::OldVersion { path, .. }
            | Self::Open { path, .. }
            | Self::OtherBlocks { path, .. }
            | Self::RefusedKey { path, .. }
            | Self::SeveralKeys { path, .. }
            | Self::Storage { path, .. }
            | Self::Switched { path }
            | Self::TooBig { path }
            | Self::WrongOrder { cert: path, .. } => path,
        }
    }

    /// What to do about it, in one sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        let path = show(self.path());
        match self {
            Self::CertificateInKeyFile { .. }
            | Self::Encrypted { .. }
            | Self::MalformedKey { .. }
            | Self::RefusedKey { .. }
            | Self::SeveralKeys { .. }
            | Self::OtherBlocks { input: Input::Key, .. } => self.key_remedy(&path),
            Self::Anchor { position, .. } => {
                format!("remove certificate {position} from {path}, or replace it with a CA certificate")
            }
            Self::ExtendedKeyUsage { needed, .. } => {
                format!("have the certificate of {path} issued again with {needed} in its extended key usage")
            }
            Self::OldVersion { .. } => {
                format!("have the certificate of {path} issued again with extensions: {WITH_EXTENSIONS}")
            }
            Self::Irregular { .. } => format!("put a regular PEM file, or a link to one, at {path}"),
            Self::MalformedCertificate { .. } => {
                format!(
                    "copy {path} again; `openssl x509 -noout -text` must be able to read each certificate"
                )
            }
            Self::Mismatch { cert, key } => {
                format!("copy certificate and key of the same pair to {} and {}", show(cert), show(key))
            }
            Self::NoPem { input, instead, .. } => no_pem_remedy(&path, *input, *instead),
            Self::Open { .. } => {
                format!("make {path} a file that the user of this program may read, in folders it may enter")
            }
            Self::OtherBlocks { .. } => {
                format!("put the certificate chain, in blocks that begin with BEGIN CERTIFICATE, into {path}")
            }
            Self::Storage { .. } => {
                format!("see to the storage that {path} is on: mount it again, or mend its connection")
            }
            Self::Switched { .. } => {
                format!("put the certificate chain into {path}; the two files may have been swapped")
            }
            Self::TooBig { .. } => format!("put only the PEM blocks that belong there into {path}"),
            Self::WrongOrder { .. } => format!("put the leaf first in {path}"),
        }
    }

    /// The remedy for a file that should hold a usable key.
    fn key_remedy(&self, path: &str) -> String {
        match self {
            Self::CertificateInKeyFile { .. } => {
                format!("put the private key into {path}; the two files may have been swapped")
            }
            Self::Encrypted { .. } => format!(
                "remove the pass phrase: openssl pkey -in {path} -out plain.pem, then move plain.pem over {path}"
            ),
            Self::MalformedKey { .. } => {
                format!("copy {path} again; `openssl pkey -noout -in {path}` must be able to read it")
            }
            Self::RefusedKey { .. } => {
                format!("make a new key and certificate, such as ECDSA P-256, and replace {path}")
            }
            Self::SeveralKeys { .. } => format!("leave only the key that belongs to the leaf in {path}"),
            _ => format!("put the private key of the certificate into {path}"),
        }
    }
}

fn no_pem_remedy(path: &str, input: Input, instead: Instead) -> String {
    let converter = match input {
        Input::Certificate => "openssl x509",
        Input::Key => "openssl pkey",
    };
    match instead {
        Instead::CutOff | Instead::Damaged | Instead::Empty => format!("copy {path} again, whole"),
        Instead::Der => {
            format!(
                "convert it: {converter} -inform DER -in {path} -out new.pem, then move new.pem over {path}"
            )
        }
        Instead::Other => format!("put PEM text, with its BEGIN and END lines, into {path}"),
        Instead::Pkcs12 => {
            format!(
                "unpack it: openssl pkcs12 -in {path} -nodes, and copy each part to the file it belongs to"
            )
        }
        Instead::Utf16 => format!("save {path} as plain ASCII or UTF-8 text"),
    }
}

/// How a leaf becomes X.509 version 3, as remedies say it.
pub(crate) const WITH_EXTENSIONS: &str =
    "`openssl x509 -req … -extfile FILE` where FILE names at least its subjectAltName";

/// What TLS accepts, as messages say it.
pub(crate) const ACCEPTED_KEYS: &str =
    "RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, and Ed25519";
