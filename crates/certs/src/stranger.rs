//! Tests only: files made by `openssl`, which is not ours, and the directories that they are put in.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testpki::{Ca, Leaf, Pair};

use crate::{CertError, Channel, Found, Material, RawMaterial};

/// While it lives, this thread touches files as nobody would, if the tests run as root.
pub(crate) struct Nobody(nix::unistd::Uid);

impl Nobody {
    /// From now on.
    pub(crate) fn new() -> Self {
        let nobody = nix::unistd::Uid::from_raw(65_534);
        Self(if nix::unistd::geteuid().is_root() { nix::unistd::setfsuid(nobody) } else { nobody })
    }
}

impl Drop for Nobody {
    fn drop(&mut self) {
        nix::unistd::setfsuid(self.0);
    }
}

/// A directory to play with.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// One with a good set for every channel, and what made it.
    pub(crate) fn good() -> (Self, Ca) {
        let (folder, ca) = (Self::new(), Ca::new("Test CA"));
        folder.put_pair("console", &ca.issue(&Leaf::server(&["localhost"])));
        folder.put_pair("defender-server", &ca.issue(&Leaf::server(&["localhost"])));
        folder.put_pair("defender-client", &ca.issue(&Leaf::client("host-1")));
        folder.put("defender-ca.pem", ca.pem());
        (folder, ca)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a file in it.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file, mode 0600.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        testpki::put(self.path(), name, content, testpki::Writing::InPlace);
    }

    /// Writes `STEM-cert.pem` and `STEM-key.pem`.
    pub(crate) fn put_pair(&self, stem: &str, pair: &Pair) {
        self.put(&format!("{stem}-cert.pem"), &pair.cert_pem);
        self.put(&format!("{stem}-key.pem"), &pair.key_pem);
    }

    /// Lets everybody in who should be.
    pub(crate) fn reopen(&self) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(self.path(), mode).expect("ours");
    }

    /// Reads a file.
    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).expect("a text file")
    }

    /// Runs lines of shell in it; `openssl` is what they are for.
    pub(crate) fn shell(&self, script: &str) {
        let output =
            Command::new("sh").args(["-euc", script]).current_dir(self.path()).output().expect("a shell");
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What a start makes of a channel's files.
    pub(crate) fn parse(&self, channel: Channel) -> Result<Material, CertError> {
        match RawMaterial::read(channel, self.path())? {
            Found::Complete(raw) => Material::parse(raw),
            Found::Missing(names) => panic!("missing: {names:?}"),
        }
    }

    /// The message about a channel's unusable files, with `DIR` for this directory; it must come with a remedy.
    pub(crate) fn refusal(&self, channel: Channel) -> String {
        let error = self.parse(channel).expect_err("unusable");
        assert!(error.remedy().len() > 20, "{error}: {}", error.remedy());
        self.relative(&error.to_string())
    }

    /// A text with `DIR` for this directory.
    pub(crate) fn relative(&self, text: &str) -> String {
        text.replace(&self.path().display().to_string(), "DIR")
    }
}
