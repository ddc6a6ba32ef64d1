//! The texts of a set, before anybody looks into them: from a directory or from memory. What they must be is in
//! `material.rs`, how files are read in `disk.rs`.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::channel::Channel;
use crate::disk::Look;
use crate::doubt::{Doubt, Suspicion};
use crate::error::CertError;
use crate::fingerprint::{Fingerprint, Hasher, Part};
use crate::pem;

/// The texts of a set's files, not looked into yet.
pub struct RawMaterial {
    pub(crate) channel: Channel,
    pub(crate) paths: Paths,
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) cert: Vec<u8>,
    pub(crate) key: Zeroizing<Vec<u8>>,
    /// The key file's permission bits; `None` for a key that is in no file.
    pub(crate) key_mode: Option<u32>,
}

/// Where the parts of a set come from, for messages.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// What a directory holds for a channel.
#[derive(Debug)]
pub enum Found {
    /// All files.
    Complete(RawMaterial),
    /// These are absent.
    Missing(Vec<&'static str>),
}

impl RawMaterial {
    /// Reads a channel's files, each of them once and whole.
    ///
    /// # Errors
    /// When all files are there and one cannot be read.
    pub fn read(channel: Channel, dir: &Path) -> Result<Found, CertError> {
        Look::take(channel, dir).into_found()
    }

    /// A set from memory. `dir`, with the channel's file names, is what messages call it.
    #[must_use]
    pub fn from_files(
        channel: Channel,
        dir: &Path,
        ca: Option<Vec<u8>>,
        cert: Vec<u8>,
        key: Zeroizing<Vec<u8>>,
    ) -> Self {
        Self { channel, paths: Paths::new(channel, dir), ca, cert, key, key_mode: None }
    }

    /// The identity of the content; equal for equal files.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = Hasher::new();
        if self.channel.files().ca.is_some() {
            hasher.add(self.ca.as_deref().map_or(Part::Missing, Part::Content));
        }
        hasher.add(Part::Content(&self.cert));
        hasher.add(Part::Content(&self.key));
        hasher.finish()
    }

    /// Doubts about the files themselves.
    pub(crate) fn doubts(&self) -> Vec<Doubt> {
        let files = [
            (&self.paths.ca, self.ca.as_deref().unwrap_or_default()),
            (&self.paths.cert, self.cert.as_slice()),
            (&self.paths.key, self.key.as_slice()),
        ];
        let marked = files.into_iter().filter(|(_, bytes)| pem::has_byte_order_mark(bytes));
        let mut doubts = marked
            .map(|(file, _)| Doubt { file: file.clone(), suspicion: Suspicion::ByteOrderMark })
            .collect::<Vec<_>>();
        let holds_key = |bytes: &[u8]| {
            pem::decode(bytes).is_ok_and(|blocks| blocks.iter().any(pem::Block::is_private_key))
        };
        if self.ca.as_deref().is_some_and(holds_key) {
            doubts.push(Doubt { file: self.paths.ca.clone(), suspicion: Suspicion::KeyInCaFile });
        }
        if self.paths.cert != self.paths.key && holds_key(&self.cert) {
            doubts.push(Doubt { file: self.paths.cert.clone(), suspicion: Suspicion::KeyInCertificateFile });
        }
        if let Some(mode) = self.key_mode.filter(|mode| mode & 0o004 != 0) {
            doubts.push(Doubt { file: self.paths.key.clone(), suspicion: Suspicion::KeyReadable { mode } });
        }
        doubts
    }
}

impl Paths {
    /// The contract's names in `dir`.
    pub(crate) fn new(channel: Channel, dir: &Path) -> Self {
        let files = channel.files();
        Self {
            ca: dir.join(files.ca.unwrap_or_default()),
            cert: dir.join(files.cert),
            key: dir.join(files.key),
        }
    }
}

impl fmt::Debug for RawMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawMaterial")
            .field("channel", &self.channel)
            .field("paths", &self.paths)
            .field("key", &"***")
            .finish_non_exhaustive()
    }
}
