//! Content -> file: whole or not at all. What is there stays until the new content is complete.

use std::fmt;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tempfile::NamedTempFile;
use thiserror::Error;

/// Who may read the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// As the umask says.
    Anyone,
    /// Nobody but its owner: it holds a key.
    Owner,
}

/// What people do with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// `docker-compose up`.
    Compose,
    /// `helm install` of a release with this name into this Namespace.
    Helm(&'a str, &'a str),
    /// `kubectl apply`.
    Kubectl,
    /// `oc apply`.
    Oc,
}

impl Next<'_> {
    fn command(self, file: &str) -> String {
        match self {
            Self::Compose => format!("docker-compose -f {file} up -d"),
            Self::Helm(release, namespace) => {
                let path = if file.starts_with('/') { file.to_owned() } else { format!("./{file}") };
                format!("helm install {release} {path} --namespace {namespace} --create-namespace")
            }
            Self::Kubectl => format!("kubectl apply -f {file}"),
            Self::Oc => format!("oc apply -f {file}"),
        }
    }
}

/// Writes the file, and says what to do with it or why there is none. The exit status of the program.
#[must_use]
pub fn finish(to: &Path, content: &[u8], readers: Readers, next: Next<'_>) -> ExitCode {
    if let Err(error) = write(to, content, readers) {
        return fail(&error);
    }
    if to != Path::new("-") {
        let file = to.display().to_string();
        eprintln!("Wrote {file}. Next: {}", next.command(&file));
    }
    ExitCode::SUCCESS
}

/// Says why there is no file. The exit status of the program.
#[must_use]
pub fn fail(error: &OutputError) -> ExitCode {
    eprintln!("error: {error}: {}; {}", error.source, error.remedy());
    ExitCode::FAILURE
}

/// Says what is wrong with the flags of `program PLATFORM`. The exit status of the program.
#[must_use]
pub fn refuse(program: &str, platform: &str, faults: &impl fmt::Display) -> ExitCode {
    eprint!("{faults}\nFor more information, try '{program} {platform} --help'.\n");
    ExitCode::from(2)
}

/// Why nothing was written.
#[derive(Debug, Error)]
#[error("writing {path}")]
pub struct OutputError {
    path: String,
    #[source]
    source: io::Error,
}

impl OutputError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self.source.kind() {
            io::ErrorKind::NotFound => {
                "make its directory first, or name another file with --output".to_owned()
            }
            io::ErrorKind::IsADirectory => "name a file in it with --output".to_owned(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "name a file in a directory that you may write to with --output, or - for standard output"
                    .to_owned()
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "make room, then try again".to_owned()
            }
            _ => "name another file with --output, or - for standard output".to_owned(),
        }
    }
}

/// Whether the file `to` could be written: before anybody is asked for what stands in it.
///
/// # Errors
/// What the system says.
pub fn check(to: &Path) -> Result<(), OutputError> {
    let fault = |source| OutputError { path: shown(to), source };
    match fs::metadata(to) {
        Ok(there) if there.is_dir() => Err(fault(io::ErrorKind::IsADirectory.into())),
        // To open a pipe would wait for its reader.
        Ok(there) if !there.is_file() => Ok(()),
        Ok(_) => {
            fs::canonicalize(to).and_then(|file| unfinished(&file, Readers::Owner)).map(drop).map_err(fault)
        }
        Err(_) if to == Path::new("-") => Ok(()),
        Err(_) => unfinished(to, Readers::Owner).map(drop).map_err(fault),
    }
}

/// Writes `content` to the file `to`, or to standard output when that is `-`.
///
/// # Errors
/// What the system says; then `to` is as it was.
pub fn write(to: &Path, content: &[u8], readers: Readers) -> Result<(), OutputError> {
    let fault = |source| OutputError { path: shown(to), source };
    if to == Path::new("-") {
        let mut out = io::stdout().lock();
        return out.write_all(content).and_then(|()| out.flush()).map_err(fault);
    }
    match fs::metadata(to) {
        Ok(there) if there.is_dir() => Err(fault(io::ErrorKind::IsADirectory.into())),
        // A pipe or a device is written to; to put a file in its place would take it away.
        Ok(there) if !there.is_file() => {
            let mut out = OpenOptions::new().write(true).open(to).map_err(fault)?;
            out.write_all(content).and_then(|()| out.flush()).map_err(fault)
        }
        // Behind a link stands the file that is meant.
        Ok(_) => fs::canonicalize(to).and_then(|file| replace(&file, content, readers)).map_err(fault),
        Err(_) => replace(to, content, readers).map_err(fault),
    }
}

fn replace(file: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let mut new = unfinished(file, readers)?;
    new.write_all(content)?;
    new.as_file().sync_all()?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}

/// An empty file beside `file`, gone when it is dropped.
fn unfinished(file: &Path, readers: Readers) -> io::Result<NamedTempFile> {
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    let mode = match readers {
        // The umask takes away what it takes away from other new files.
        Readers::Anyone => 0o666,
        Readers::Owner => 0o600,
    };
    let mode = Permissions::from_mode(mode);
    tempfile::Builder::new().prefix(".garrison-").permissions(mode).tempfile_in(dir)
}

fn shown(to: &Path) -> String {
    if to == Path::new("-") { "standard output".to_owned() } else { to.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(file: &Path) -> u32 {
        fs::metadata(file).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn a_file_with_a_key_is_closed_to_others_also_when_it_was_open() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("defender.yaml");
        fs::write(&file, "old").expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("ours");
        write(&file, b"new", Readers::Owner).expect("written");
        assert_eq!((fs::read_to_string(&file).expect("there").as_str(), mode(&file)), ("new", 0o600));
        assert_eq!(fs::read_dir(dir.path()).expect("ours").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind_and_says_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let error =
            write(&dir.path().join("none/x.yaml"), b"text", Readers::Anyone).expect_err("no directory");
        assert!(error.remedy().contains("make its directory"), "{error}");
        let error = write(dir.path(), b"text", Readers::Anyone).expect_err("a directory");
        assert!(error.remedy().contains("name a file in it"), "{error}");
        for (to, is_good) in [("none/x.yaml", false), ("", false), ("x.yaml", true)] {
            assert_eq!(check(&dir.path().join(to)).is_ok(), is_good, "told beforehand: {to:?}");
        }
        check(Path::new("-")).expect("standard output");
        assert_eq!(fs::read_dir(dir.path()).expect("ours").count(), 0);
    }

    #[test]
    fn links_and_devices_stay_what_they_are() {
        let dir = tempfile::tempdir().expect("a directory");
        let (link, file) = (dir.path().join("link"), dir.path().join("file"));
        fs::write(&file, "old").expect("written");
        std::os::unix::fs::symlink("file", &link).expect("a link");
        write(&link, b"new", Readers::Anyone).expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_to_string(&file).expect("there"), "new");
        write(Path::new("/dev/null"), b"text", Readers::Owner).expect("written");
        assert!(!fs::metadata("/dev/null").expect("there").is_file());
    }
}
