//! Files: reading a channel's set whole, and writing our own so that no crash leaves half of one. Nothing here
//! waits on a file: a FIFO or a device is found out before it is read.

use std::fs::{self, DirBuilder, File, FileType, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use crate::channel::Channel;
use crate::error::CertError;
use crate::fault::Fault;
use crate::fingerprint::{Fingerprint, Hasher, Part};
use crate::raw::{Found, Paths, RawMaterial};
use crate::storage;

/// One file as it was found.
pub(crate) enum FileState {
    /// Read whole. Wiped when dropped: it may be a key.
    Content { bytes: Zeroizing<Vec<u8>>, mode: u32 },
    /// Absent, or a link to nothing.
    Missing,
    /// There, but not readable.
    Unusable(Fault),
}

/// All files of a channel as they were found in one go.
pub(crate) struct Look {
    channel: Channel,
    paths: Paths,
    /// In the order of [`crate::Files::names`].
    files: Vec<(&'static str, FileState)>,
    is_closed: bool,
}

impl Look {
    /// Reads a channel's files, each of them once.
    pub(crate) fn take(channel: Channel, dir: &Path) -> Self {
        let files = channel.files().names().map(|name| (name, read_file(&dir.join(name)))).collect();
        Self { channel, paths: Paths::new(channel, dir), files, is_closed: is_closed(dir) }
    }

    /// Whether the directory could not be entered, so that nothing is known of the files.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The identity of everything that was found; that of [`RawMaterial::fingerprint`] for a complete set.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut hasher = Hasher::new();
        for (_, state) in &self.files {
            match state {
                FileState::Content { bytes, .. } => hasher.add(Part::Content(bytes)),
                FileState::Missing => hasher.add(Part::Missing),
                FileState::Unusable(fault) => hasher.add(Part::Unusable(&fault.to_string())),
            }
        }
        hasher.finish()
    }

    /// The names of the files that are absent.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let missing = self.files.iter().filter(|(_, state)| matches!(state, FileState::Missing));
        missing.map(|(name, _)| *name).collect()
    }

    /// Every file that is there but cannot be read.
    pub(crate) fn unusable(&self) -> Vec<Fault> {
        let faults = self.files.iter().filter_map(|(_, state)| match state {
            FileState::Unusable(fault) => Some(fault.clone()),
            _ => None,
        });
        faults.collect()
    }

    /// The set, if it is complete.
    ///
    /// # Errors
    /// When all files are there and one cannot be read.
    pub(crate) fn into_found(self) -> Result<Found, CertError> {
        let missing = self.missing();
        if !missing.is_empty() {
            return Ok(Found::Missing(missing));
        }
        let Self { channel, paths, files, .. } = self;
        let (mut ca, mut cert, mut key, mut key_mode) = (None, Vec::new(), Zeroizing::default(), None);
        for (name, state) in files {
            match state {
                FileState::Content { mut bytes, mode } => {
                    if name == channel.files().key {
                        (key, key_mode) = (bytes, Some(mode));
                    } else if name == channel.files().cert {
                        cert = std::mem::take(&mut *bytes);
                    } else {
                        ca = Some(std::mem::take(&mut *bytes));
                    }
                }
                FileState::Missing => {}
                FileState::Unusable(fault) if Some(name) == channel.files().ca => {
                    return Err(CertError::Ca { file: paths.ca, fault });
                }
                FileState::Unusable(fault) => {
                    return Err(CertError::KeyPair { cert: paths.cert, key: paths.key, fault });
                }
            }
        }
        Ok(Found::Complete(RawMaterial { channel, paths, ca, cert, key, key_mode }))
    }
}

/// Whether it cannot be known what is in a directory, because it or one above it may not be entered, or links lead in a
/// circle.
pub(crate) fn is_closed(dir: &Path) -> bool {
    why_closed(dir).is_some()
}

/// Why nothing can be known of what is in a directory.
pub(crate) fn why_closed(dir: &Path) -> Option<String> {
    let error = fs::metadata(dir.join(".")).err()?;
    let is_loop = error.raw_os_error().map(Errno::from_raw) == Some(Errno::ELOOP);
    (is_loop || error.kind() == ErrorKind::PermissionDenied).then(|| reason(&error))
}

/// Reads one file, without ever waiting for a writer on the other end of a FIFO.
pub(crate) fn read_file(path: &Path) -> FileState {
    try_read(path).unwrap_or_else(|error| match error {
        Trouble::Fault(fault) => FileState::Unusable(fault),
        // A link whose target has no folder, or has a file for a folder, leads to nothing as well.
        Trouble::Io(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            FileState::Missing
        }
        Trouble::Io(error) => {
            let (path, reason) = (path.to_owned(), reason(&error));
            FileState::Unusable(match storage::is_broken(&error) {
                true => Fault::Storage { path, reason },
                false => Fault::Open { path, reason },
            })
        }
    })
}

enum Trouble {
    Fault(Fault),
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn try_read(path: &Path) -> Result<FileState, Trouble> {
    // Looked at before it is opened: opening alone sets off some devices.
    regular(path, &fs::metadata(path)?)?;
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    regular(path, &metadata)?;
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX).min(MAX_FILE_BYTES);
    // With room for all of it at once, because a buffer that grows leaves copies of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(1)));
    let one_over = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    file.take(one_over).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(Trouble::Fault(Fault::TooBig { path: path.to_owned() }));
    }
    Ok(FileState::Content { bytes, mode: metadata.permissions().mode() & 0o7777 })
}

fn regular(path: &Path, metadata: &Metadata) -> Result<(), Trouble> {
    let file_type = metadata.file_type();
    if !file_type.is_file() {
        return Err(Trouble::Fault(Fault::Irregular { path: path.to_owned(), kind: kind(file_type) }));
    }
    let max = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
    if metadata.len() > max {
        return Err(Trouble::Fault(Fault::TooBig { path: path.to_owned() }));
    }
    Ok(())
}

fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_fifo() {
        "a named pipe (FIFO)"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// An error of the system in the words of every other program on it.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => {
            let text = error.to_string().to_lowercase();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
    }
}

/// Makes a folder for our own material, mode 0700, with the folders above it.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Takes away what others than the owner may do in a folder and with its files; how many it took away from.
pub(crate) fn close_to_others(folder: &Path) -> io::Result<usize> {
    let files = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let all = std::iter::once(Ok(folder.to_owned())).chain(files);
    all.map(|path| {
        let path = path?;
        // A link is as open as what it leads to.
        let mode = fs::metadata(&path)?.permissions().mode();
        if mode & 0o077 == 0 {
            return Ok(0);
        }
        fs::set_permissions(&path, Permissions::from_mode(mode & 0o700)).map(|()| 1)
    })
    .sum()
}

/// Writes a new file, mode 0600, down to the disk.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Puts a file in place whole, mode 0600: readers and a crash see the old one or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let new = unfinished(path);
    remove_if_there(&new)?;
    write_new(&new, content)?;
    fs::rename(&new, path)?;
    sync_folder(folder)
}

/// The name that `path` is written under before it is complete; it belongs to whoever holds the data directory.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    path.with_file_name(name)
}

/// Makes the names in a folder outlast a crash.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file or a whole folder, if there is one.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// More than any chain or key; contract section 2.
const MAX_FILE_BYTES: usize = 1 << 20;

const UNFINISHED: &str = ".unfinished";

#[cfg(test)]
mod tests;
