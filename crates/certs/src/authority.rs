//! The Console's own CA and server certificates on disk. A damaged store is an error: a new CA in its place would cut
//! every Defender off.
//!
//! ```text
//! <data-dir>/certificates/   0700   made beside it, whole, then renamed into place
//!   ca.pem  ca-key.pem       0600   the present CA; those before and after it: ring.rs
//!   console.pem              0600   leaf, CA and key in one file, so that no crash can mix two pairs
//!   defender-server.pem      0600   leaf and key
//! ```

use std::error::Error as _;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::channel::Channel;
use crate::disk::{self, FileState};
use crate::error::show;
use crate::generate::{self, ClientBundle, Dates, Generated, Holder, IssueError};
use crate::material::Material;
use crate::pem;
use crate::raw::{Paths, RawMaterial};
use ring::Ring;

pub use ring::{Phase, Stage, last_step};
pub use steps::{CaState, StepError};

mod ring;
mod steps;

/// The Console's own CA, opened, with those before and after it.
pub struct Authority {
    dir: PathBuf,
    ring: RwLock<Ring>,
}

/// Why the store cannot be used. `Display` says all of it, the remedy last; there is no source behind it, so that
/// nothing is told twice.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The CA is incomplete or damaged. Nothing was changed.
    #[error("the Console's own CA is damaged: {}: {cause}; remedy: {}", file.display(), self.remedy())]
    Ca {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A certificate could not be made.
    #[error("issuing a certificate for {}: {}; remedy: {}", file.display(), whole(cause), self.remedy())]
    Issue {
        /// Where it was to be kept.
        file: PathBuf,
        /// Why.
        cause: IssueError,
    },
    /// A server certificate is damaged. Nothing was changed.
    #[error("the Console's own server certificate is damaged: {}: {cause}; remedy: {}", file.display(), self.remedy())]
    Leaf {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The channel has no server certificate.
    #[error("{0} is not a server")]
    NotAServer(Channel),
    /// The system refuses to read or write.
    #[error("{action} {}: {cause}; remedy: {}", path.display(), self.remedy())]
    System {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

impl AuthorityError {
    /// What to do about it, in one sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Ca { file, .. } => {
                let folder = show(file.parent().unwrap_or(file));
                format!(
                    "restore {folder} from a backup; if there is none, delete it: a new CA is made, and every Defender needs a new install bundle"
                )
            }
            Self::Issue { .. } => "correct the names of the certificate".to_owned(),
            Self::Leaf { file, .. } => format!("delete {}: it is issued anew at the next start", show(file)),
            Self::NotAServer(_) => "ask for a server's channel".to_owned(),
            Self::System { path, .. } => {
                format!("make {} a place that the user of this program may read and write", show(path))
            }
        }
    }
}

impl Authority {
    /// Opens the CA in `dir`, or makes it if there is no such folder or it is empty. `dir` belongs to this process:
    /// the caller holds the data directory.
    ///
    /// # Errors
    /// [`AuthorityError::Ca`] when `dir` holds anything but an intact CA, [`AuthorityError::System`].
    pub fn open_or_create(dir: &Path, now: OffsetDateTime) -> Result<Self, AuthorityError> {
        let left_over = disk::unfinished(dir);
        disk::remove_if_there(&left_over).map_err(|source| system("removing", &left_over, source))?;
        if is_absent_or_empty(dir)? {
            Self::create(dir, now)?;
        }
        let authority = Self::open(dir)?;
        close_to_others(dir);
        Ok(authority)
    }

