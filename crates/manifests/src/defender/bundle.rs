//! The install bundle: three files, one of them a key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use zeroize::Zeroizing;

/// The files of an install bundle.
#[derive(Deserialize)]
pub struct Bundle {
    #[serde(rename = "defender-ca.pem")]
    pub(super) ca: String,
    #[serde(rename = "defender-client-cert.pem")]
    pub(super) cert: String,
    #[serde(rename = "defender-client-key.pem", deserialize_with = "secret")]
    pub(super) key: Zeroizing<String>,
}

/// What was given is no bundle.
#[derive(Debug, Error)]
#[error("the install bundle is not base64 of a JSON object of its three files")]
pub struct BundleError;

impl Bundle {
    /// Reads the one string that the API hands out.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn from_base64(text: &str) -> Result<Self, BundleError> {
        let json = Zeroizing::new(STANDARD.decode(text).map_err(|_| BundleError)?);
        serde_json::from_slice(&json).map_err(|_| BundleError)
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bundle(***)")
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}
