//! What a Defender starts on: the custom certificates if all of them are there, else the install bundle; and the
//! wait for either. Afterwards, the bundle directory is followed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certs::{CertError, Channel, CustomDir, Found, Material, RawMaterial, Watch, custom_at_start};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bundle::{self, BundleError};
use crate::cli::{BundleText, INSTALL_BUNDLE};
use crate::own::OwnCertificate;
use crate::status::Board;

/// Why there is nothing to start on; `Display` is the contract's CRIT line.
#[derive(Debug, Error)]
pub enum StartError {
    /// The bundle is there and unusable.
    #[error("Failed to construct {} TLS config {}", Channel::Defender.log_name(), *.0)]
    Bundle(BundleError),
    /// The custom files are there and unusable.
    #[error("Failed to construct {} TLS config {}", Channel::Defender.log_name(), *.0)]
    Custom(CertError),
}

impl StartError {
    /// What to do about it, in one sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Bundle(error) => error.remedy(),
            Self::Custom(error) => error.remedy(),
        }
    }
}

/// What a Defender starts on.
#[derive(Debug)]
pub struct Foundation {
    /// The custom set, which wins.
    pub custom: Option<Material>,
    /// The bundle; without one, the custom set once more.
    pub fallback: Arc<Material>,
}

/// Where material is looked for.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The custom certificates directory.
    pub custom: &'a CustomDir,
    /// The install bundle directory.
    pub bundle_dir: &'a Path,
    /// A bundle that wins over the directory.
    pub bundle: Option<&'a BundleText>,
    /// How often the directories are looked at without an event.
    pub poll: Duration,
    /// What the Console has issued before.
    pub own: &'a OwnCertificate,
}

/// Finds what to start on, and waits for it where nothing is there yet; `None` when `shutdown` came first.
///
/// # Errors
/// [`StartError`] when something is there and unusable.
pub async fn find(
    sources: &Sources<'_>,
    board: &Board,
    shutdown: &CancellationToken,
) -> Result<Option<Foundation>, StartError> {
    if let Some(custom) = custom_at_start(Channel::Defender, sources.custom).map_err(StartError::Custom)? {
        return with_custom(sources, custom).map(Some);
    }
    match read_bundle(sources) {
        Ok(Some(bundle)) => Ok(Some(with_bundle(bundle))),
        Ok(None) => match with_own(sources) {
            Some(foundation) => Ok(Some(foundation)),
            None => wait(sources, board, shutdown).await,
        },
        Err(error) => Err(StartError::Bundle(error)),
    }
}

fn read_bundle(sources: &Sources<'_>) -> Result<Option<Material>, BundleError> {
    match sources.bundle {
        Some(text) => bundle::decode(text).map(Some),
        None => bundle::read(sources.bundle_dir),
    }
}

fn with_bundle(bundle: Material) -> Foundation {
    let not_after = bundle.leaf().not_after.format(&Rfc3339).unwrap_or_default();
    tracing::info!(not_after, "Using the install bundle of the Console");
    Foundation { custom: None, fallback: Arc::new(bundle) }
}

/// A bundle is not needed any more once the Console has issued a certificate.
fn with_own(sources: &Sources<'_>) -> Option<Foundation> {
    let kept = sources.own.subscribe().borrow().clone()?;
    let not_after = kept.material.leaf().not_after.format(&Rfc3339).unwrap_or_default();
    tracing::info!(
        not_after,
        "Using the certificate that the Console has issued: there is no install bundle"
    );
    Some(Foundation { custom: None, fallback: kept.material })
}

/// The bundle is not needed then: whatever is wrong with it is worth a warning only.
fn with_custom(sources: &Sources<'_>, custom: Material) -> Result<Foundation, StartError> {
    let bundle = read_bundle(sources).unwrap_or_else(|error| {
        let remedy = error.remedy();
        tracing::warn!(%error, remedy, "The install bundle is unusable; custom certificates are used instead");
        None
    });
    let fallback = match bundle {
        Some(bundle) => bundle,
        None => {
            match RawMaterial::read(Channel::Defender, sources.custom.path()).map_err(StartError::Custom)? {
                Found::Complete(raw) => Material::parse(raw).map_err(StartError::Custom)?,
                // Removed since they were read, a moment ago: the next start decides afresh.
                Found::Missing(_) => return Ok(Foundation { fallback: Arc::new(custom), custom: None }),
            }
        }
    };
    Ok(Foundation { custom: Some(custom), fallback: Arc::new(fallback) })
}

