//! The certificate that this Defender asked for, with its key and the CAs to trust: one file of the data directory,
//! replaced as a whole. When to ask is in `enrol.rs`.
//!
//! A damaged file is named once and left out: the install bundle takes its place.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certs::{CertError, Channel, KeyRequest, Material, RawMaterial};
use lifecycle::atomic::{self, Durability};
use lifecycle::logging::error_chain;
use serde::Serialize;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::bundle::Files;

/// The certificate that this Defender asked for. Clones share it.
#[derive(Clone)]
pub struct OwnCertificate {
    path: Arc<Path>,
    current: watch::Sender<Option<Kept>>,
    /// Held while the file changes.
    turn: Arc<Mutex<()>>,
    /// A random share, 0 to 1.
    share: fn() -> f64,
}

/// One certificate.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Chain, key, CAs.
    pub material: Arc<Material>,
    /// When to ask for the next one. Counted from when it was received, not by a clock that may be wrong.
    pub renew_at: Instant,
}

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// By the clock on the wall, which may be wrong.
    pub wall: OffsetDateTime,
    /// By the one that only counts.
    pub steady: Instant,
}

impl Now {
    /// By the system's clocks.
    #[must_use]
    pub fn read() -> Self {
        Self { wall: OffsetDateTime::now_utc(), steady: Instant::now() }
    }
}

/// Why what the Console sent is not kept.
#[derive(Debug, Error)]
pub enum KeepError {
    /// It cannot be used.
    #[error("what the Console has issued cannot be used")]
    Certificates(#[source] CertError),
    /// It cannot be written.
    #[error("writing {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Why what is kept cannot be used.
#[derive(Debug, Error)]
pub(crate) enum DamageError {
    /// The certificate or its key.
    #[error(transparent)]
    Certificates(#[from] CertError),
    /// Something else is in the file. The library's own text is left out: it may quote the content.
    #[error("it holds no key with its certificate")]
    Content,
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// As the file has it: the three files of a bundle, by name.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "defender-ca.pem")]
    ca: &'a str,
    #[serde(rename = "defender-client-cert.pem")]
    cert: &'a str,
    #[serde(rename = "defender-client-key.pem")]
    key: &'a str,
}

impl OwnCertificate {
    /// Reads what is kept in the data directory; `share` spreads renewals.
    #[must_use]
    pub fn open(data_dir: &Path, share: fn() -> f64, now: Now) -> Self {
        let path = data_dir.join(FILE);
        let material = match read(&path) {
            Ok(material) => material,
            Err(fault) => {
                tracing::warn!(
                    path = path.display().to_string(),
                    error = error_chain(&fault),
                    "The Defender's own certificate is damaged and left out: the install bundle takes its place"
                );
                None
            }
        };
        let kept = material.map(|material| {
            let due = due_after(&material, Some(now.wall), share());
            Kept { material: Arc::new(material), renew_at: now.steady + due }
        });
        Self { path: path.into(), current: watch::Sender::new(kept), turn: Arc::default(), share }
    }

    /// The newest one, and those to come.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Kept>> {
        self.current.subscribe()
    }

    /// A random share, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        (self.share)()
    }

    /// Keeps what the Console has issued for `request`, on disk before anything uses it.
    ///
    /// # Errors
    /// [`KeepError`]; what was kept before stays.
    pub async fn keep(
        &self,
        request: &KeyRequest,
        chain: String,
        ca: String,
        now: Instant,
    ) -> Result<(), KeepError> {
        let files = Files { ca, cert: chain, key: request.key_pem.clone() };
        let renew_in = |material: &Material, share| Some(due_after(material, None, share));
        self.change(move |_| Some(files), renew_in, now).await
    }

    /// Trusts the CAs that the Console has named, where those are others. Whether they are.
    ///
    /// # Errors
    /// [`KeepError`]; those of before stay trusted.
    pub async fn learn(&self, ca: String, now: Instant) -> Result<bool, KeepError> {
        let known = self.current.borrow().as_ref().map(|kept| kept.material.ca_pem());
        if known.is_none_or(|known| known.trim() == ca.trim()) {
            return Ok(false);
        }
        self.trust(ca, now).await?;
        Ok(true)
    }

    /// Trusts other CAs from now on.
    async fn trust(&self, ca: String, now: Instant) -> Result<(), KeepError> {
        self.change(move |kept| kept.map(|kept| Files { ca, ..kept }), |_, _| None, now).await
    }

    /// Replaces the file by what `make` makes of it. Two sessions may do so at a time, while one takes over from the
    /// other: whoever has the turn goes through with it, also when nobody waits for it any more.
    async fn change(
        &self,
        make: impl FnOnce(Option<Files>) -> Option<Files> + Send + 'static,
        renew_in: fn(&Material, f64) -> Option<Duration>,
        now: Instant,
    ) -> Result<(), KeepError> {
        let (path, current, share) = (Arc::clone(&self.path), self.current.clone(), self.share());
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let changing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let fault = |source| KeepError::Write { path: path.to_path_buf(), source };
            let Some(files) = make(read_files(&path).unwrap_or_default()) else { return Ok(()) };
            let written = Written { ca: &files.ca, cert: &files.cert, key: &files.key };
            let json =
                Zeroizing::new(serde_json::to_vec_pretty(&written).map_err(|error| fault(error.into()))?);
            let material = parse(&path, files).map_err(KeepError::Certificates)?;
            atomic::write(&path, &json, Durability::PowerLoss).map_err(fault)?;
            let before = current.borrow().as_ref().map(|kept| kept.renew_at);
            let renew_at = renew_in(&material, share).map(|due| now + due).or(before).unwrap_or(now);
            current.send_replace(Some(Kept { material: Arc::new(material), renew_at }));
            Ok(())
        });
        let interrupted =
            |_| KeepError::Write { path: self.path.to_path_buf(), source: io::ErrorKind::Interrupted.into() };
        changing.await.map_err(interrupted)?
    }
}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCertificate").field("path", &self.path).finish_non_exhaustive()
    }
}

