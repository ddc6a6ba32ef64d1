//! What a Defender starts on: the custom certificates if all of them are there, else the install bundle; and the
//! wait for either. Afterwards, the bundle directory is followed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certs::{
    CertError, Channel, CustomDir, Fingerprint, Found, Material, Meanwhile, RawMaterial, Watch,
    custom_at_start,
};
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

/// Where material is looked for. The directories may be on storage that hangs: they are read off the runtime's threads.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The custom certificates directory.
    pub custom: CustomDir,
    /// The install bundle directory.
    pub bundle_dir: PathBuf,
    /// A bundle that wins over the directory.
    pub bundle: Option<BundleText>,
    /// How often the directories are looked at without an event.
    pub poll: Duration,
    /// What the Console has issued before.
    pub own: OwnCertificate,
}

/// Finds what to start on, and waits for it where nothing is there yet; `None` when `shutdown` came first.
///
/// # Errors
/// [`StartError`] when something is there and unusable.
pub async fn find(
    sources: &Sources,
    board: &Board,
    shutdown: &CancellationToken,
) -> Result<Option<Foundation>, StartError> {
    // A look that hangs is left behind.
    tokio::select! {
        found = find_or_wait(sources, board) => found.map(Some),
        () = shutdown.cancelled() => Ok(None),
    }
}

async fn find_or_wait(sources: &Sources, board: &Board) -> Result<Foundation, StartError> {
    let first = sources.clone();
    let place = sources.places();
    let found = certs::look(place, Meanwhile::Waits, &mut false, move || first.look()).await?;
    match found.or_else(|| with_own(sources)) {
        Some(foundation) => Ok(foundation),
        None => wait(sources, board).await,
    }
}

/// Looks again whenever one of the directories may have changed.
async fn wait(sources: &Sources, board: &Board) -> Result<Foundation, StartError> {
    announce(sources, board);
    let mut dirs = vec![sources.bundle_dir.as_path()];
    if sources.custom.is_watched() {
        dirs.push(sources.custom.path());
    }
    let mut watch = Watch::new(&dirs, sources.poll, Meanwhile::Waits);
    let mut refused = None;
    let mut suspect: Option<Suspect> = None;
    loop {
        let again = sources.clone();
        let (custom, bundle) = match watch.look(move || again.look_again()).await {
            Seen::Custom(foundation) => {
                if foundation.is_ok() {
                    // Who copies files into place waits for this line, whatever ran before.
                    tracing::info!("{}", Channel::Defender.rotated_text());
                }
                return foundation;
            }
            Seen::Bundle { refused, bundle } => (refused, bundle),
        };
        tell_refused(custom, &mut refused, board);
        suspect = match (bundle, suspect) {
            (Ok(Some(bundle)), _) => return Ok(with_bundle(bundle)),
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
        }
    }
}

/// A custom set that cannot be used.
struct RefusedSet {
    /// Of what was read; `None` where something could not be read.
    set: Option<Fingerprint>,
    error: Box<CertError>,
}

/// What a waiting Defender has seen.
enum Seen {
    /// No custom set that can be used.
    Bundle { refused: Option<RefusedSet>, bundle: Result<Option<Material>, BundleError> },
    /// A custom set, which wins.
    Custom(Result<Foundation, StartError>),
}

impl Sources {
    /// What is there at start.
    fn look(&self) -> Result<Option<Foundation>, StartError> {
        if let Some(custom) = custom_at_start(Channel::Defender, &self.custom).map_err(StartError::Custom)? {
            return self.with_custom(custom).map(Some);
        }
        Ok(self.read_bundle().map_err(StartError::Bundle)?.map(with_bundle))
    }

    /// What has come since.
    fn look_again(&self) -> Seen {
        match self.custom_while_waiting() {
            Ok(Some(custom)) => Seen::Custom(self.with_custom(custom)),
            Ok(None) => Seen::Bundle { refused: None, bundle: self.read_bundle() },
            Err(error) => Seen::Bundle { refused: Some(error), bundle: self.read_bundle() },
        }
    }

    fn read_bundle(&self) -> Result<Option<Material>, BundleError> {
        match &self.bundle {
            Some(text) => bundle::decode(text).map(Some),
            None => bundle::read(&self.bundle_dir),
        }
    }

