//! The Console's own CA and server certificates on disk.

use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use time::OffsetDateTime;

use crate::channel::Channel;
use crate::generate::ClientBundle;
use crate::material::Material;

/// The Console's own CA.
#[derive(Debug)]
pub struct Authority;

/// Why the store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {}

/// Why a certificate was not issued.
#[derive(Debug, Error)]
pub enum IssueError {}

impl StoreError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        unimplemented!()
    }
}

impl Authority {
    /// Opens.
    ///
    /// # Errors
    /// Store.
    pub fn open_or_create(_dir: &Path, _now: OffsetDateTime) -> Result<Self, StoreError> {
        unimplemented!()
    }
    /// PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        unimplemented!()
    }
    /// Hex.
    #[must_use]
    pub fn ca_sha256(&self) -> String {
        unimplemented!()
    }
    /// Expiry of the CA.
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        unimplemented!()
    }
    /// Server certificate of `channel`.
    ///
    /// # Errors
    /// Store.
    pub fn server_material(
        &self,
        _channel: Channel,
        _sans: &[String],
        _now: OffsetDateTime,
    ) -> Result<Material, StoreError> {
        unimplemented!()
    }
    /// Client certificate.
    ///
    /// # Errors
    /// Issue.
    pub fn issue_client(
        &self,
        _identity: Option<&str>,
        _common_name: &str,
        _life: Duration,
        _now: OffsetDateTime,
    ) -> Result<ClientBundle, IssueError> {
        unimplemented!()
    }
    /// Signs a request.
    ///
    /// # Errors
    /// Issue.
    pub fn sign_request(
        &self,
        _csr_pem: &str,
        _identity: &str,
        _life: Duration,
        _now: OffsetDateTime,
    ) -> Result<String, IssueError> {
        unimplemented!()
    }
}
