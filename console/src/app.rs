//! The Console from its configuration to its end: what is opened in which order, what runs, and in what order it
//! stops (accept no more -> tell peers -> drain until the deadline -> flush the store).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certs::{CustomDir, Guard, Outcome};
use lifecycle::{Instance, Tasks, descriptors, signal};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::alerts::{Alerts, Sources};
use crate::authority::AuthorityRotation;
use crate::backup::{self, keeper::Keeper};
use crate::channels::Channels;
use crate::config::{Config, Database};
use crate::door::Door;
use crate::enroll::{self, Enrolment, Lives};
use crate::fleet::{EventKind, Fleet, Record, others};
use crate::gateway::{Gateway, Parts, Timing};
use crate::meet::Meeting;
use crate::metrics::Metrics;
use crate::names::ExtraNames;
use crate::public_url::PublicAddress;
use crate::refusals::Refusals;
use crate::sockets::Sockets;
use crate::store::Store;
use crate::store::audits::Chain;
use crate::store::fleet::CertificateSeen;
use crate::store::writer::Writer;
use crate::web;

/// Runs the Console until SIGTERM or SIGINT.
///
/// # Errors
/// Why it cannot start, with the remedy; or that a part which it cannot do without has ended.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let front = Tasks::new();
    let shutdown = CancellationToken::new();
    // First of all: a stop during a slow start (a database that does not answer) must be heard too.
    signal::listen(&front, shutdown.clone())?;
    let opened = tokio::select! {
        opened = Opened::open(&config) => opened?,
        () = shutdown.cancelled() => return Ok(()),
    };
    opened.serve(config, front, shutdown).await
}