    /// The bundle is not needed then: whatever is wrong with it is worth a warning only.
    fn with_custom(&self, custom: Material) -> Result<Foundation, StartError> {
        let bundle = self.read_bundle().unwrap_or_else(|error| {
            let remedy = error.remedy();
            tracing::warn!(%error, remedy, "The install bundle is unusable; custom certificates are used instead");
            None
        });
        let fallback = match bundle {
            Some(bundle) => bundle,
            None => {
                match RawMaterial::read(Channel::Defender, self.custom.path()).map_err(StartError::Custom)? {
                    Found::Complete(raw) => Material::parse(raw).map_err(StartError::Custom)?,
                    // Removed since they were read, a moment ago: the next start decides afresh.
                    Found::Missing(_) => {
                        return Ok(Foundation { fallback: Arc::new(custom), custom: None });
                    }
                }
            }
        };
        Ok(Foundation { custom: Some(custom), fallback: Arc::new(fallback) })
    }

    /// A complete set that would also be taken by a running Defender.
    fn custom_while_waiting(&self) -> Result<Option<Material>, RefusedSet> {
        if !self.custom.is_watched() {
            return Ok(None);
        }
        let unread = |error| RefusedSet { set: None, error: Box::new(error) };
        let raw = match RawMaterial::read(Channel::Defender, self.custom.path()).map_err(unread)? {
            Found::Complete(raw) => raw,
            Found::Missing(_) => return Ok(None),
        };
        let set = Some(raw.fingerprint());
        let material = Material::parse(raw).map_err(|error| RefusedSet { set, error: Box::new(error) })?;
        match material.unfit(OffsetDateTime::now_utc()) {
            Some(error) => Err(RefusedSet { set, error: Box::new(error) }),
            None => custom_at_start(Channel::Defender, &self.custom).map_err(unread),
        }
    }

    /// Where certificates are looked for, to be shown.
    fn places(&self) -> String {
        let custom = self.custom.is_watched().then(|| self.custom.path());
        let bundle = self.bundle.is_none().then_some(self.bundle_dir.as_path());
        let all = custom.into_iter().chain(bundle).map(|dir| dir.display().to_string());
        all.collect::<Vec<_>>().join(" or ")
    }
}

fn with_bundle(bundle: Material) -> Foundation {
    let not_after = bundle.leaf().not_after.format(&Rfc3339).unwrap_or_default();
    tracing::info!(not_after, "Using the install bundle of the Console");
    Foundation { custom: None, fallback: Arc::new(bundle) }
}

/// A bundle is not needed any more once the Console has issued a certificate.
fn with_own(sources: &Sources) -> Option<Foundation> {
    let kept = sources.own.subscribe().borrow().clone()?;
    let not_after = kept.material.leaf().not_after.format(&Rfc3339).unwrap_or_default();
    tracing::info!(
        not_after,
        "Using the certificate that the Console has issued: there is no install bundle"
    );
    Some(Foundation { custom: None, fallback: kept.material })
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

fn announce(sources: &Sources, board: &Board) {
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

/// Once for each set and cause: waiting goes on.
fn tell_refused(
    refused: Option<RefusedSet>,
    told: &mut Option<(Option<Fingerprint>, String)>,
    board: &Board,
) {
    let Some(RefusedSet { set, error }) = refused else {
        *told = None;
        return;
    };
    let text = format!("Failed to load {} custom certificates: {error}", Channel::Defender.log_name());
    let news = Some((set, text));
    if *told != news {
        if let Some((_, text)) = &news {
            tracing::error!(remedy = error.remedy(), "{text}");
            board.fault(text.clone(), OffsetDateTime::now_utc());
        }
        *told = news;
    }
}

/// Publishes each good new bundle of the directory, until `shutdown`. A bad one is warned about once.
pub async fn follow_bundle(
    dir: PathBuf,
    poll: Duration,
    bundle: watch::Sender<Arc<Material>>,
    shutdown: CancellationToken,
) {
    // A look that hangs is left behind.
    tokio::select! {
        () = follow(&dir, poll, &bundle) => {}
        () = shutdown.cancelled() => {}
    }
}

async fn follow(dir: &Path, poll: Duration, bundle: &watch::Sender<Arc<Material>>) {
    let mut watch = Watch::new(&[dir], poll, Meanwhile::GoesOn);
    // What is there now was judged at start.
    watch.look(|| ()).await;
    let mut refused = None;
    loop {
        watch.changed().await;
        let place = dir.to_owned();
        let refusal = match watch.look(move || bundle::read(&place)).await {
            Ok(None) => None,
            Ok(Some(material)) => match material.unfit(OffsetDateTime::now_utc()) {
                Some(error) => Some(BundleError::Certificates(error)),
                None => {
                    take(bundle, material);
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

/// Publishes it, unless it is the one in use.
fn take(bundle: &watch::Sender<Arc<Material>>, material: Material) {
    bundle.send_if_modified(|current| {
        let differs = current.fingerprint() != material.fingerprint();
        if differs {
            *current = Arc::new(material);
        }
        differs
    });
}

/// How long an unusable bundle that has just appeared may still be on its way.
const SETTLE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