    /// Every CA that Defenders are to trust, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.ring().trusted_pem()
    }

    /// SHA-256 of the CA that signs, in hexadecimal.
    #[must_use]
    pub fn ca_sha256(&self) -> String {
        self.ring().signer().certificate.facts().sha256.clone()
    }

    /// When the CA that signs expires.
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        self.ring().signer().certificate.facts().not_after
    }

    /// The certificate of one of the Console's listeners for `names`. The one on disk is kept to the byte; it is
    /// issued anew when there is none, when the names are others, or when less than a third of its life is left.
    ///
    /// # Errors
    /// [`AuthorityError`]; a damaged one on disk is not replaced.
    pub fn server_material(
        &self,
        channel: Channel,
        names: &[String],
        now: OffsetDateTime,
    ) -> Result<Material, AuthorityError> {
        let path = self.dir.join(server_file(channel)?);
        let ring = self.ring();
        match disk::read_file(&path) {
            FileState::Content { bytes, .. } => {
                let material = self.read_server(&ring, channel, &path, bytes)?;
                let is_current = material.is_issued_by(&ring.issuer_for(channel).certificate)
                    && material.has_intermediates(&ring.intermediates(channel));
                if is_current && has_names(&material, names) && is_fresh(&material, now) {
                    return Ok(material);
                }
            }
            FileState::Missing => {}
            FileState::Unusable(fault) => {
                return Err(AuthorityError::Leaf { file: path, cause: fault.to_string() });
            }
        }
        self.issue_server(&ring, channel, &path, names, now)
    }

    /// A certificate with its key, for an install bundle. It is good for all of `life`, also beyond the end of the CA:
    /// we alone verify it, and know every CA that ever signed here.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue_client(
        &self,
        holder: Holder<'_>,
        common_name: &str,
        life: Duration,
        now: OffsetDateTime,
    ) -> Result<ClientBundle, IssueError> {
        let life = time::Duration::try_from(life).unwrap_or(time::Duration::MAX);
        generate::client(&self.ring().signer().issuer, common_name, holder, Dates::starting(now, life))
    }

    /// A certificate for the key of a request (PEM), which stays with whoever made it. Returns the chain as PEM.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn sign_request(
        &self,
        csr_pem: &str,
        identity: &str,
        life: Duration,
        now: OffsetDateTime,
    ) -> Result<String, IssueError> {
        let ring = self.ring();
        generate::client_for_request(&ring.signer().issuer, csr_pem, identity, ring.dates(now, life))
    }

    fn create(dir: &Path, now: OffsetDateTime) -> Result<(), AuthorityError> {
        let issue = |cause| AuthorityError::Issue { file: dir.join(CA_FILE), cause };
        let Generated { cert_pem, key_pem, .. } =
            generate::authority(Dates::for_wrong_clocks(now, CA_LIFE)).map_err(issue)?;
        let new = disk::unfinished(dir);
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        disk::make_folder(&new)
            .and_then(|()| disk::write_new(&new.join(CA_KEY_FILE), key_pem.as_bytes()))
            .and_then(|()| disk::write_new(&new.join(CA_FILE), cert_pem.as_bytes()))
            .and_then(|()| disk::sync_folder(&new))
            .and_then(|()| fs::rename(&new, dir))
            .and_then(|()| disk::sync_folder(parent))
            .map_err(|source| system("creating", dir, source))
    }

    fn open(dir: &Path) -> Result<Self, AuthorityError> {
        for name in [CONSOLE_FILE, DEFENDER_FILE] {
            let left_over = disk::unfinished(&dir.join(name));
            disk::remove_if_there(&left_over).map_err(|source| system("removing", &left_over, source))?;
        }
        let ring = RwLock::new(Ring::open(dir)?);
        Ok(Self { dir: dir.to_owned(), ring })
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaf and key from one file.
    fn read_server(
        &self,
        ring: &Ring,
        channel: Channel,
        path: &Path,
        bytes: Zeroizing<Vec<u8>>,
    ) -> Result<Material, AuthorityError> {
        let damaged = |cause: String| AuthorityError::Leaf { file: path.to_owned(), cause };
        let material = self.parse_server(ring, channel, path, bytes).map_err(damaged)?;
        if !ring.known().any(|ca| material.is_issued_by(ca)) {
            return Err(damaged(format!("it was not issued by {}", show(&self.dir.join(CA_FILE)))));
        }
        Ok(material)
    }

    fn parse_server(
        &self,
        ring: &Ring,
        channel: Channel,
        path: &Path,
        bytes: Zeroizing<Vec<u8>>,
    ) -> Result<Material, String> {
        let paths = Paths { ca: self.dir.join(CA_FILE), cert: path.to_owned(), key: path.to_owned() };
        let ca = channel.files().ca.map(|_| ring.trusted_pem().into_bytes());
        let raw = RawMaterial { channel, paths, ca, cert: bytes.to_vec(), key: bytes, key_mode: None };
        let material = Material::parse(raw).map_err(crate::CertError::into_cause)?;
        Ok(match channel {
            Channel::ConsoleDefender => material.with_returners(ring.known().cloned().collect()),
            Channel::ConsoleHttps | Channel::Defender => material,
        })
    }

    fn issue_server(
        &self,
        ring: &Ring,
        channel: Channel,
        path: &Path,
        names: &[String],
        now: OffsetDateTime,
    ) -> Result<Material, AuthorityError> {
        let issue = |cause| AuthorityError::Issue { file: path.to_owned(), cause };
        let issuer = ring.issuer_for(channel);
        let dates = ring.server_dates(now, SERVER_LIFE);
        let Generated { cert_pem, key_pem, .. } =
            generate::server(&issuer.issuer, names, dates).map_err(issue)?;
        let intermediates = ring.intermediates(channel);
        let rest = pem::encode_certificates(intermediates.iter().map(|one| one.der().as_ref()));
        // With room for all of it, because a text that grows leaves copies of the key behind.
        let room = cert_pem.len() + rest.len() + key_pem.len();
        let mut text = Zeroizing::new(String::with_capacity(room));
        text.push_str(&cert_pem);
        text.push_str(&rest);
        text.push_str(&key_pem);
        disk::replace(path, text.as_bytes()).map_err(|source| system("writing", path, source))?;
        let bytes = Zeroizing::new(text.as_bytes().to_vec());
        self.read_server(ring, channel, path, bytes)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Copies and volumes bring modes of their own.
fn close_to_others(dir: &Path) {
    match disk::close_to_others(dir) {
        Ok(0) => {}
        Ok(count) => tracing::info!(
            path = dir.display().to_string(),
            count,
            "The Console's own certificates were open to other users, they are closed again"
        ),
        Err(error) => tracing::warn!(
            path = dir.display().to_string(),
            error = error.to_string(),
            remedy = "make the directory 0700 and its files 0600, owned by the Console's user",
            "The Console's own certificates are open to other users"
        ),
    }
}

fn is_absent_or_empty(dir: &Path) -> Result<bool, AuthorityError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(source) => Err(system("reading", dir, source)),
    }
}

