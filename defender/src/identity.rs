//! Who this Defender is: a UUID that stays in the data directory for life.
//!
//! A damaged file is an error, never a new identity: the Console would show a second host.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lifecycle::atomic::{self, Durability};
use thiserror::Error;
use uuid::Uuid;

/// Why there is no identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The file holds something else.
    #[error(
        "identity file {0} is damaged: restore it from a backup, or delete it to join the Console as a new Defender"
    )]
    Damaged(PathBuf),
    /// It cannot be read.
    #[error("reading identity file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It cannot be written.
    #[error("writing identity file {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Reads the identity of a data directory, or makes one where there is none.
///
/// # Errors
/// [`IdentityError`].
pub fn open(data_dir: &Path) -> Result<Uuid, IdentityError> {
    let path = data_dir.join(FILE);
    match read(&path) {
        Ok(text) => match text.trim_ascii().parse::<Uuid>() {
            Ok(id) if !id.is_nil() => Ok(id),
            _ => Err(IdentityError::Damaged(path)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(&path).is_err() => {
            let id = Uuid::new_v4();
            atomic::write(&path, format!("{id}\n").as_bytes(), Durability::PowerLoss)
                .map_err(|source| IdentityError::Write { path, source })?;
            tracing::info!(defender = %id, "Made a new identity");
            Ok(id)
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(IdentityError::Damaged(path)),
        Err(source) => Err(IdentityError::Read { path, source }),
    }
}

/// At most a few bytes more than an identity has: what is longer is damaged all the same.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

const FILE: &str = "identity";
const MAX_BYTES: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_the_same_from_start_to_start() {
        let dir = tempfile::tempdir().expect("directory");
        let first = open(dir.path()).expect("made");
        assert_eq!(open(dir.path()).expect("read"), first);
    }

    #[test]
    fn a_damaged_file_is_an_error_with_a_remedy_and_stays_as_it_is() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join(FILE);
        for content in [&b""[..], b"\n", b"not a uuid", &[0xff; 20], &[0; 36], &[b'a'; 4000]] {
            fs::write(&path, content).expect("written");
            let error = open(dir.path()).expect_err("damaged");
            assert!(matches!(error, IdentityError::Damaged(_)), "{error:?}");
            assert!(error.to_string().contains("delete it to join the Console as a new Defender"));
            assert_eq!(fs::read(&path).expect("still there"), content);
        }
    }

    #[test]
    fn a_link_to_nowhere_and_a_directory_are_errors() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join(FILE);
        std::os::unix::fs::symlink("/nowhere", &path).expect("linked");
        assert!(matches!(open(dir.path()), Err(IdentityError::Read { .. })));
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        assert!(matches!(open(dir.path()), Err(IdentityError::Read { .. })));
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error() {
        let dir = tempfile::tempdir().expect("directory");
        assert!(matches!(open(&dir.path().join("missing")), Err(IdentityError::Write { .. })));
    }
}
