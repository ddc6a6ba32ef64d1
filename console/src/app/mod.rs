//! The Console from its configuration to its end: what is opened in which order, what runs, and in what order it
//! stops (accept no more -> tell peers -> drain until the deadline -> flush the store).
//!
//! ```text
//! mod.rs      the order of start and stop
//! parts.rs    what the Console consists of: opened, then wired
//! listen.rs   who answers at the sockets
//! follow.rs   what goes on beside the listeners
//! ```

use std::time::Duration;

use certs::{CustomDir, Guard};
use lifecycle::{Instance, Tasks, descriptors, service, signal};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::backup;
use crate::channels::Channels;
use crate::config::Config;
use crate::names::ExtraNames;
use crate::public_url::PublicAddress;
use crate::sockets::Sockets;
use crate::store::Store;
use crate::web;
use parts::{Ground, Parts};

mod follow;
mod listen;
mod parts;

/// Runs the Console until SIGTERM or SIGINT.
///
/// # Errors
/// Why it cannot start, with the remedy; or that a part which it cannot do without has ended.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let running = Running::default();
    // First of all: a stop during a slow start (a database that does not answer) must be heard too.
    signal::listen(&running.front, running.shutdown.clone())?;
    let opened = tokio::select! {
        opened = Opened::open(&config) => opened?,
        () = running.shutdown.cancelled() => return Ok(()),
    };
    let Opened { _instance, descriptors, sockets, ground } = opened;
    let store = ground.store.clone();
    let parts = Parts::wire(ground, &config, &running).await?;
    let (https, defender) = (sockets.https.1.to_string(), sockets.defender.1.to_string());
    let ready = web::Ready::default();
    listen::listen(sockets, descriptors, &parts, &ready, &config, &running);
    let bundle = follow::follow(parts, &config, &running);
    // Who waits for the Console finds the bundle of this host in its place; a directory that hangs holds nothing up.
    tokio::select! {
        _ = tokio::time::timeout(BUNDLE, bundle) => {}
        () = running.shutdown.cancelled() => {}
    }
    ready.set();
    tracing::info!(https, defender, "Console is ready");
    service::ready();
    running.serve_and_stop(&store).await
}

/// Everything that the start needs and can fail on; nobody is served yet.
struct Opened {
    /// Held until the end.
    _instance: Instance,
    /// How many files and connections may be open.
    descriptors: u64,
    sockets: Sockets,
    ground: Ground,
}

impl Opened {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let descriptors = descriptors::raise_limit();
        let instance = Instance::take(&config.data_dir)?;
        let mut was_restored = backup::finish(&config.data_dir)?;
        let names = config.server_names(&hostname());
        let custom_dir = CustomDir::reach(&config.custom_certs_dir, config.custom_certs_poll).await;
        let now = OffsetDateTime::now_utc();
        let store = Store::open(&config.database).await?;
        was_restored |= backup::settle(&config.data_dir, &store).await?;
        if was_restored {
            tracing::info!("Completed a restore that had been interrupted");
        }
        let extra = ExtraNames::stored(&store).await?;
        let own_dir = config.data_dir.join("certificates");
        let guard = Guard::default();
        let channels = Channels::open(&own_dir, &custom_dir, names, &extra, &guard, now)?;
        let access = Access::open(store.clone(), &config.admin).await?;
        let sockets = Sockets::bind(config)?;
        let ground = Ground {
            public_url: PublicAddress::open(store.clone(), config.public_url.clone()).await?,
            records: store.defenders().await?,
            seen: store.certificates_seen().await?,
            enrolled: store.enrolment().await?,
            access,
            channels,
            guard,
            store,
        };
        Ok(Self { _instance: instance, descriptors, sockets, ground })
    }
}

/// The tasks, and what ends them.
#[derive(Default)]
struct Running {
    /// What peers hear: ends first.
    front: Tasks,
    /// What the front writes to: ends once the front has.
    back: Tasks,
    /// Ends the front.
    shutdown: CancellationToken,
    /// Ends what writes to the store.
    flush: CancellationToken,
}

impl Running {
    /// Serves until shutdown, then stops in good order.
    async fn serve_and_stop(self, store: &Store) -> anyhow::Result<()> {
        let lost = tokio::select! {
            () = self.shutdown.cancelled() => false,
            () = self.front.lost() => true,
            () = self.back.lost() => true,
        };
        self.shutdown.cancel();
        self.front.drain(DRAIN).await;
        self.flush.cancel();
        self.back.drain(DRAIN).await;
        store.close().await;
        anyhow::ensure!(!lost, "a part of the Console has ended, see above: restart the Console");
        tracing::info!("Console stopped");
        Ok(())
    }
}

fn hostname() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

/// How long the start waits for the install bundle of the same host.
const BUNDLE: Duration = Duration::from_secs(5);

/// How long peers may take to finish when the Console stops.
const DRAIN: Duration = Duration::from_secs(5);
