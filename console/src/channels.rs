//! The Console's two certificate channels, HTTPS and Defender WebSocket: what each starts on, and what keeps
//! its self-signed leaf fresh. How a running channel moves to other files is in `certs::Rotation`.

use std::path::Path;
use std::sync::Arc;

use certs::{
    Authority, CertError, Channel, CustomDir, Gatekeeper, Guard, Material, Outcome, Revocations, Rotation,
    Subscriber, tls,
};
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
    /// The directory that both follow.
    pub custom_dir: CustomDir,
    /// Configurations of the HTTPS listener.
    pub https: Subscriber<ServerConfig>,
    /// Configurations of the Defender listener.
    pub defender: Subscriber<ServerConfig>,
    /// Issues other certificates while the channels run.
    pub renewal: Arc<Renewal>,
    /// Decides which custom sets of the Defender listener go live.
    pub gatekeeper: Gatekeeper,
    rotations: Vec<Rotation<ServerConfig>>,
    revocations: Revocations,
}

/// Why the channels cannot start.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The Console's own certificates cannot be used or made.
    #[error(transparent)]
    Authority(#[from] certs::AuthorityError),
    /// A custom set is there and unusable, or no configuration can be made.
    #[error("Failed to construct {} TLS config {error}", channel.log_name())]
    Custom {
        /// Which channel.
        channel: Channel,
        /// Why, and what to do.
        error: CertError,
    },
}

/// Issues self-signed server certificates anew, for channels that run on them and for those that may one day.
#[derive(Debug)]
pub struct Renewal {
    authority: Arc<Authority>,
    /// Names that each certificate has.
    names: Vec<String>,
    fallbacks: Vec<(Channel, watch::Sender<Arc<Material>>)>,
}

impl Channels {
    /// Decides what both channels start on: custom files where all of a channel's are there, else self-signed material
    /// for `names` and `extra` ones, kept in `own_dir`. Whom `guard` refuses is not let in by the Defender listener.
    ///
    /// # Errors
    /// [`ChannelError`]: the Console must not start.
    pub fn open(
        own_dir: &Path,
        custom_dir: &CustomDir,
        names: Vec<String>,
        extra: &[String],
        guard: &Guard,
        now: OffsetDateTime,
    ) -> Result<Self, ChannelError> {
        let authority = Arc::new(Authority::open_or_create(own_dir, now)?);
        let mut renewal = Renewal { authority: Arc::clone(&authority), names, fallbacks: Vec::new() };
        let (https, https_rotation) =
            renewal.channel(Channel::ConsoleHttps, custom_dir, extra, tls::console_https, now)?;
        let rules = guard.clone();
        let for_defenders = move |material: &Material| tls::console_defender(material, &rules);
        let (defender, defender_rotation) =
            renewal.channel(Channel::ConsoleDefender, custom_dir, extra, for_defenders, now)?;
        let (gate, gatekeeper) = certs::gate();
        let rotations = vec![https_rotation, defender_rotation.gated(gate)];
        let kept = own_dir.with_file_name(KEPT_LIST);
        let revocations = Revocations::start(custom_dir, &kept, defender.clone(), guard.clone());
        let (custom_dir, renewal) = (custom_dir.clone(), Arc::new(renewal));
        Ok(Self { authority, custom_dir, https, defender, renewal, gatekeeper, rotations, revocations })
    }

    /// Follows the files of both channels until shutdown; every rotation and refusal goes to `outcomes`.
    pub fn run(self, tasks: &Tasks, outcomes: &mpsc::Sender<Outcome>, shutdown: &CancellationToken) {
        for rotation in self.rotations {
            let following = rotation.run(outcomes.clone(), shutdown.clone());
            tasks.spawn_critical("certificate rotation", shutdown.clone(), following);
        }
        let following = self.revocations.run(outcomes.clone(), shutdown.clone());
        tasks.spawn_critical("revocation lists", shutdown.clone(), following);
    }
}

impl Renewal {
    fn channel(
        &mut self,
        channel: Channel,
        custom_dir: &CustomDir,
        extra: &[String],
        build: impl Fn(&Material) -> Result<ServerConfig, CertError> + Send + Sync + 'static,
        now: OffsetDateTime,
    ) -> Result<(Subscriber<ServerConfig>, Rotation<ServerConfig>), ChannelError> {
        let custom_fault = |error| ChannelError::Custom { channel, error };
        let custom = certs::custom_at_start(channel, custom_dir).map_err(custom_fault)?;
        let own = self.authority.server_material(channel, &self.all_names(extra), now)?;
        let (sender, fallback) = watch::channel(Arc::new(own));
        self.fallbacks.push((channel, sender));
        Rotation::start(channel, custom_dir, custom, fallback, build).map_err(custom_fault)
    }

    /// The authority that issues.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Gives both channels certificates with `extra` names, where they have other names or less than a third of
    /// their life left. Blocks.
    ///
    /// # Errors
    /// When they cannot be issued or written; what runs goes on.
    pub fn issue(&self, extra: &[String], now: OffsetDateTime) -> Result<(), certs::AuthorityError> {
        let names = self.all_names(extra);
        for (channel, fallback) in &self.fallbacks {
            let material = self.authority.server_material(*channel, &names, now)?;
            fallback.send_if_modified(|current| {
                let is_new = current.fingerprint() != material.fingerprint();
                if is_new {
                    *current = Arc::new(material);
                }
                is_new
            });
        }
        Ok(())
    }

    fn all_names(&self, extra: &[String]) -> Vec<String> {
        let mut names = self.names.clone();
        names.extend(extra.iter().filter(|name| !self.names.contains(name)).cloned());
        names
    }
}

/// Beside the Console's own certificates: the last revocation list that was good.
const KEPT_LIST: &str = "last-good-crl.pem";
