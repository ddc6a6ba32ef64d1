//! The sealed file: a readable header, then a stream in chunks, each encrypted and bound to its place.
//!
//! ```text
//! GARRISON BACKUP\n          what kind of file this is
//! u32, big-endian            length of the header
//! header                     JSON: format, version, schema step, time, kind, Argon2id parameters, salt, check
//! SHA-256                    of everything above, so that damage is told apart from a wrong passphrase
//! chunks                     AES-256-GCM of 64 KiB each (the last one may be shorter), with a tag of 16 bytes
//! ```
//!
//! Argon2id makes a secret of passphrase and salt, HKDF-SHA256 makes of it the key, seven bytes of nonce, and the
//! check by which a wrong passphrase is known. The nonce of a chunk is those seven bytes, its number (u32) and
//! whether it is the last one (0 or 1); what is authenticated beside it is the digest above. So no chunk can be
//! changed, moved, repeated or left out, nothing can follow the last one, and no other header fits.

use std::io::{self, Read, Write};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hkdf};
use certs::hex;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::Passphrase;

/// What a header tells without the passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// When the backup was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// What it was made by.
    pub kind: Kind,
    /// Version of the Console that made it.
    pub version: String,
    /// The newest schema step of the database in it.
    pub schema: i64,
}

/// What a backup was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = BackupKind)]
pub enum Kind {
    /// `console backup`.
    Command,
    /// `POST backups`.
    Requested,
    /// The schedule.
    Scheduled,
}

/// Parameters of Argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Why a file cannot be opened.
#[derive(Debug, Error)]
pub enum SealError {
    /// Its end is missing.
    #[error("it was cut short")]
    CutShort,
    /// Not as it was written.
    #[error("it is damaged or was cut short: it is not as it was written")]
    Damaged,
    /// Something else.
    #[error("it is no backup of a Console")]
    Foreign,
    /// It cannot be read.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
    /// A form that this version does not know.
    #[error("it was made by a newer version of the Console, {0}")]
    Newer(String),
    /// Another passphrase.
    #[error("the passphrase is wrong")]
    Passphrase,
}

/// Encrypts what is written to it; [`Sealer::finish`] makes it complete.
pub(super) struct Sealer<W> {
    inner: W,
    cipher: Cipher,
    chunk: Zeroizing<Vec<u8>>,
}

/// A file whose header was read.
pub(super) struct Sealed<R> {
    inner: R,
    header: Header,
    digest: Vec<u8>,
}

/// Decrypts; everything it gives is as it was written, and it ends only where the whole ends.
pub(super) struct Opener<R> {
    inner: R,
    cipher: Cipher,
    /// Decrypted, and how much of it was given.
    chunk: Zeroizing<Vec<u8>>,
    given: usize,
    /// The byte after the chunk, which shows that it is not the last.
    ahead: Option<u8>,
    has_ended: bool,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    #[serde(flatten)]
    about: About,
    argon2id: Cost,
    salt: String,
    check: String,
}

struct Cipher {
    key: LessSafeKey,
    prefix: [u8; 7],
    header: Vec<u8>,
    number: u32,
}

impl Cost {
    /// RFC 9106's second recommendation with one lane: 64 MiB and a quarter of a second.
    pub(super) const USUAL: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
    #[cfg(test)]
    pub(super) const TEST: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };

    /// A foreign header must not make the Console take all memory or all day.
    fn is_bearable(self) -> bool {
        (8..=1024 * 1024).contains(&self.memory_kib)
            && (1..=16).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }
}

