//! Many simulated Defenders, and `fleet`, which runs them against a Console of this machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use system_tests::place::{Channel, Manner};
use system_tests::{Api, Identity};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::cli::FleetOptions;
use crate::defender::{Counters, Defender, Order};
use crate::dial::{Dialer, parse_address, source_address};

/// Running Defenders; they stop when this is dropped.
pub(crate) struct Fleet {
    /// What they have seen.
    pub(crate) counters: Arc<Counters>,
    orders: watch::Sender<Order>,
    count: usize,
    _tasks: JoinSet<()>,
}

/// How the Defenders of a fleet behave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    /// How many there are.
    pub(crate) count: u32,
    /// Time over which they connect first.
    pub(crate) ramp: Duration,
    /// Time between two reports of one; `None` for none.
    pub(crate) report_every: Option<Duration>,
    /// Whether each reports the facts of its host when it first connects.
    pub(crate) reports_host: bool,
}

impl Fleet {
    /// Starts all of them.
    pub(crate) fn start(dialer: &Arc<Dialer>, behaviour: Behaviour) -> Self {
        let counters = Arc::<Counters>::default();
        let (orders, _) = watch::channel(Order::Run);
        let mut tasks = JoinSet::new();
        for index in 0..behaviour.count {
            let defender = Defender {
                dialer: Arc::clone(dialer),
                source: source_address(index),
                id: identity(index),
                report_every: behaviour.report_every,
                reports_host: behaviour.reports_host,
                start_after: behaviour.ramp.mul_f64(f64::from(index) / f64::from(behaviour.count)),
                counters: Arc::clone(&counters),
            };
            tasks.spawn(defender.run(orders.subscribe()));
        }
        let count = tasks.len();
        Self { counters, orders, count, _tasks: tasks }
    }

    /// How many are connected now.
    pub(crate) fn connected(&self) -> usize {
        self.counters.connected.load(Ordering::SeqCst)
    }

    /// Waits until all are connected, and returns how long that took.
    pub(crate) async fn all_connected(&self, patience: Duration) -> Result<Duration> {
        self.wait_for(self.count, patience).await
    }

    /// Drops all connections at once and waits until that is done.
    pub(crate) async fn drop_all(&self) -> Result<()> {
        self.orders.send_replace(Order::Drop);
        self.wait_for(0, Duration::from_secs(30)).await.map(drop)
    }

    /// Lets all connect again.
    pub(crate) fn run_all(&self) {
        self.orders.send_replace(Order::Run);
    }

    async fn wait_for(&self, wanted: usize, patience: Duration) -> Result<Duration> {
        let begin = Instant::now();
        while self.connected() != wanted {
            if begin.elapsed() > patience {
                bail!("{} of {wanted} Defenders after {patience:?}", self.connected());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(begin.elapsed())
    }
}

/// The same for each run, so that a Console does not fill up with Defenders of earlier runs.
fn identity(index: u32) -> Uuid {
    let version_4 = 0x4000_u128 << 64;
    let variant = 0x8000_u128 << 48;
    Uuid::from_u128(0x6761_7272_u128 << 96 | version_4 | variant | u128::from(index))
}

/// Runs `fleet` until its time is over or it is stopped.
pub(crate) async fn main(options: FleetOptions) -> Result<()> {
    let (host, port) = parse_address(&options.console_address)?;
    let dialer = Arc::new(match &options.api {
        Some(api) => {
            let dir = tempfile::tempdir()?;
            let identity = bundle_from(api, &options).await?;
            Manner::Renamed.place(dir.path(), &Channel::Defender.files(&identity.to_set()));
            Dialer::new(&host, port, dir.path())?
        }
        None => Dialer::new(&host, port, &options.bundle)?,
    });
    let every = (options.reports_per_minute > 0)
        .then(|| Duration::from_secs(60).div_f64(f64::from(options.reports_per_minute)));
    let behaviour =
        Behaviour { count: options.count, ramp: options.ramp, report_every: every, reports_host: true };
    let fleet = Fleet::start(&dialer, behaviour);
    let end = Instant::now() + options.span;
    println!("{} Defenders to {}; Ctrl-C stops", options.count, options.console_address);
    while Instant::now() < end {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => tell(&fleet),
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                break;
            }
        }
    }
    tell(&fleet);
    Ok(())
}

fn tell(fleet: &Fleet) {
    let counters = &fleet.counters;
    println!(
        "connected {} of {}, failed attempts {}, lost connections {}, moves {}, reports {} made {} acknowledged",
        fleet.connected(),
        fleet.count,
        counters.failed.load(Ordering::Relaxed),
        counters.lost.load(Ordering::Relaxed),
        counters.moves.load(Ordering::Relaxed),
        counters.reports.load(Ordering::Relaxed),
        counters.acknowledged.load(Ordering::Relaxed),
    );
}

async fn bundle_from(api: &str, options: &FleetOptions) -> Result<Identity> {
    let (_, port) = parse_address(&api.replace("https://", "wss://")).context("--api")?;
    let file: &Path = options.password_file.as_deref().context("--api needs --password-file")?;
    let password =
        std::fs::read_to_string(file).with_context(|| format!("reading password file {}", file.display()))?;
    Ok(Api::sign_in(port, &options.user, password.trim_end()).await.bundle().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_differ_and_are_random_ones_by_form() {
        let ids: Vec<Uuid> = (0..1000).map(identity).collect();
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|id| id.get_version_num() == 4));
    }
}