/// Everything that the start needs and can fail on; nobody is served yet.
struct Opened {
    descriptors: u64,
    /// Held until the end.
    _instance: Instance,
    store: Store,
    public_url: PublicAddress,
    records: Vec<Record>,
    seen: Vec<CertificateSeen>,
    guard: Guard,
    enrolled: enroll::State,
    channels: Channels,
    access: Access,
    sockets: Sockets,
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
        Ok(Self {
            descriptors,
            _instance: instance,
            channels: Channels::open(&own_dir, &custom_dir, names, &extra, &guard, now)?,
            access: Access::open(store.clone(), &config.admin).await?,
            sockets: Sockets::bind(config)?,
            public_url: PublicAddress::open(store.clone(), config.public_url.clone()).await?,
            records: store.defenders().await?,
            seen: store.certificates_seen().await?,
            guard,
            enrolled: store.enrolment().await?,
            store,
        })
    }

    /// Serves until shutdown, then stops in good order.
    async fn serve(self, config: Config, front: Tasks, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self {
            descriptors,
            _instance,
            store,
            public_url,
            records,
            seen,
            guard,
            enrolled,
            channels,
            access,
            sockets,
        } = self;
        let now = OffsetDateTime::now_utc();
        let back = Tasks::new();
        let flush = CancellationToken::new();
        let (writer, writer_task) = Writer::new(store.clone(), &records);
        back.spawn_critical("store writer", flush.clone(), writer_task.run(flush.clone()));
        let fleet = Fleet::new(records, seen, writer, guard.clone());
        let enrolment = Enrolment::new(
            Arc::clone(&channels.authority),
            channels.defender.clone(),
            store.clone(),
            enrolled,
            Lives { own: config.defender_certificate_life, return_within: config.defender_return_within },
        );
        back.spawn_critical("enrolment", flush.clone(), enrolment.clone().run(flush.clone()));
        keep_bundle(&enrolment, config.install_bundle_dir.as_deref()).await;

        let metrics = Metrics::new(now);
        let refusals = Refusals::new(fleet.clone(), metrics.clone());
        let names = ExtraNames::new(store.clone(), Arc::clone(&channels.renewal));
        let rotation = AuthorityRotation {
            renewal: Arc::clone(&channels.renewal),
            names: names.clone(),
            enrolment: enrolment.clone(),
            fleet: fleet.clone(),
            store: store.clone(),
        };
        let keeper = Keeper::new(store.clone(), config.database.clone(), &config.data_dir);
        let sources = Sources {
            backups: keeper.clone(),
            fleet: fleet.clone(),
            https: channels.https.clone(),
            defender: channels.defender.clone(),
            enrolment: enrolment.clone(),
            names: names.clone(),
            started: now,
        };
        let alerts = Alerts::open(store.clone(), sources, hostname()).await?;
        let meeting =
            Meeting::new(fleet.clone(), store.clone(), channels.defender.clone(), config.rotation_policy);
        let door = Door::new(places(descriptors)).announced_by(config.proxies.defender);
        let ready = web::Ready::default();
        let state = web::AppState {
            access,
            backups: keeper.clone(),
            alerts: alerts.clone(),
            authority: rotation.clone(),
            custom_dir: channels.custom_dir.clone(),
            defender: channels.defender.clone(),
            defender_port: sockets.defender.1.port(),
            enrolment: enrolment.clone(),
            fleet: fleet.clone(),
            https: channels.https.clone(),
            meeting: meeting.clone(),
            metrics: metrics.clone(),
            names: names.clone(),
            public_url,
            ready: ready.clone(),
            refusals: refusals.clone(),
            store: store.clone(),
        };
        let router = web::router(state);
        let timing = Timing { heartbeat: config.heartbeat, grace: config.rotation_grace };
        let defender_tls = channels.defender.clone();
        let parts = Parts {
            fleet: fleet.clone(),
            enrolment: enrolment.clone(),
            meeting: meeting.clone(),
            metrics: metrics.clone(),
            refusals,
            tls: defender_tls,
            guard,
        };
        let gateway = Gateway::new(parts, timing, front.clone(), shutdown.clone());
        front.spawn_critical(
            "defender listener",
            shutdown.clone(),
            gateway.serve(sockets.defender.0, door.clone()),
        );
        let front_end = web::listener::FrontEnd {
            router,
            grace: config.rotation_grace,
            proxies: config.proxies.trusted,
            tasks: front.clone(),
            shutdown: shutdown.clone(),
        };
        let https_door = Door::new(places(descriptors)).announced_by(config.proxies.https);
        let https = front_end.clone().serve(sockets.https.0, channels.https.clone(), https_door);
        front.spawn_critical("https listener", shutdown.clone(), https);
        if let Some((listener, address)) = sockets.http {
            tracing::info!(
                http = address.to_string(),
                "Plain HTTP is on, for an ingress that terminates TLS"
            );
            front.spawn_critical("http listener", shutdown.clone(), front_end.serve_plain(listener));
        }
        front.spawn("last contacts", note_seen(fleet.clone(), shutdown.clone()));
        front.spawn("fleet samples", take_samples(fleet.clone(), shutdown.clone()));
        if matches!(config.database, Database::Postgres(_)) {
            let following = others::follow(fleet.clone(), store.clone(), shutdown.clone());
            front.spawn("decisions of other Consoles", following);
        }
        let (outcomes, outcomes_received) = mpsc::channel(OUTCOMES);
        let meeting = meeting.run(channels.gatekeeper.clone(), shutdown.clone());
        back.spawn_critical("custom certificates and fleet", shutdown.clone(), meeting);
        channels.run(&back, &outcomes, &shutdown);
        back.spawn_critical("authority rotation", shutdown.clone(), rotation.run(shutdown.clone()));
        back.spawn_critical("certificate renewal", shutdown.clone(), names.run(shutdown.clone()));
        back.spawn(
            "certificate events",
            announce(outcomes_received, metrics, fleet, alerts.clone(), enrolment, config.install_bundle_dir),
        );
        drop(outcomes);

        front.spawn_critical("backups", shutdown.clone(), keeper.run(shutdown.clone()));
        back.spawn("audit check", check_audits(store.clone(), alerts.clone(), shutdown.clone()));
        alerts.run(&back, &shutdown);

        ready.set();
        tracing::info!(
            https = sockets.https.1.to_string(),
            defender = sockets.defender.1.to_string(),
            "Console is ready"
        );
        let lost = tokio::select! {
            () = shutdown.cancelled() => false,
            () = front.lost() => true,
            () = back.lost() => true,
        };
        shutdown.cancel();
        front.drain(DRAIN).await;
        flush.cancel();
        back.drain(DRAIN).await;
        store.close().await;
        anyhow::ensure!(!lost, "a part of the Console has ended, see above: restart the Console");
        tracing::info!("Console stopped");
        Ok(())
    }
}