/// When to ask for the next certificate: between 40 and 50 per cent of the life, from now on for one that was just
/// received, else by the clock, which may be wrong: never later than half a life from now.
fn due_after(material: &Material, kept_until_now: Option<OffsetDateTime>, share: f64) -> Duration {
    let facts = material.leaf();
    let life = Duration::try_from(facts.not_after - facts.not_before).unwrap_or_default();
    let due = life.mul_f64(0.5 - 0.1 * share);
    let Some(now) = kept_until_now else { return due };
    let left = Duration::try_from(facts.not_after - now).unwrap_or_default();
    left.saturating_sub(life.saturating_sub(due)).min(due)
}

/// What is kept in a data directory, without being used; `None`: nothing.
pub(crate) fn kept_in(data_dir: &Path) -> Result<Option<Material>, DamageError> {
    read(&data_dir.join(FILE))
}

/// `None`: nothing is kept.
fn read(path: &Path) -> Result<Option<Material>, DamageError> {
    let Some(files) = read_files(path)? else { return Ok(None) };
    Ok(Some(parse(path, files)?))
}

fn read_files(path: &Path) -> Result<Option<Files>, DamageError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut json = Zeroizing::new(Vec::with_capacity(CAPACITY));
    file.take(MAX_BYTES).read_to_end(&mut json)?;
    serde_json::from_slice(&json).map(Some).map_err(|_| DamageError::Content)
}

fn parse(path: &Path, files: Files) -> Result<Material, CertError> {
    Material::parse(RawMaterial::from_files(
        Channel::Defender,
        path,
        Some(files.ca.into_bytes()),
        files.cert.into_bytes(),
        Zeroizing::new(files.key.as_bytes().to_vec()),
    ))
}

const FILE: &str = "own-certificate.json";
const CAPACITY: usize = 16 * 1024;
const MAX_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests;
