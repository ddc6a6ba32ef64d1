//! Certificate revocation lists: `defender-crl.pem` -> what it names. Each list is verified here, by the CA of the set
//! that signed it; what follows for connections is in `guard.rs`, when the file is read in `revocations.rs`.

use std::collections::HashSet;

use rustls_pki_types::CertificateDer;
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::oid_registry::{OID_X509_EXT_DELTA_CRL_INDICATOR, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT};
use x509_parser::prelude::{CertificateRevocationList, FromDer, ParsedExtension, X509Certificate};

use crate::certificate::Certificate;
use crate::fault::{Fault, Instead};
use crate::pem;

/// The lists of one file.
#[derive(Debug, Default)]
pub(crate) struct Crls {
    lists: Vec<Crl>,
    /// Issuers of lists that no CA of the set has signed: those are passed over.
    strangers: Vec<String>,
}

/// One list.
#[derive(Debug)]
struct Crl {
    /// Who signed it.
    signer: Certificate,
    /// Serial numbers without leading zeros.
    serials: HashSet<Vec<u8>>,
    next_update: Option<OffsetDateTime>,
}

/// What is wrong with a file of lists.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CrlFault {
    /// A part of a list: what it names is not all that is revoked.
    #[error("x509: revocation list {0} is a delta list, which is no list by itself")]
    Delta(usize),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] Fault),
    /// The signature is not that of the CA whose name it bears.
    #[error(
        "x509: revocation list {position} bears the name of {issuer}, but its signature is not that CA's"
    )]
    Forged {
        /// Which list, counted from 1.
        position: usize,
        /// Whose name.
        issuer: String,
    },
    /// A list that cannot be read.
    #[error("x509: malformed revocation list: list {0}")]
    Malformed(usize),
    /// There is no PEM data.
    #[error("x509: no PEM data: the file {0}")]
    NoPem(Instead),
    /// There are PEM blocks, but no list.
    #[error("x509: the file holds no X509 CRL, but {0}")]
    OtherBlocks(String),
    /// No CA of the set has signed any of the lists.
    #[error("x509: signed by no CA of defender-ca.pem: {0}")]
    Stranger(String),
    /// An extension that must be understood, and is not.
    #[error("x509: revocation list {position} has the critical extension {oid}, which is not supported")]
    Unsupported {
        /// Which list, counted from 1.
        position: usize,
        /// Which extension.
        oid: String,
    },
}

impl CrlFault {
    /// What to do about it, in one sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::File(fault) => fault.remedy(),
            Self::Delta(_) | Self::Unsupported { .. } => {
                "have the CA issue one complete list for all of its certificates".to_owned()
            }
            Self::Forged { .. } | Self::Malformed(_) => {
                "copy the list again; `openssl crl -noout -text` must be able to read it".to_owned()
            }
            Self::NoPem(_) | Self::OtherBlocks(_) => {
                "put PEM there, with BEGIN X509 CRL; `openssl crl -inform DER -outform PEM` converts DER"
                    .to_owned()
            }
            Self::Stranger(_) => {
                "put a list there that a CA of defender-ca.pem has signed, or that CA into defender-ca.pem"
                    .to_owned()
            }
        }
    }
}

impl Crls {
    /// The lists in the text of a file, for a set with these `signers`.
    ///
    /// # Errors
    /// [`CrlFault`]: the file is of no use.
    pub(crate) fn parse(bytes: &[u8], signers: &[Certificate]) -> Result<Self, CrlFault> {
        let blocks = pem::decode(bytes).map_err(CrlFault::NoPem)?;
        let mut crls = Self::default();
        let lists = blocks.iter().filter(|block| block.label == LABEL).enumerate();
        for (index, block) in lists {
            crls.add(&block.der, index.saturating_add(1), signers)?;
        }
        match (crls.lists.is_empty(), crls.strangers.is_empty()) {
            (false, _) => Ok(crls),
            (true, false) => Err(CrlFault::Stranger(crls.strangers.join("; "))),
            (true, true) => {
                let labels: Vec<_> = blocks.iter().map(|block| block.label.as_str()).collect();
                Err(CrlFault::OtherBlocks(labels.join(", ")))
            }
        }
    }

