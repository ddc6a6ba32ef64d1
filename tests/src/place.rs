//! The three channels' files, and the manners in which they come into a watched directory.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::PemSet;

/// Who reads which files (contract section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The Defender's connection.
    Defender,
    /// The Console's HTTPS listener.
    Https,
    /// The Console's Defender listener.
    WebSocket,
}

impl Channel {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Defender, Self::Https, Self::WebSocket];

    /// Name of the certificate file.
    pub fn certificate_file(self) -> &'static str {
        match self {
            Self::Defender => "defender-client-cert.pem",
            Self::Https => "console-cert.pem",
            Self::WebSocket => "defender-server-cert.pem",
        }
    }

    /// Name of the key file.
    pub fn key_file(self) -> &'static str {
        match self {
            Self::Defender => "defender-client-key.pem",
            Self::Https => "console-key.pem",
            Self::WebSocket => "defender-server-key.pem",
        }
    }

    /// Name of the authority's file, where there is one.
    pub fn ca_file(self) -> Option<&'static str> {
        match self {
            Self::Https => None,
            Self::Defender | Self::WebSocket => Some("defender-ca.pem"),
        }
    }

    /// CHANNEL of the contract's log lines.
    pub fn log_name(self) -> &'static str {
        match self {
            Self::Defender => "defender client",
            Self::Https => "console https server",
            Self::WebSocket => "console defender server",
        }
    }

    /// The contract's line after a rotation.
    pub fn rotated_text(self) -> &'static str {
        match self {
            Self::Defender => "Defender custom certificates rotated, resetting connection",
            Self::Https => "Console HTTPS custom certificates rotated, restarting listener",
            Self::WebSocket => "Console WebSocket custom certificates rotated, restarting listener",
        }
    }

    /// The set under this channel's file names.
    pub fn files(self, set: &PemSet) -> Files {
        let mut files = vec![
            (self.certificate_file(), set.cert.clone().into_bytes()),
            (self.key_file(), set.key.clone().into_bytes()),
        ];
        files.extend(self.ca_file().map(|name| (name, set.ca.clone().into_bytes())));
        files
    }
}

/// File names and contents.
pub type Files = Vec<(&'static str, Vec<u8>)>;

/// A manner of changing files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// The directory itself is exchanged for another one.
    DirectoryReplaced,
    /// Truncated and written where they are.
    InPlace,
    /// In place, in pieces, with other programs running in between.
    InPieces,
    /// Links to files in another directory, written there.
    LinkedElsewhere,
    /// As Kubernetes does it: a link `..data` to a folder is exchanged in one step.
    Projected,
    /// Each written beside and moved into place.
    Renamed,
}

impl Manner {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::DirectoryReplaced,
        Self::InPlace,
        Self::InPieces,
        Self::LinkedElsewhere,
        Self::Projected,
        Self::Renamed,
    ];

    /// Brings `files` into `dir`; files of other names stay.
    pub fn place(self, dir: &Path, files: &Files) {
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        match self {
            Self::DirectoryReplaced => replace_directory(dir, files, unique),
            Self::InPlace => files.iter().for_each(|(name, content)| write(&real(dir, name), content)),
            Self::InPieces => in_pieces(dir, files),
            Self::LinkedElsewhere => link_elsewhere(dir, files),
            Self::Projected => project(dir, files, unique),
            Self::Renamed => {
                for (name, content) in files {
                    let temporary = dir.join(format!(".{name}.{unique}"));
                    write(&temporary, content);
                    fs::rename(&temporary, dir.join(name)).expect("renaming");
                }
            }
        }
    }
}

/// Writes a file that only its owner may read.
pub fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("setting the mode");
}

/// A place for `name` in `dir` that is a plain file or free: what a link of an earlier manner left is removed.
fn real(dir: &Path, name: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    if path.is_symlink() {
        fs::remove_file(&path).expect("removing a link");
    }
    path
}

fn in_pieces(dir: &Path, files: &Files) {
    use std::io::Write as _;
    for (name, content) in files {
        let mut file = fs::File::create(real(dir, name)).expect("creating");
        for piece in content.chunks(content.len() / 3 + 1) {
            file.write_all(piece).expect("writing");
            file.sync_all().expect("syncing");
            std::thread::yield_now();
        }
    }
}

fn link_elsewhere(dir: &Path, files: &Files) {
    let elsewhere = dir.with_extension("elsewhere");
    fs::create_dir_all(&elsewhere).expect("creating a folder");
    for (name, content) in files {
        write(&elsewhere.join(name), content);
        let link = dir.join(name);
        if fs::read_link(&link).ok() != Some(elsewhere.join(name)) {
            let _ = fs::remove_file(&link);
            symlink(elsewhere.join(name), &link).expect("linking");
        }
    }
}

fn project(dir: &Path, files: &Files, unique: u64) {
    let folder = format!("..version-{unique}");
    fs::create_dir(dir.join(&folder)).expect("creating a folder");
    for (name, content) in files {
        write(&dir.join(&folder).join(name), content);
    }
    let before = fs::read_link(dir.join("..data")).ok();
    symlink(&folder, dir.join("..data_tmp")).expect("linking");
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).expect("renaming");
    for (name, _) in files {
        let link = dir.join(name);
        let target = Path::new("..data").join(name);
        if fs::read_link(&link).ok().as_ref() != Some(&target) {
            let _ = fs::remove_file(&link);
            symlink(&target, &link).expect("linking");
        }
    }
    if let Some(before) = before {
        fs::remove_dir_all(dir.join(before)).expect("removing the folder before");
    }
}

fn replace_directory(dir: &Path, files: &Files, unique: u64) {
    let new = dir.with_extension(format!("new-{unique}"));
    fs::create_dir(&new).expect("creating a folder");
    for entry in fs::read_dir(dir).expect("listing").flatten().filter(|entry| entry.path().is_file()) {
        let content = fs::read(entry.path()).expect("reading");
        write(&new.join(entry.file_name()), &content);
    }
    for (name, content) in files {
        write(&new.join(name), content);
    }
    fs::rename(dir, dir.with_extension(format!("old-{unique}"))).expect("moving away");
    fs::rename(&new, dir).expect("moving in");
}

static NEXT: AtomicU64 = AtomicU64::new(0);
