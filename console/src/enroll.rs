//! How Defenders get certificates: install bundles, and requests over the live connection.
//!
//! Both come from the Console's own authority, so there is neither while a custom WebSocket set runs: then only
//! certificates of its `defender-ca.pem` are accepted (contract section 2).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::{Authority, Channel, Found, IssueError, Material, RawMaterial, Source, Subscriber};
use rustls::ServerConfig;
use serde::Serialize;
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Issues certificates to Defenders. Clones share it.
#[derive(Debug, Clone)]
pub struct Enrolment {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    authority: Arc<Authority>,
    defender: Subscriber<ServerConfig>,
}

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum EnrolError {
    /// A custom WebSocket set runs.
    #[error(
        "custom certificates secure the Defender listener, and only their CA is accepted: issue \
         defender-client-cert.pem and defender-client-key.pem from it and copy them to the hosts"
    )]
    CustomCertificates,
    /// The bundle directory cannot be written.
    #[error("writing the install bundle to {path}")]
    Directory {
        /// The directory or file.
        path: std::path::PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The authority cannot sign.
    #[error("issuing a certificate")]
    Issue(#[from] IssueError),
    /// The bundle cannot be put into JSON.
    #[error("writing the install bundle as JSON")]
    Json(#[from] serde_json::Error),
}

/// The three files of a bundle, by name.
#[derive(Serialize)]
struct Bundle<'a> {
    #[serde(rename = "defender-ca.pem")]
    ca: &'a str,
    #[serde(rename = "defender-client-cert.pem")]
    cert: &'a str,
    #[serde(rename = "defender-client-key.pem")]
    key: &'a str,
}

impl Enrolment {
    /// Issues from `authority` while `defender` runs on its material.
    #[must_use]
    pub fn new(authority: Arc<Authority>, defender: Subscriber<ServerConfig>) -> Self {
        Self { inner: Arc::new(Inner { authority, defender }) }
    }

    /// A new install bundle: base64 of a JSON object of the three files. It holds a private key.
    ///
    /// # Errors
    /// [`EnrolError::CustomCertificates`], or when the authority cannot sign.
    pub fn install_bundle(&self) -> Result<Zeroizing<String>, EnrolError> {
        self.check_own_authority()?;
        let issued = self.issue_bundle()?;
        let bundle =
            Bundle { ca: self.inner.authority.ca_pem(), cert: &issued.cert_pem, key: &issued.key_pem };
        let json = Zeroizing::new(serde_json::to_vec(&bundle)?);
        Ok(Zeroizing::new(STANDARD.encode(&*json)))
    }

    /// Signs a request of the Defender `id`: the chain and the authority to trust, both PEM.
    ///
    /// # Errors
    /// [`EnrolError::CustomCertificates`], or why the request cannot be signed.
    pub fn sign(&self, csr: &str, id: Uuid) -> Result<(String, String), EnrolError> {
        self.check_own_authority()?;
        let now = OffsetDateTime::now_utc();
        let chain = self.inner.authority.sign_request(csr, &id.to_string(), OWN_LIFE, now)?;
        Ok((chain, self.inner.authority.ca_pem().to_owned()))
    }

    /// Keeps a bundle in `dir` for a Defender of the same host: one that is there and good for more than half
    /// of its life is left alone. While a custom set runs, what is there stays.
    ///
    /// # Errors
    /// [`EnrolError`]; what is there stays.
    pub fn keep_bundle(&self, dir: &Path) -> Result<(), EnrolError> {
        if self.check_own_authority().is_err() || self.is_current(dir) {
            return Ok(());
        }
        let issued = self.issue_bundle()?;
        std::fs::create_dir_all(dir).map_err(|source| directory(dir, source))?;
        let files = Channel::Defender.files();
        // The authority goes last: a Defender that waits for a bundle takes it when all three are there.
        write(&dir.join(files.key), issued.key_pem.as_bytes())?;
        write(&dir.join(files.cert), issued.cert_pem.as_bytes())?;
        if let Some(ca) = files.ca {
            write(&dir.join(ca), self.inner.authority.ca_pem().as_bytes())?;
        }
        tracing::info!(path = dir.display().to_string(), "Install bundle written");
        Ok(())
    }

    fn issue_bundle(&self) -> Result<certs::ClientBundle, EnrolError> {
        let now = OffsetDateTime::now_utc();
        Ok(self.inner.authority.issue_client(None, "Garrison Defender", BUNDLE_LIFE, now)?)
    }

    fn is_current(&self, dir: &Path) -> bool {
        let Ok(Found::Complete(raw)) = RawMaterial::read(Channel::Defender, dir) else { return false };
        let Ok(material) = Material::parse(raw) else { return false };
        let remaining = material.leaf().not_after - OffsetDateTime::now_utc();
        remaining > BUNDLE_LIFE / 2 && material.ca_pem().trim() == self.inner.authority.ca_pem().trim()
    }

    fn check_own_authority(&self) -> Result<(), EnrolError> {
        match self.inner.defender.current().source {
            Source::Custom => Err(EnrolError::CustomCertificates),
            Source::SelfSigned => Ok(()),
        }
    }
}

/// Puts a file in its place in one step, mode 0600.
fn write(path: &Path, content: &[u8]) -> Result<(), EnrolError> {
    use std::io::Write as _;
    let fault = |source| directory(path, source);
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path)).map_err(fault)?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(fault)?;
    file.persist(path).map_err(|error| fault(error.error))?;
    Ok(())
}

fn directory(path: &Path, source: std::io::Error) -> EnrolError {
    EnrolError::Directory { path: path.to_owned(), source }
}

/// A bundle may lie in a cluster's secret for long before a host starts with it.
const BUNDLE_LIFE: Duration = Duration::from_secs(2 * 365 * 24 * 60 * 60);

/// Life of a certificate that a Defender asks for.
const OWN_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
