//! Where the tools take a passphrase from: a file or standard input, never an argument, which others can see.

use std::io::Read as _;
use std::path::Path;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::backup::{Passphrase, PassphraseError};

/// Why there is no passphrase.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It is none.
    #[error("passphrase in {0}")]
    Form(String, #[source] PassphraseError),
    /// It cannot be read.
    #[error("reading the passphrase from {0}")]
    Io(String, #[source] std::io::Error),
}

/// Reads the passphrase from `source`; `-` is standard input.
///
/// # Errors
/// [`SourceError`].
pub fn read(source: &Path) -> Result<Passphrase, SourceError> {
    let name =
        if source == Path::new("-") { "standard input".to_owned() } else { source.display().to_string() };
    let mut text = Zeroizing::new(String::with_capacity(MOST_BYTES));
    let result = if source == Path::new("-") {
        std::io::stdin().take(LIMIT).read_to_string(&mut text)
    } else {
        std::fs::File::open(source).and_then(|file| file.take(LIMIT).read_to_string(&mut text))
    };
    result.map_err(|error| SourceError::Io(name.clone(), error))?;
    Passphrase::parse(&text).map_err(|error| SourceError::Form(name, error))
}

/// More than the longest passphrase has.
const MOST_BYTES: usize = 8 * 1024;
const LIMIT: u64 = 8 * 1024;
