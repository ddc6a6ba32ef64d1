//! The install bundle: a directory of three files, or the same files as one base64 string -> material.
//!
//! When it is looked for is in `start.rs`. No error quotes the content: it holds a key.

use std::path::Path;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use certs::{CertError, Channel, Found, Material, RawMaterial};
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::cli::{BundleText, INSTALL_BUNDLE};

/// Why a bundle cannot be used.
#[derive(Debug, Error)]
pub enum BundleError {
    /// The string is not base64.
    #[error("error reading {INSTALL_BUNDLE}: it is not base64")]
    Base64,
    /// The files are there and cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertError),
    /// What the base64 holds is not the JSON object of the three files.
    #[error("error reading {INSTALL_BUNDLE}: it holds no JSON object with {0}")]
    Json(&'static str),
}

impl BundleError {
    /// What to do about it, in one sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Certificates(error) => error.remedy(),
            Self::Base64 | Self::Json(_) => {
                format!(
                    "copy the whole string that the Console shows for this Defender into {INSTALL_BUNDLE}"
                )
            }
        }
    }
}

/// Reads a directory; `None` when a file is missing.
///
/// # Errors
/// [`BundleError::Certificates`].
pub fn read(dir: &Path) -> Result<Option<Material>, BundleError> {
    match RawMaterial::read(Channel::Defender, dir)? {
        Found::Complete(raw) => Ok(Some(Material::parse(raw)?)),
        Found::Missing(_) => Ok(None),
    }
}

/// Decodes the string.
///
/// # Errors
/// [`BundleError`].
pub fn decode(text: &BundleText) -> Result<Material, BundleError> {
    let files = files(text)?;
    let raw = RawMaterial::from_files(
        Channel::Defender,
        Path::new(INSTALL_BUNDLE),
        Some(files.ca.into_bytes()),
        files.cert.into_bytes(),
        Zeroizing::new(files.key.as_bytes().to_vec()),
    );
    Ok(Material::parse(raw)?)
}

/// The three files in the string.
///
/// # Errors
/// [`BundleError`] also where the files could not be used.
pub(crate) fn unpack(text: &BundleText) -> Result<Files, BundleError> {
    decode(text)?;
    files(text)
}

fn files(text: &BundleText) -> Result<Files, BundleError> {
    let compact: Zeroizing<Vec<u8>> =
        Zeroizing::new(text.reveal().bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
    let json = Zeroizing::new(BASE64.decode(&*compact).map_err(|_| BundleError::Base64)?);
    serde_json::from_slice(&json).map_err(|_| BundleError::Json(THE_FILES))
}

/// The three files in one JSON object, by name.
#[derive(Deserialize)]
pub(crate) struct Files {
    #[serde(rename = "defender-ca.pem")]
    pub(crate) ca: String,
    #[serde(rename = "defender-client-cert.pem")]
    pub(crate) cert: String,
    #[serde(rename = "defender-client-key.pem", deserialize_with = "secret")]
    pub(crate) key: Zeroizing<String>,
}

impl Files {
    /// Name and content of each.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let contents = [self.ca.as_bytes(), self.cert.as_bytes(), self.key.as_bytes()];
        Channel::Defender.files().names().zip(contents)
    }
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

const THE_FILES: &str = "defender-ca.pem, defender-client-cert.pem and defender-client-key.pem";

/// Padding gets lost when people copy.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use testpki::{Ca, Leaf, Writing, write_defender};

    use super::*;

    fn text(json: &serde_json::Value) -> String {
        STANDARD.encode(json.to_string())
    }

    fn bundle() -> serde_json::Value {
        let ca = Ca::new("console");
        let pair = ca.issue(&Leaf::client("defender"));
        serde_json::json!({
            "defender-ca.pem": ca.pem(),
            "defender-client-cert.pem": pair.cert_pem,
            "defender-client-key.pem": pair.key_pem,
        })
    }

    #[test]
    fn the_string_is_read_with_and_without_padding_and_with_line_breaks() {
        let text = text(&bundle());
        let wrapped: Vec<&str> =
            text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
        for text in [text.clone(), text.trim_end_matches('=').to_owned(), wrapped.join("\n")] {
            decode(&BundleText::new(text)).expect("a good bundle");
        }
    }

    #[test]
    fn a_bad_string_is_refused_without_quoting_it() {
        let mut without_key = bundle();
        without_key.as_object_mut().expect("object").remove("defender-client-key.pem");
        let mut bad_key = bundle();
        bad_key["defender-client-key.pem"] = "SECRET".into();
        let mut other_key = bundle();
        other_key["defender-client-key.pem"] = bundle()["defender-client-key.pem"].clone();
        for (text, expected) in [
            ("SECRET!".to_owned(), "it is not base64"),
            (STANDARD.encode("SECRET"), "it holds no JSON object"),
            (text(&serde_json::json!("SECRET")), "it holds no JSON object"),
            (text(&without_key), "it holds no JSON object"),
            (text(&bad_key), "INSTALL_BUNDLE/defender-client-key.pem"),
            (text(&other_key), "tls: private key does not match public key"),
        ] {
            let error = decode(&BundleText::new(text)).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!format!("{error:?} {error} {}", error.remedy()).contains("SECRET"), "{error:?}");
            assert!(!error.remedy().is_empty());
        }
    }

    #[test]
    fn a_directory_is_a_bundle_once_all_files_are_there() {
        let dir = tempfile::tempdir().expect("directory");
        assert!(read(&dir.path().join("missing")).expect("waits").is_none());
        let ca = Ca::new("console");
        write_defender(dir.path(), &ca, &ca.issue(&Leaf::client("defender")), Writing::Atomic);
        assert!(read(dir.path()).expect("good").is_some());
        std::fs::remove_file(dir.path().join("defender-ca.pem")).expect("removed");
        assert!(read(dir.path()).expect("waits").is_none());
    }
}