/// Looks again whenever one of the directories may have changed.
async fn wait(
    sources: &Sources<'_>,
    board: &Board,
    shutdown: &CancellationToken,
) -> Result<Option<Foundation>, StartError> {
    announce(sources, board);
    let mut dirs = vec![sources.bundle_dir];
    if sources.custom.is_watched() {
        dirs.push(sources.custom.path());
    }
    let mut watch = Watch::new(&dirs, sources.poll);
    let mut refused = None;
    let mut suspect: Option<Suspect> = None;
    loop {
        if let Some(custom) = custom_while_waiting(sources.custom, &mut refused, board) {
            return with_custom(sources, custom).map(Some);
        }
        suspect = match (read_bundle(sources), suspect) {
            (Ok(Some(bundle)), _) => return Ok(Some(with_bundle(bundle))),
            (Ok(None), _) => None,
            (Err(error), Some(suspect)) if suspect.text == error.to_string() => {
                if suspect.until <= Instant::now() {
                    return Err(StartError::Bundle(error));
                }
                Some(suspect)
            }
            (Err(error), _) => Some(Suspect { text: error.to_string(), until: Instant::now() + SETTLE }),
        };
        tokio::select! {
            () = watch.changed() => {}
            () = settled(suspect.as_ref()) => {}
            () = shutdown.cancelled() => return Ok(None),
        }
    }
}

/// An unusable bundle that may still be on its way: it is judged once it has not changed for a while.
struct Suspect {
    text: String,
    until: Instant,
}

async fn settled(suspect: Option<&Suspect>) {
    match suspect {
        Some(suspect) => tokio::time::sleep_until(suspect.until).await,
        None => std::future::pending().await,
    }
}

fn announce(sources: &Sources<'_>, board: &Board) {
    let bundle_dir = sources.bundle_dir.display();
    let custom = match sources.custom.is_watched() {
        true => format!("custom certificates in {}", sources.custom.path().display()),
        false => format!(
            "custom certificates (not before a restart: {} was not there at start)",
            sources.custom.path().display()
        ),
    };
    let text = format!(
        "Waiting for an install bundle of the Console in {bundle_dir} (or {INSTALL_BUNDLE}), or for {custom}"
    );
    let names: Vec<&str> = Channel::Defender.files().names().collect();
    tracing::info!(files = names.join(","), "{text}");
    board.fault(text, OffsetDateTime::now_utc());
}

/// A complete set that would also be taken by a running Defender; another is refused once and waiting goes on.
fn custom_while_waiting(dir: &CustomDir, refused: &mut Option<String>, board: &Board) -> Option<Material> {
    if !dir.is_watched() {
        return None;
    }
    let judged = match RawMaterial::read(Channel::Defender, dir.path()) {
        Ok(Found::Missing(_)) => return None,
        Ok(Found::Complete(raw)) => Material::parse(raw)
            .and_then(|material| material.unfit(OffsetDateTime::now_utc()).map_or(Ok(()), Err)),
        Err(error) => Err(error),
    };
    match judged.and_then(|()| custom_at_start(Channel::Defender, dir)) {
        Ok(custom) => custom,
        Err(error) => {
            let text =
                format!("Failed to load {} custom certificates: {error}", Channel::Defender.log_name());
            if refused.as_ref() != Some(&text) {
                tracing::error!(remedy = error.remedy(), "{text}");
                board.fault(text.clone(), OffsetDateTime::now_utc());
                *refused = Some(text);
            }
            None
        }
    }
}

/// Publishes each good new bundle of the directory, until `shutdown`. A bad one is warned about once.
pub async fn follow_bundle(
    dir: &Path,
    poll: Duration,
    bundle: watch::Sender<Arc<Material>>,
    shutdown: CancellationToken,
) {
    let mut watch = Watch::new(&[dir], poll);
    let mut refused = None;
    loop {
        tokio::select! {
            () = watch.changed() => {}
            () = shutdown.cancelled() => return,
        }
        let refusal = match bundle::read(dir) {
            Ok(None) => None,
            Ok(Some(material)) => match material.unfit(OffsetDateTime::now_utc()) {
                Some(error) => Some(BundleError::Certificates(error)),
                None => {
                    let material = Arc::new(material);
                    bundle.send_if_modified(|current| {
                        let differs = current.fingerprint() != material.fingerprint();
                        if differs {
                            *current = Arc::clone(&material);
                        }
                        differs
                    });
                    None
                }
            },
            Err(error) => Some(error),
        };
        let text = refusal.as_ref().map(BundleError::to_string);
        if let Some(error) = refusal.filter(|_| text != refused) {
            let remedy = error.remedy();
            tracing::warn!(%error, remedy, "The changed install bundle is unusable: the one in use stays");
        }
        refused = text;
    }
}

/// How long an unusable bundle that has just appeared may still be on its way.
const SETTLE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
