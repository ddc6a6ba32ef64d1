//! The form of an install bundle, and the one that is kept in a directory for a Defender of the same host.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::{Channel, ClientBundle, Found, Material, Meanwhile, RawMaterial};
use lifecycle::atomic::{self, Durability};
use serde::Serialize;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{BundleOrder, EnrolError, Enrolment};
use crate::store::audits::Actor;

/// The three files of a bundle, by name.
#[derive(Serialize)]
struct Bundle<'a> {
    #[serde(rename = "defender-ca.pem")]
    ca: &'a str,
    #[serde(rename = "defender-client-cert.pem")]
    cert: &'a str,
    #[serde(rename = "defender-client-key.pem")]
    key: &'a str,
}

/// Base64 of a JSON object of the three files.
pub(super) fn encode(ca: &str, issued: &ClientBundle) -> Result<Zeroizing<String>, EnrolError> {
    let bundle = Bundle { ca, cert: &issued.cert_pem, key: &issued.key_pem };
    let json = Zeroizing::new(serde_json::to_vec(&bundle)?);
    Ok(Zeroizing::new(STANDARD.encode(&*json)))
}

/// Keeps a bundle in `dir` for a Defender of the same host: one that is there and good for more than half of its life
/// is left alone. While a custom set runs, what is there stays. Waits for `dir` as long as it takes, and says so unless
/// `is_told`.
///
/// # Errors
/// [`EnrolError`]; what is there stays.
pub async fn keep_bundle(enrolment: &Enrolment, dir: &Path, is_told: &mut bool) -> Result<(), EnrolError> {
    if enrolment.check_own_authority().is_err() {
        return Ok(());
    }
    let ca = enrolment.inner.authority.ca_pem();
    let looking = {
        let (dir, ca) = (dir.to_owned(), ca.clone());
        move || is_current(&dir, &ca)
    };
    if certs::look(dir.display(), Meanwhile::GoesOn, is_told, looking).await {
        return Ok(());
    }
    let order = BundleOrder { life: KEPT_LIFE, max_uses: None };
    let now = OffsetDateTime::now_utc();
    let issued = enrolment.register(order, &Actor::console(), None, now).await?;
    let target = dir.to_owned();
    let placing = move || place(&target, &ca, &issued);
    certs::look(dir.display(), Meanwhile::GoesOn, is_told, placing).await?;
    tracing::info!(path = dir.display().to_string(), "Install bundle written");
    Ok(())
}

fn place(dir: &Path, ca: &str, issued: &ClientBundle) -> Result<(), EnrolError> {
    std::fs::create_dir_all(dir).map_err(|source| directory(dir, source))?;
    let files = Channel::Defender.files();
    // The authority goes last: a Defender that waits for a bundle takes it when all three are there.
    write(&dir.join(files.key), issued.key_pem.as_bytes())?;
    write(&dir.join(files.cert), issued.cert_pem.as_bytes())?;
    match files.ca {
        Some(file) => write(&dir.join(file), ca.as_bytes()),
        None => Ok(()),
    }
}

fn is_current(dir: &Path, ca: &str) -> bool {
    let Ok(Found::Complete(raw)) = RawMaterial::read(Channel::Defender, dir) else { return false };
    let Ok(material) = Material::parse(raw) else { return false };
    let remaining = material.leaf().not_after - OffsetDateTime::now_utc();
    remaining > KEPT_LIFE / 2 && material.ca_pem().trim() == ca.trim()
}

fn write(path: &Path, content: &[u8]) -> Result<(), EnrolError> {
    atomic::write(path, content, Durability::PowerLoss).map_err(|source| directory(path, source))
}

fn directory(path: &Path, source: std::io::Error) -> EnrolError {
    EnrolError::Directory { path: path.to_owned(), source }
}

/// Nobody hands it over again by hand.
const KEPT_LIFE: Duration = Duration::from_secs(2 * 365 * 24 * 60 * 60);