fn read_part(path: &Path) -> Result<Zeroizing<Vec<u8>>, AuthorityError> {
    let cause = match disk::read_file(path) {
        FileState::Content { bytes, .. } => return Ok(bytes),
        FileState::Missing => "it is missing, although its folder is not empty".to_owned(),
        FileState::Unusable(fault) => fault.to_string(),
    };
    Err(AuthorityError::Ca { file: path.to_owned(), cause })
}

fn server_file(channel: Channel) -> Result<&'static str, AuthorityError> {
    match channel {
        Channel::ConsoleDefender => Ok(DEFENDER_FILE),
        Channel::ConsoleHttps => Ok(CONSOLE_FILE),
        Channel::Defender => Err(AuthorityError::NotAServer(channel)),
    }
}

/// Whether the leaf has exactly these names, in any order.
fn has_names(material: &Material, names: &[String]) -> bool {
    let sorted = |names: &[String]| {
        // An address may be written in several ways.
        let one = |name: &String| {
            name.parse::<std::net::IpAddr>().map_or_else(|_| name.clone(), |ip| ip.to_string())
        };
        let mut names = names.iter().map(one).collect::<Vec<_>>();
        names.sort();
        names.dedup();
        names
    };
    sorted(&material.leaf().sans) == sorted(names)
}

/// Whether the leaf is valid and has a third of its life left.
fn is_fresh(material: &Material, now: OffsetDateTime) -> bool {
    let facts = material.leaf();
    facts.not_before <= now && facts.not_after - now >= (facts.not_after - facts.not_before) / 3
}

/// An error with the one behind it.
fn whole(error: &IssueError) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn system(action: &'static str, path: &Path, cause: io::Error) -> AuthorityError {
    AuthorityError::System { action, path: path.to_owned(), cause }
}

const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca-key.pem";
const CONSOLE_FILE: &str = "console.pem";
const DEFENDER_FILE: &str = "defender-server.pem";

/// Three years, behind the days that it is dated back.
const CA_LIFE: time::Duration = time::Duration::days(3 * 365 + 3);

/// As long as browsers accept.
const SERVER_LIFE: time::Duration = time::Duration::days(398);

#[cfg(test)]
mod tests;
