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
use crate::own::OwnCertificate;
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
    let (shutdown, restart) = (stop.child_token(), CancellationToken::new());
    let commands = Commands::new(journal, Uuid::new_v4(), restart.clone());
    let instance = Instance::take(&config.data_dir)?;
    let id = identity::open(&config.data_dir)?;
    let address = config.console.configured();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), defender = %id, address, "Defender starts");
    let board = Board::new(address, OffsetDateTime::now_utc());
    let keep = status::keep(board.clone(), config.data_dir.clone(), shutdown.clone());
    tasks.spawn_critical("status", shutdown.clone(), keep);

    let own = OwnCertificate::open(
        &config.data_dir,
        random::share,
        (OffsetDateTime::now_utc(), tokio::time::Instant::now()),
    );
    let custom = tokio::select! {
        custom = CustomDir::reach(&config.custom_certs_dir, config.custom_certs_poll) => custom,
        () = shutdown.cancelled() => {
            tasks.drain(STOP_TIMEOUT).await;
            return Ok(Finish::Stopped);
        }
    };
    let sources = Sources {
        custom: custom.clone(),
        bundle_dir: config.install_bundle_dir.clone(),
        bundle: config.install_bundle.clone(),
        poll: config.custom_certs_poll,
        own: own.clone(),
    };
    let found = start::find(&sources, &board, &shutdown).await;
    let is_lost = match found {
        Ok(Some(foundation)) => {
            let myself = Myself { id, own };
            begin(&config, myself, &custom, foundation, (board, commands), &tasks, &shutdown)?;
            tokio::select! {
                () = shutdown.cancelled() => false,
                () = restart.cancelled() => false,
                () = tasks.lost() => true,
            }
        }
        Ok(None) => false,
        Err(error) => {
            shutdown.cancel();
            return Err(error.into());
        }
    };
    shutdown.cancel();
    tasks.drain(STOP_TIMEOUT).await;
    drop(instance);
    if is_lost {
        bail!("a task that the program cannot do without has ended");
    }
    // A stop that comes on the way to a restart is a stop.
    if restart.is_cancelled() && !stop.is_cancelled() {
        tracing::info!("Defender stopped, and starts afresh as the Console has asked");
        return Ok(Finish::Restart);
    }
    tracing::info!("Defender stopped");
    Ok(Finish::Stopped)
}

/// What makes this Defender the one that it is.
struct Myself {
    id: Uuid,
    own: OwnCertificate,
}

/// Starts the tasks.
fn begin(
    config: &Config,
    Myself { id, own }: Myself,
    custom: &CustomDir,
    foundation: Foundation,
    (board, commands): (Board, Commands),
    tasks: &Tasks,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let outbox = Outbox::open(&config.data_dir.join(OUTBOX), Limits::default(), tasks, shutdown.clone())?;
    let look_now = Arc::new(Notify::new());
    let outcomes = pass_on(&look_now, board.clone(), tasks);
    let (bundle, fallback) = watch::channel(Arc::clone(&foundation.fallback));
    let certificates =
        rotate(config, custom, foundation, (bundle, fallback.clone()), outcomes, tasks, shutdown)?;

    let source = host::Source {
        hostname: config.hostname.clone(),
        cluster: config.cluster.clone(),
        custom_dir: config.custom_certs_dir.clone(),
        custom_watched: custom.is_watched(),
        sets: Sets {
            certificates: Some(certificates.clone()),
            own: Some(own.subscribe()),
            bundle: Some(fallback.clone()),
        },
    };
    let identity = host::look(&source).identity(id);
    let (welcomed, welcomed_receiver) = watch::channel(false);
    let reports = report::run(outbox.clone(), source, welcomed_receiver, look_now, shutdown.clone());
    tasks.spawn_critical("reports", shutdown.clone(), reports);

    let link = Link {
        target: config.target(),
        certificates,
        own: Some(own),
        bundle: Some(fallback),
        identity,
        commands,
        outbox,
        board,
        welcomed,
        tasks: tasks.clone(),
        share: random::share,
    };
    tasks.spawn_critical("link", shutdown.clone(), link.run(shutdown.clone()));
    Ok(())
}

/// Starts to follow the custom directory and, unless the bundle is a string, the bundle directory.
fn rotate(
    config: &Config,
    custom: &CustomDir,
    foundation: Foundation,
    bundle: (watch::Sender<Arc<Material>>, watch::Receiver<Arc<Material>>),
    outcomes: mpsc::Sender<Outcome>,
    tasks: &Tasks,
    shutdown: &CancellationToken,
) -> anyhow::Result<Subscriber<ClientConfig>> {
    let (bundle, fallback) = bundle;
    let (certificates, rotation) =
        Rotation::start(Channel::Defender, custom, foundation.custom, fallback, certs::tls::defender_client)
            .map_err(StartError::Custom)?;
    tasks.spawn_critical("rotation", shutdown.clone(), rotation.run(outcomes, shutdown.clone()));
    if config.install_bundle.is_none() {
        let (dir, poll) = (config.install_bundle_dir.clone(), config.custom_certs_poll);
        let stop = shutdown.clone();
        tasks.spawn("bundle", start::follow_bundle(dir, poll, bundle, stop));
    }
    Ok(certificates)
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