    fn add(&mut self, der: &[u8], position: usize, signers: &[Certificate]) -> Result<(), CrlFault> {
        let Ok((rest, crl)) = CertificateRevocationList::from_der(der) else {
            return Err(CrlFault::Malformed(position));
        };
        if !rest.is_empty() {
            return Err(CrlFault::Malformed(position));
        }
        check_extensions(&crl, position)?;
        let named = signers.iter().filter(|signer| is_issuer(signer, crl.issuer().as_raw()));
        let mut named = named.peekable();
        let issuer = crl.issuer().to_string().replace(char::is_control, "?");
        if named.peek().is_none() {
            self.strangers.push(issuer);
            return Ok(());
        }
        let Some(signer) = named.find(|signer| has_signed(signer, &crl)) else {
            return Err(CrlFault::Forged { position, issuer });
        };
        let serials = crl.iter_revoked_certificates().map(|one| significant(one.raw_serial()).to_vec());
        self.lists.push(Crl {
            signer: signer.clone(),
            serials: serials.collect(),
            next_update: crl.next_update().map(|time| time.to_datetime()),
        });
        Ok(())
    }

    /// Whether one of `chain` is revoked.
    pub(crate) fn name_one_of<'a>(&self, chain: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> bool {
        !self.lists.is_empty() && chain.into_iter().any(|der| self.name(der))
    }

    fn name(&self, der: &[u8]) -> bool {
        let Ok((_, one)) = X509Certificate::from_der(der) else { return false };
        let serial = significant(one.raw_serial());
        self.lists.iter().any(|crl| {
            crl.serials.contains(serial)
                && is_issuer(&crl.signer, one.issuer().as_raw())
                // CAs may have one name and different keys.
                && Certificate::parse(der).is_some_and(|one| one.is_issued_by(&crl.signer))
        })
    }

    /// How many certificates they name.
    pub(crate) fn count(&self) -> usize {
        self.lists.iter().map(|crl| crl.serials.len()).sum()
    }

    /// Who signed them.
    pub(crate) fn issuers(&self) -> String {
        let names: Vec<_> = self.lists.iter().map(|crl| crl.signer.facts().subject.as_str()).collect();
        names.join("; ")
    }

    /// Issuers of lists that are of no use here.
    pub(crate) fn strangers(&self) -> &[String] {
        &self.strangers
    }

    /// When the first of them should have been replaced by a newer one.
    pub(crate) fn next_update(&self) -> Option<OffsetDateTime> {
        self.lists.iter().filter_map(|crl| crl.next_update).min()
    }
}

/// A list that is only a part, or speaks of other CAs' certificates, would be misread.
fn check_extensions(crl: &CertificateRevocationList<'_>, position: usize) -> Result<(), CrlFault> {
    for extension in crl.extensions() {
        if extension.oid == OID_X509_EXT_DELTA_CRL_INDICATOR {
            return Err(CrlFault::Delta(position));
        }
        let is_understood = match extension.parsed_extension() {
            ParsedExtension::IssuingDistributionPoint(point) => !point.indirect_crl,
            ParsedExtension::UnsupportedExtension { .. } | ParsedExtension::ParseError { .. } => {
                extension.oid != OID_X509_EXT_ISSUER_DISTRIBUTION_POINT && !extension.critical
            }
            _ => true,
        };
        if !is_understood {
            return Err(CrlFault::Unsupported { position, oid: extension.oid.to_id_string() });
        }
    }
    Ok(())
}

fn is_issuer(signer: &Certificate, issuer: &[u8]) -> bool {
    X509Certificate::from_der(signer.der()).is_ok_and(|(_, signer)| signer.subject().as_raw() == issuer)
}

fn has_signed(signer: &Certificate, crl: &CertificateRevocationList<'_>) -> bool {
    X509Certificate::from_der(signer.der())
        .is_ok_and(|(_, signer)| crl.verify_signature(signer.public_key()).is_ok())
}

fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

const LABEL: &str = "X509 CRL";

#[cfg(test)]
mod tests;
