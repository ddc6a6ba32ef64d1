//! What people deploy, as files: what the command line writes, byte for byte. Fields are the flags in camelCase.
//!
//! ```text
//! console.rs     a Console's files: they hold no secret, so any user may ask
//! defenders.rs   Defenders' files, with an install bundle
//! ```

use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use manifests::{Faults, YamlError};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;

pub(super) mod console;
pub(super) mod defenders;

/// A file of YAML.
type Yaml = ([(HeaderName, &'static str); 1], String);

/// A Helm chart.
type Chart = ([(HeaderName, &'static str); 1], Vec<u8>);

fn yaml(text: &str) -> Yaml {
    ([(CONTENT_TYPE, "application/yaml")], text.to_owned())
}

fn chart(archive: &[u8]) -> Chart {
    ([(CONTENT_TYPE, "application/gzip")], archive.to_owned())
}

/// A body as the handlers read it.
fn typed<T: DeserializeOwned>(body: Value) -> Result<T, ApiError> {
    serde_json::from_value(body).map_err(|error| ApiError::BadRequest(error.to_string()))
}

impl From<Faults> for ApiError {
    fn from(faults: Faults) -> Self {
        Self::BadRequest(faults.of_fields())
    }
}

impl From<YamlError> for ApiError {
    fn from(error: YamlError) -> Self {
        Self::Internal(lifecycle::logging::error_chain(&error))
    }
}
