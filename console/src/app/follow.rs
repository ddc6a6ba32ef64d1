//! What goes on beside the listeners: certificates, alerts, backups, and what is noted from time to time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use certs::Outcome;
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Running;
use super::parts::Parts;
use crate::alerts::Alerts;
use crate::config::{Config, Database};
use crate::enroll::{self, Enrolment};
use crate::fleet::{EventKind, Fleet, others};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::audits::Chain;

/// Starts all of it. What is returned ends once the install bundle of the same host was looked after, if one is kept.
pub(super) fn follow(parts: Parts, config: &Config, running: &Running) -> oneshot::Receiver<()> {
    let Running { front, back, shutdown, .. } = running;
    let Parts { alerts, channels, enrolment, fleet, store, .. } = parts;

    front.spawn("last contacts", note_seen(fleet.clone(), shutdown.clone()));
    front.spawn("fleet samples", take_samples(fleet.clone(), shutdown.clone()));
    if matches!(config.database, Database::Postgres(_)) {
        let following = others::follow(fleet.clone(), store.clone(), shutdown.clone());
        front.spawn("decisions of other Consoles", following);
    }
    front.spawn_critical("backups", shutdown.clone(), parts.keeper.run(shutdown.clone()));

    let meeting = parts.meeting.run(channels.gatekeeper.clone(), shutdown.clone());
    back.spawn_critical("custom certificates and fleet", shutdown.clone(), meeting);
    let (outcomes, received) = mpsc::channel(OUTCOMES);
    channels.run(back, &outcomes, shutdown);
    back.spawn_critical("authority rotation", shutdown.clone(), parts.rotation.run(shutdown.clone()));
    back.spawn_critical("certificate renewal", shutdown.clone(), parts.names.run(shutdown.clone()));
    let rotated = Arc::<Notify>::default();
    let announcing = announce(received, parts.metrics, fleet, alerts.clone(), Arc::clone(&rotated));
    back.spawn("certificate events", announcing);
    let (kept, is_kept) = oneshot::channel();
    if let Some(dir) = config.install_bundle_dir.clone() {
        let keeping = keep_bundle(enrolment, dir, kept, rotated, shutdown.clone());
        back.spawn("install bundle", keeping);
    }
    back.spawn("audit check", check_audits(store, alerts.clone(), shutdown.clone()));
    alerts.run(back, shutdown);
    is_kept
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

/// Passes rotations and refusals on to the readers of events, and to who keeps the bundle of the same host.
async fn announce(
    mut outcomes: mpsc::Receiver<Outcome>,
    metrics: Metrics,
    fleet: Fleet,
    alerts: Alerts,
    rotated: Arc<Notify>,
) {
    while let Some(outcome) = outcomes.recv().await {
        metrics.certificates(&outcome);
        fleet.announce(OffsetDateTime::now_utc(), EventKind::from(outcome));
        alerts.look();
        rotated.notify_one();
    }
}

/// Keeps the bundle of the same host current, from the start on. On its own, because its directory may hang.
async fn keep_bundle(
    enrolment: Enrolment,
    dir: PathBuf,
    first: oneshot::Sender<()>,
    rotated: Arc<Notify>,
    shutdown: CancellationToken,
) {
    let (mut is_told, mut first) = (false, Some(first));
    loop {
        let kept = tokio::select! {
            kept = enroll::keep_bundle(&enrolment, &dir, &mut is_told) => kept,
            () = shutdown.cancelled() => return,
        };
        if let Err(error) = kept {
            tracing::error!(
                error = lifecycle::logging::error_chain(&error),
                remedy = "make the directory of --install-bundle-dir writable for the Console",
                "Cannot keep the install bundle"
            );
        }
        if let Some(first) = first.take() {
            // Nobody may be waiting any more.
            let _ = first.send(());
        }
        tokio::select! {
            () = rotated.notified() => {}
            () = shutdown.cancelled() => return,
        }
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

const AUDITS_REMEDY: &str = "compare with a backup of the database, and find out who else can write to it; new entries are chained on";

/// The most by which the last contact of a Defender is out of date after a crash.
const NOTE_SEEN_EVERY: Duration = Duration::from_secs(5 * 60);

/// Distance of the points of the charts.
const SAMPLE_EVERY: Duration = Duration::from_secs(60);

/// Rotations and refusals on their way to the readers of events; when it is full, a channel waits with its next.
const OUTCOMES: usize = 64;
