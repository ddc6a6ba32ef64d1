//! The Console's two certificate channels, HTTPS and Defender WebSocket: what each starts on, and what keeps
//! its self-signed leaf fresh. How a running channel moves to other files is in `certs::Rotation`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certs::{Authority, CertError, Channel, CustomDir, Material, Outcome, Rotation, Subscriber, tls};
use lifecycle::Tasks;
use rustls::ServerConfig;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Both channels with the material that they start on; nothing runs yet.
#[derive(Debug)]
pub struct Channels {
    /// The Console's own authority.
    pub authority: Arc<Authority>,
    /// Configurations of the HTTPS listener.
    pub https: Subscriber<ServerConfig>,
    /// Configurations of the Defender listener.
    pub defender: Subscriber<ServerConfig>,
    rotations: Vec<Rotation<ServerConfig>>,
    renewal: Renewal,
}

/// Why the channels cannot start.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The Console's own certificates cannot be used or made.
    #[error(transparent)]
    Authority(#[from] certs::StoreError),
    /// A custom set is there and unusable, or no configuration can be made.
    #[error("Failed to construct {} TLS config {error}", channel.log_name())]
    Custom {
        /// Which channel.
        channel: Channel,
        /// Why, and what to do.
        error: CertError,
    },
}

/// Issues self-signed server certificates anew before they expire.
#[derive(Debug)]
struct Renewal {
    authority: Arc<Authority>,
    names: Vec<String>,
    fallbacks: Vec<(Channel, watch::Sender<Arc<Material>>)>,
}

impl Channels {
    /// Decides what both channels start on: custom files where all of a channel's are there, else self-signed
    /// material for `names`, kept in `own_dir`.
    ///
    /// # Errors
    /// [`ChannelError`]: the Console must not start.
    pub fn open(
        own_dir: &Path,
        custom_dir: &CustomDir,
        names: Vec<String>,
        now: OffsetDateTime,
    ) -> Result<Self, ChannelError> {
        let authority = Arc::new(Authority::open_or_create(own_dir, now)?);
        let mut renewal = Renewal { authority: Arc::clone(&authority), names, fallbacks: Vec::new() };
        let (https, https_rotation) =
            renewal.channel(Channel::ConsoleHttps, custom_dir, tls::console_https, now)?;
        let (defender, defender_rotation) =
            renewal.channel(Channel::ConsoleDefender, custom_dir, tls::console_defender, now)?;
        Ok(Self { authority, https, defender, rotations: vec![https_rotation, defender_rotation], renewal })
    }

    /// Follows the files of both channels until shutdown; every rotation and refusal goes to `outcomes`.
    pub fn run(self, tasks: &Tasks, outcomes: &mpsc::Sender<Outcome>, shutdown: &CancellationToken) {
        for rotation in self.rotations {
            let following = rotation.run(outcomes.clone(), shutdown.clone());
            tasks.spawn_critical("certificate rotation", shutdown.clone(), following);
        }
        tasks.spawn_critical("certificate renewal", shutdown.clone(), self.renewal.run(shutdown.clone()));
    }
}

impl Renewal {
    fn channel(
        &mut self,
        channel: Channel,
        custom_dir: &CustomDir,
        build: fn(&Material) -> Result<ServerConfig, CertError>,
        now: OffsetDateTime,
    ) -> Result<(Subscriber<ServerConfig>, Rotation<ServerConfig>), ChannelError> {
        let custom_fault = |error| ChannelError::Custom { channel, error };
        let custom = certs::custom_at_start(channel, custom_dir).map_err(custom_fault)?;
        let own = self.authority.server_material(channel, &self.names, now)?;
        let (sender, fallback) = watch::channel(Arc::new(own));
        self.fallbacks.push((channel, sender));
        Rotation::start(channel, custom_dir, custom, fallback, build).map_err(custom_fault)
    }

    /// Looks every hour whether a leaf has less than a third of its life left.
    async fn run(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shutdown.cancelled() => return,
            }
            for (channel, fallback) in &self.fallbacks {
                self.renew(*channel, fallback);
            }
        }
    }

    fn renew(&self, channel: Channel, fallback: &watch::Sender<Arc<Material>>) {
        match self.authority.server_material(channel, &self.names, OffsetDateTime::now_utc()) {
            Ok(material) => {
                fallback.send_if_modified(|current| {
                    let is_new = current.leaf().sha256 != material.leaf().sha256;
                    if is_new {
                        *current = Arc::new(material);
                    }
                    is_new
                });
            }
            Err(error) => tracing::error!(
                channel = channel.id(),
                error = lifecycle::logging::error_chain(&error),
                "Cannot renew the self-signed certificate; the present one goes on"
            ),
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
