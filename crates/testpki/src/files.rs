//! Sets of files under the contract's names.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Ca, Pair};

/// How a file is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// Written beside it, then renamed over it.
    Atomic,
    /// Opened, emptied and written, as `cp` does.
    InPlace,
}

/// Writes one file, mode 0600.
pub fn put(dir: &Path, name: &str, content: impl AsRef<[u8]>, writing: Writing) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let path = dir.join(name);
    match writing {
        Writing::Atomic => {
            let new = dir.join(format!(".{name}.{}", NEXT.fetch_add(1, Ordering::Relaxed)));
            write(&new, content.as_ref());
            fs::rename(&new, &path).expect("a rename");
        }
        Writing::InPlace => write(&path, content.as_ref()),
    }
}

fn write(path: &Path, content: &[u8]) {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).expect("a file");
    file.write_all(content).expect("a write");
}

/// `console-cert.pem` and `console-key.pem`.
pub fn write_console_https(dir: &Path, pair: &Pair, writing: Writing) {
    put(dir, "console-cert.pem", &pair.cert_pem, writing);
    put(dir, "console-key.pem", &pair.key_pem, writing);
}

/// `defender-ca.pem`, `defender-server-cert.pem` and `defender-server-key.pem`.
pub fn write_console_defender(dir: &Path, ca: &Ca, pair: &Pair, writing: Writing) {
    put(dir, "defender-ca.pem", ca.pem(), writing);
    put(dir, "defender-server-cert.pem", &pair.cert_pem, writing);
    put(dir, "defender-server-key.pem", &pair.key_pem, writing);
}

/// `defender-ca.pem`, `defender-client-cert.pem` and `defender-client-key.pem`.
pub fn write_defender(dir: &Path, ca: &Ca, pair: &Pair, writing: Writing) {
    put(dir, "defender-ca.pem", ca.pem(), writing);
    put(dir, "defender-client-cert.pem", &pair.cert_pem, writing);
    put(dir, "defender-client-key.pem", &pair.key_pem, writing);
}
