//! All wiring, and the order of start and stop.
//!
//! A restart that the Console asks for is a stop, too; what follows is in `again.rs`.
//!
//! Start: data directory, identity, certificates (waiting for them if need be), outbox, link. Stop: sessions close
//! with 1000, tasks return within five seconds.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use certs::{Channel, CustomDir, Material, Outcome, Rotation, Subscriber};
use lifecycle::{Instance, Journal, Tasks, random};
use rustls::ClientConfig;
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::commands::Commands;
use crate::config::Config;
use crate::identity;
use crate::link::Link;
use crate::outbox::{Limits, Outbox};
use crate::own::{Now, OwnCertificate};
use crate::report::sets::Sets;
use crate::report::{self, host};
use crate::start::{self, Foundation, Sources, StartError};
use crate::status::{self, Board};

/// How a run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The Console asked for a fresh start.
    Restart,
    /// It was told to stop.
    Stopped,
}

/// Runs a Defender until `stop`, or until the Console asks for a fresh start. `journal` is what the Console reads.
///
/// # Errors
/// Whatever keeps it from starting, and the loss of a task that it cannot do without. Nothing of it is logged yet.
pub async fn run_until(
    config: Config,
    journal: Journal,
    tasks: Tasks,
    stop: CancellationToken,
) -> anyhow::Result<Finish> {
    let instance = Instance::take(&config.data_dir)?;
    let defender = Defender::open(config, journal, tasks, stop.child_token())?;
    let served = defender.serve().await;
    defender.shutdown.cancel();
    defender.tasks.drain(STOP_TIMEOUT).await;
    drop(instance);
    if let End::Lost = served? {
        bail!("a task that the program cannot do without has ended");
    }
    // A stop that comes on the way to a restart is a stop.
    if defender.restart.is_cancelled() && !stop.is_cancelled() {
        tracing::info!("Defender stopped, and starts afresh as the Console has asked");
        return Ok(Finish::Restart);
    }
    tracing::info!("Defender stopped");
    Ok(Finish::Stopped)
}

/// What makes this Defender the one that it is, and what all of its tasks share.
struct Defender {
    config: Config,
    id: Uuid,
    own: OwnCertificate,
    board: Board,
    commands: Commands,
    tasks: Tasks,
    shutdown: CancellationToken,
    /// Cancelled when the Console asks for a fresh start.
    restart: CancellationToken,
}

/// Why it serves no more.
enum End {
    /// A task that it cannot do without has ended.
    Lost,
    /// It was told to stop, or to start afresh.
    Told,
}

/// What a link dials with, and each later value of it.
struct Certificates {
    live: Subscriber<ClientConfig>,
    /// The install bundle, or what takes its place.
    bundle: watch::Receiver<Arc<Material>>,
}