impl<W: Write> Sealer<W> {
    /// Writes the header. Takes as long as `cost` says.
    pub(super) fn new(mut inner: W, about: About, passphrase: &Passphrase, cost: Cost) -> io::Result<Self> {
        let salt = lifecycle::random::bytes::<16>();
        let secrets = derive(passphrase, &salt, cost).map_err(io::Error::other)?;
        let header = Header {
            format: FORMAT,
            about,
            argon2id: cost,
            salt: hex::encode(salt),
            check: hex::encode(secrets.get(CHECK).unwrap_or_default()),
        };
        let json = serde_json::to_vec(&header)?;
        let length = u32::try_from(json.len()).map_err(io::Error::other)?;
        let mut bytes = [MAGIC, &length.to_be_bytes(), &json].concat();
        let digest = digest::digest(&digest::SHA256, &bytes).as_ref().to_vec();
        bytes.extend_from_slice(&digest);
        inner.write_all(&bytes)?;
        let cipher = Cipher::new(&secrets, digest).map_err(io::Error::other)?;
        Ok(Self { inner, cipher, chunk: Zeroizing::new(Vec::with_capacity(CHUNK + MAX_TAG_LEN)) })
    }

    /// Writes the last chunk.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.put(Last::Yes)?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn put(&mut self, last: Last) -> io::Result<()> {
        self.cipher.seal(&mut self.chunk, last)?;
        self.inner.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits for the next byte: it may be the last one.
        if self.chunk.len() == CHUNK && !bytes.is_empty() {
            self.put(Last::No)?;
        }
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Read> Sealed<R> {
    /// Reads the header.
    pub(super) fn read(mut inner: R) -> Result<Self, SealError> {
        let mut start = Vec::new();
        take(&mut inner, MAGIC.len() + 4, &mut start)?;
        let magic = start.get(..MAGIC.len().min(start.len())).unwrap_or_default();
        if !MAGIC.starts_with(magic) {
            return Err(SealError::Foreign);
        }
        let length: [u8; 4] =
            start.get(MAGIC.len()..).and_then(|b| b.try_into().ok()).ok_or(SealError::CutShort)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MOST_HEADER {
            return Err(SealError::Damaged);
        }
        take(&mut inner, length, &mut start)?;
        let (mut digest, expected) = (Vec::new(), digest::digest(&digest::SHA256, &start));
        take(&mut inner, expected.as_ref().len(), &mut digest)?;
        if digest.len() < expected.as_ref().len() {
            return Err(SealError::CutShort);
        }
        if digest != expected.as_ref() {
            return Err(SealError::Damaged);
        }
        let json = start.get(MAGIC.len() + 4..).unwrap_or_default();
        let form: Form = serde_json::from_slice(json).map_err(|_| SealError::Damaged)?;
        if form.format > FORMAT {
            return Err(SealError::Newer(form.version));
        }
        let header: Header = serde_json::from_slice(json).map_err(|_| SealError::Damaged)?;
        Ok(Self { inner, header, digest })
    }

    pub(super) fn about(&self) -> &About {
        &self.header.about
    }

    /// Takes as long as its cost says.
    pub(super) fn open(self, passphrase: &Passphrase) -> Result<Opener<R>, SealError> {
        let Self { inner, header, digest } = self;
        let salt = hex::decode(&header.salt).ok_or(SealError::Damaged)?;
        if !header.argon2id.is_bearable() {
            return Err(SealError::Damaged);
        }
        let secrets = derive(passphrase, &salt, header.argon2id).map_err(|_| SealError::Damaged)?;
        let check = hex::decode(&header.check).unwrap_or_default();
        if !bool::from(subtle::ConstantTimeEq::ct_eq(
            secrets.get(CHECK).unwrap_or_default(),
            check.as_slice(),
        )) {
            return Err(SealError::Passphrase);
        }
        let cipher = Cipher::new(&secrets, digest).map_err(|_| SealError::Damaged)?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK + MAX_TAG_LEN));
        Ok(Opener { inner, cipher, chunk, given: 0, ahead: None, has_ended: false })
    }
}