/// Keeps on disk when connected Defenders were last heard, for a Console that is killed.
async fn note_seen(fleet: Fleet, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(NOTE_SEEN_EVERY) => fleet.note_seen(),
            () = shutdown.cancelled() => return,
        }
    }
}

/// Counts the fleet for the charts, at the start and then every minute.
async fn take_samples(fleet: Fleet, shutdown: CancellationToken) {
    let mut minute = tokio::time::interval(SAMPLE_EVERY);
    minute.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = minute.tick() => fleet.take_sample(OffsetDateTime::now_utc()),
            () = shutdown.cancelled() => return,
        }
    }
}

/// Passes rotations and refusals on to the readers of events, and keeps the bundle of the same host current.
async fn announce(
    mut outcomes: mpsc::Receiver<Outcome>,
    metrics: Metrics,
    fleet: Fleet,
    alerts: Alerts,
    enrolment: Enrolment,
    bundle_dir: Option<std::path::PathBuf>,
) {
    while let Some(outcome) = outcomes.recv().await {
        metrics.certificates(&outcome);
        fleet.announce(OffsetDateTime::now_utc(), EventKind::from(outcome));
        alerts.look();
        keep_bundle(&enrolment, bundle_dir.as_deref()).await;
    }
}

/// Says so when the audit log is not as it was written. Beside everything else: a long log takes its time.
async fn check_audits(store: Store, alerts: Alerts, shutdown: CancellationToken) {
    let chain = tokio::select! {
        chain = store.verify_audits() => chain,
        () = shutdown.cancelled() => return,
    };
    match &chain {
        Ok(Chain::Broken { entry, .. }) => {
            alerts.report_audit(Some(format!("entry {entry} does not follow from the one before")));
        }
        Ok(Chain::Short { entry }) => {
            alerts.report_audit(Some(format!("the entries after {entry} are missing")));
        }
        Ok(Chain::Unbroken { .. }) => alerts.report_audit(None),
        Err(_) => {}
    }
    match chain {
        Ok(Chain::Broken { entry, time, action, object }) => tracing::error!(
            entry,
            time = time.to_string(),
            action,
            object,
            remedy = AUDITS_REMEDY,
            "The audit log was tampered with: this entry does not follow from the one before"
        ),
        Ok(Chain::Short { entry }) => tracing::error!(
            entry,
            remedy = AUDITS_REMEDY,
            "The audit log was tampered with: the entries after this one are missing"
        ),
        Ok(Chain::Unbroken { entries }) => tracing::debug!(entries, "The audit log is unbroken"),
        Err(error) => tracing::warn!(
            error = lifecycle::logging::error_chain(&error),
            "Cannot check the audit log, it goes on unchecked until the next start"
        ),
    }
}

async fn keep_bundle(enrolment: &Enrolment, dir: Option<&Path>) {
    let Some(dir) = dir else { return };
    if let Err(error) = enroll::keep_bundle(enrolment, dir).await {
        tracing::error!(
            error = lifecycle::logging::error_chain(&error),
            remedy = "make the directory of --install-bundle-dir writable for the Console",
            "Cannot keep the install bundle"
        );
    }
}

fn hostname() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

/// Connections that may wait at one listener without having said who they are: a share of what may be open.
fn places(descriptors: u64) -> usize {
    usize::try_from(descriptors / 2).unwrap_or(usize::MAX).clamp(64, 16_384)
}

const AUDITS_REMEDY: &str = "compare with a backup of the database, and find out who else can write to it; new entries are chained on";

/// How long peers may take to finish when the Console stops.
const DRAIN: Duration = Duration::from_secs(5);

/// The most by which the last contact of a Defender is out of date after a crash.
const NOTE_SEEN_EVERY: Duration = Duration::from_secs(5 * 60);

/// Distance of the points of the charts.
const SAMPLE_EVERY: Duration = Duration::from_secs(60);

/// Rotations and refusals on their way to the readers of events; when it is full, a channel waits with its next.
const OUTCOMES: usize = 64;