impl Defender {
    /// Reads the data directory.
    fn open(
        config: Config,
        journal: Journal,
        tasks: Tasks,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let id = identity::open(&config.data_dir)?;
        let address = config.console.configured();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), defender = %id, address, "Defender starts");
        let board = Board::new(address, OffsetDateTime::now_utc());
        let own = OwnCertificate::open(&config.data_dir, random::share, Now::read());
        let restart = CancellationToken::new();
        let commands = Commands::new(journal, Uuid::new_v4(), restart.clone());
        Ok(Self { config, id, own, board, commands, tasks, shutdown, restart })
    }

    /// Waits for certificates, and works until it is told to stop.
    async fn serve(&self) -> anyhow::Result<End> {
        let keep = status::keep(self.board.clone(), self.config.data_dir.clone(), self.shutdown.clone());
        self.tasks.spawn_critical("status", self.shutdown.clone(), keep);
        let custom = tokio::select! {
            custom = CustomDir::reach(&self.config.custom_certs_dir, self.config.custom_certs_poll) => custom,
            () = self.shutdown.cancelled() => return Ok(End::Told),
        };
        let sources = Sources {
            custom: custom.clone(),
            bundle_dir: self.config.install_bundle_dir.clone(),
            bundle: self.config.install_bundle.clone(),
            poll: self.config.custom_certs_poll,
            own: self.own.clone(),
        };
        let Some(foundation) = start::find(&sources, &self.board, &self.shutdown).await? else {
            return Ok(End::Told);
        };
        self.begin(&custom, foundation)?;
        tokio::select! {
            () = self.shutdown.cancelled() => Ok(End::Told),
            () = self.restart.cancelled() => Ok(End::Told),
            () = self.tasks.lost() => Ok(End::Lost),
        }
    }

    /// Starts the tasks.
    fn begin(&self, custom: &CustomDir, foundation: Foundation) -> anyhow::Result<()> {
        let (config, tasks, shutdown) = (&self.config, &self.tasks, &self.shutdown);
        let outbox = Outbox::open(&config.data_dir.join(OUTBOX), Limits::default(), tasks, shutdown.clone())?;
        let look_now = Arc::new(Notify::new());
        let outcomes = pass_on(&look_now, self.board.clone(), tasks);
        let certificates = self.rotate(custom, foundation, outcomes)?;

        let source = host::Source {
            hostname: config.hostname.clone(),
            cluster: config.cluster.clone(),
            custom_dir: config.custom_certs_dir.clone(),
            custom_watched: custom.is_watched(),
            sets: Sets {
                certificates: Some(certificates.live.clone()),
                own: Some(self.own.subscribe()),
                bundle: Some(certificates.bundle.clone()),
            },
        };
        let identity = host::look(&source).identity(self.id);
        let (welcomed, welcomed_receiver) = watch::channel(false);
        let reports = report::run(outbox.clone(), source, welcomed_receiver, look_now, shutdown.clone());
        tasks.spawn_critical("reports", shutdown.clone(), reports);

        let link = Link {
            target: config.target(),
            certificates: certificates.live,
            own: Some(self.own.clone()),
            bundle: Some(certificates.bundle),
            identity,
            commands: self.commands.clone(),
            outbox,
            board: self.board.clone(),
            welcomed,
            tasks: tasks.clone(),
            share: random::share,
        };
        tasks.spawn_critical("link", shutdown.clone(), link.run(shutdown.clone()));
        Ok(())
    }

    /// Starts to follow the custom directory and, unless the bundle is a string, the bundle directory.
    fn rotate(
        &self,
        custom: &CustomDir,
        foundation: Foundation,
        outcomes: mpsc::Sender<Outcome>,
    ) -> Result<Certificates, StartError> {
        let (config, tasks, shutdown) = (&self.config, &self.tasks, &self.shutdown);
        let (sender, bundle) = watch::channel(foundation.fallback);
        let build = certs::tls::defender_client;
        let (live, rotation) =
            Rotation::start(Channel::Defender, custom, foundation.custom, bundle.clone(), build)
                .map_err(StartError::Custom)?;
        tasks.spawn_critical("rotation", shutdown.clone(), rotation.run(outcomes, shutdown.clone()));
        if config.install_bundle.is_none() {
            let (dir, poll) = (config.install_bundle_dir.clone(), config.custom_certs_poll);
            tasks.spawn("bundle", start::follow_bundle(dir, poll, sender, shutdown.clone()));
        }
        Ok(Certificates { live, bundle })
    }
}

/// Each change of certificates, taken or refused, is worth a look at the facts. Ends with the rotation.
fn pass_on(look_now: &Arc<Notify>, board: Board, tasks: &Tasks) -> mpsc::Sender<Outcome> {
    let (sender, mut outcomes) = mpsc::channel(OUTCOMES);
    let look_now = Arc::clone(look_now);
    tasks.spawn("outcomes", async move {
        while let Some(outcome) = outcomes.recv().await {
            if let Outcome::Refused { error, remedy, .. } = outcome {
                let text = format!("custom certificates refused: {error}; {remedy}");
                board.fault(text, OffsetDateTime::now_utc());
            }
            look_now.notify_one();
        }
    });
    sender
}

/// Directory of the unsent reports, in the data directory.
const OUTBOX: &str = "outbox";

/// How long a stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How many outcomes may wait; the rotation waits when it is full.
const OUTCOMES: usize = 16;

#[cfg(test)]
mod tests;