impl<R: Read> Opener<R> {
    fn next(&mut self) -> Result<(), SealError> {
        self.chunk.clear();
        self.given = 0;
        self.chunk.extend(self.ahead.take());
        let wanted = CHUNK + MAX_TAG_LEN + 1 - self.chunk.len();
        take(&mut self.inner, wanted, &mut self.chunk)?;
        let last = if self.chunk.len() > CHUNK + MAX_TAG_LEN {
            self.ahead = self.chunk.pop();
            Last::No
        } else {
            Last::Yes
        };
        if self.chunk.is_empty() {
            return Err(SealError::CutShort);
        }
        let copy = (last == Last::Yes).then(|| self.chunk.clone());
        if self.cipher.open(&mut self.chunk, last).is_ok() {
            self.has_ended = last == Last::Yes;
            return Ok(());
        }
        // The file ends with a chunk that was not the last one.
        let was_cut = copy.is_some_and(|mut copy| self.cipher.open(&mut copy, Last::No).is_ok());
        Err(if was_cut { SealError::CutShort } else { SealError::Damaged })
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given == self.chunk.len() && !self.has_ended {
            self.next().map_err(|error| match error {
                SealError::Io(error) => error,
                error => io::Error::other(error),
            })?;
        }
        let mut left = self.chunk.get(self.given..).unwrap_or_default();
        let read = left.read(out)?;
        self.given += read;
        Ok(read)
    }
}

impl Cipher {
    fn new(secrets: &[u8], header: Vec<u8>) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, secrets.get(KEY).unwrap_or_default())?);
        let mut prefix = [0; 7];
        prefix.copy_from_slice(secrets.get(PREFIX).ok_or(aws_lc_rs::error::Unspecified)?);
        Ok(Self { key, prefix, header, number: 0 })
    }

    fn seal(&mut self, chunk: &mut Vec<u8>, last: Last) -> io::Result<()> {
        let nonce = self.nonce(last);
        self.number = self.number.checked_add(1).ok_or_else(|| io::Error::other("more than 256 TiB"))?;
        let sealed = self.key.seal_in_place_append_tag(nonce, Aad::from(&self.header), chunk);
        sealed.map_err(io::Error::other)
    }

    /// Leaves the number where it is when the chunk does not fit.
    fn open(&mut self, chunk: &mut Vec<u8>, last: Last) -> Result<(), aws_lc_rs::error::Unspecified> {
        let nonce = self.nonce(last);
        let length = self.key.open_in_place(nonce, Aad::from(&self.header), chunk)?.len();
        chunk.truncate(length);
        self.number = self.number.checked_add(1).ok_or(aws_lc_rs::error::Unspecified)?;
        Ok(())
    }

    fn nonce(&self, last: Last) -> Nonce {
        let [a, b, c, d, e, f, g] = self.prefix;
        let [h, i, j, k] = self.number.to_be_bytes();
        Nonce::assume_unique_for_key([a, b, c, d, e, f, g, h, i, j, k, u8::from(last == Last::Yes)])
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    No,
    Yes,
}

/// What is read of a header of any form.
#[derive(Deserialize)]
struct Form {
    format: u32,
    #[serde(default)]
    version: String,
}

fn derive(passphrase: &Passphrase, salt: &[u8], cost: Cost) -> Result<Zeroizing<Vec<u8>>, argon2::Error> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut secret = Zeroizing::new([0; 32]);
    argon2.hash_password_into(passphrase.reveal().as_bytes(), salt, &mut *secret)?;
    let mut all = Zeroizing::new(vec![0; SECRETS]);
    let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&*secret);
    let expanded = pseudorandom.expand(&[b"garrison backup"], Length).and_then(|out| out.fill(&mut all));
    // HKDF fails only for lengths over 8160 bytes.
    expanded.map_err(|_| argon2::Error::OutputTooLong)?;
    Ok(all)
}

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        SECRETS
    }
}

/// Appends what comes, at most `length` bytes.
fn take(inner: &mut impl Read, length: usize, into: &mut Vec<u8>) -> Result<(), SealError> {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    inner.take(length).read_to_end(into).map(|_| ()).map_err(SealError::Io)
}

const MAGIC: &[u8] = b"GARRISON BACKUP\n";
const FORMAT: u32 = 1;
const MOST_HEADER: usize = 4096;
const CHUNK: usize = 64 * 1024;

const KEY: std::ops::Range<usize> = 0..32;
const PREFIX: std::ops::Range<usize> = 32..39;
const CHECK: std::ops::Range<usize> = 39..55;
const SECRETS: usize = 55;

#[cfg(test)]
mod tests;
