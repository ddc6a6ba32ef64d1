//! The Console's API, as a user who has a name and a password there calls it from this host.
//!
//! ```text
//! mod.rs      the flags, and what can be asked for
//! asked.rs    address, user, CA: judged; the files that they name: read
//! call.rs     one call over one connection
//! trust.rs    whether it is that Console
//! ```

mod asked;
mod call;
mod trust;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

pub use asked::{Asked, Wrong};

use crate::cli::BundleText;
use crate::config::ConsoleAddress;

/// Where the Console is, and who asks.
#[derive(Debug, Clone, Default, Args)]
pub struct ConsoleFlags {
    /// Where the Console's API is.
    #[arg(long, help = ADDRESS_HELP, value_name = "URL", help_heading = CONSOLE)]
    pub address: Option<String>,
    /// User of the Console: an administrator, operator or defender-manager. Required, or --token-file
    #[arg(long, value_name = "NAME", help_heading = CONSOLE)]
    pub user: Option<String>,
    /// File with the user's password. Required with --user
    #[arg(long, value_name = "FILE", help_heading = CONSOLE)]
    pub password_file: Option<PathBuf>,
    /// File with a token of the Console's API, instead of --user and --password-file
    #[arg(long, value_name = "FILE", help_heading = CONSOLE)]
    pub token_file: Option<PathBuf>,
    /// CA certificates (PEM) that the Console's HTTPS certificate is verified with [default: the system's]
    #[arg(long, value_name = "FILE", conflicts_with = "ca_fingerprint", help_heading = CONSOLE)]
    pub ca: Option<PathBuf>,
    /// SHA-256 fingerprint, hexadecimal, of the CA certificate that issued the Console's HTTPS certificate
    #[arg(long, value_name = "SHA256", help_heading = CONSOLE)]
    pub ca_fingerprint: Option<String>,
}

impl ConsoleFlags {
    /// Whether anything was given.
    #[must_use]
    pub fn is_given(&self) -> bool {
        let Self { address, user, password_file, token_file, ca, ca_fingerprint } = self;
        let texts = [address, user, ca_fingerprint].into_iter().any(Option::is_some);
        texts || [password_file, token_file, ca].into_iter().any(Option::is_some)
    }
}

impl Asked {
    /// The deployment file that `path` of the API gives for `flags`. Blocks until the Console has answered.
    ///
    /// # Errors
    /// Unreadable files, an unreachable or untrusted Console, and what the Console says; each with its remedy.
    pub fn file(&self, path: &str, flags: &impl Serialize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        let secrets = self.read()?;
        block_on(call::file(self, &secrets, path, flags))
    }

    /// A new install bundle for a Defender that dials `console`. Blocks until the Console has answered.
    ///
    /// # Errors
    /// As for [`Asked::file`].
    pub fn install_bundle(&self, console: &ConsoleAddress) -> anyhow::Result<BundleText> {
        let secrets = self.read()?;
        block_on(call::install_bundle(self, &secrets, &console.authority()))
    }
}

fn block_on<T>(call: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(call)
}

/// Not a doc comment: the brackets would be taken for links.
const ADDRESS_HELP: &str = "Where the Console's API is, https://HOST[:PORT], for example https://console.example.com:8083. \
     Required";
const CONSOLE: &str = "Console";
