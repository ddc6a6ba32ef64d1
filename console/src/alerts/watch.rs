//! Applies the rules every few seconds, and at once when something has changed.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::alert::{Alert, Condition, Kind, Severity};
use super::notice::{Notice, Occasion};
use super::rules::{self, Changes};
use super::{Alerts, Channel, State};
use crate::fleet::EventKind;
use crate::store::StoreError;
use crate::store::alerts::AlertRows;

/// Looks until shutdown.
pub(super) async fn run(alerts: Alerts, shutdown: CancellationToken) {
    let mut next_prune = Instant::now();
    loop {
        if let Err(error) = look(&alerts).await {
            tracing::error!(
                error = lifecycle::logging::error_chain(&error),
                "Cannot read or write alerts, they are looked at again soon"
            );
        }
        if next_prune <= Instant::now() {
            next_prune = Instant::now() + PRUNE_EVERY;
            if let Err(error) = alerts.store().prune_alerts(OffsetDateTime::now_utc()).await {
                tracing::warn!(error = lifecycle::logging::error_chain(&error), "Cannot remove old alerts");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => continue,
            () = alerts.0.look.notified() => {}
        }
        // What comes in a burst is looked at in one go.
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(SETTLE) => {}
        }
    }
}

async fn look(alerts: &Alerts) -> Result<(), StoreError> {
    let open = alerts.store().open_alerts().await?;
    let (settings, audit) = {
        let State { settings, audit, .. } = &*alerts.state();
        (settings.clone(), audit.clone())
    };
    let sources = alerts.0.sources.clone();
    let judging = tokio::task::spawn_blocking(move || {
        let now = OffsetDateTime::now_utc();
        let facts = sources.gather(&settings, audit, now);
        let changes = rules::judge(&facts, &open, &settings.expiry_days, now);
        (changes, open, now)
    });
    let Ok((changes, open, now)) = judging.await else { return Ok(()) };
    apply(alerts, changes, open, now).await
}

/// Writes the changes, tells the readers of events, and wakes who sends.
async fn apply(
    alerts: &Alerts,
    changes: Changes,
    open: Vec<Alert>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let Changes { raise, resolve, supersede } = changes;
    let mut rows = AlertRows::default();
    let mut told: Vec<(Occasion, Alert)> = Vec::new();
    for condition in raise {
        let known =
            if condition.is_told_once() { alerts.store().alert_of(&condition.key).await? } else { None };
        match known {
            Some(id) => rows.reopened.push(id),
            None => {
                let alert = Alert::new(condition, now);
                told.push((Occasion::Raised, alert.clone()));
                rows.raised.push(alert);
            }
        }
    }
    let mut superseded = Vec::new();
    for alert in open {
        let over = Alert { resolved_at: Some(now), ..alert };
        if resolve.contains(&over.condition) {
            told.push((Occasion::Resolved, over));
        } else if supersede.contains(&over.condition) {
            superseded.push(over);
        }
    }
    let is_over = |(occasion, _): &&(Occasion, Alert)| *occasion == Occasion::Resolved;
    let over = told.iter().filter(is_over).map(|(_, alert)| alert).chain(&superseded);
    rows.resolved = over.map(|alert| (alert.id, now)).collect();
    if rows.raised.is_empty() && rows.resolved.is_empty() && rows.reopened.is_empty() {
        return refresh(alerts).await;
    }
    let (settings, _) = alerts.current();
    // An alert that was raised to try the banner out is told to nobody else.
    for (occasion, alert) in told.iter().filter(|(_, alert)| alert.kind != Kind::Test) {
        for channel in Channel::ALL.into_iter().filter(|channel| channel.is_on(&settings)) {
            let notice = Notice::new(*occasion, alert.clone(), &alerts.0.console, now);
            rows.messages.push(notice.message(channel.id()));
        }
    }
    alerts.store().write_alerts(&rows).await?;
    refresh(alerts).await?;
    for (occasion, alert) in &told {
        announce(alerts, *occasion, alert, now);
    }
    for alert in &superseded {
        alerts.0.sources.fleet.announce(now, EventKind::AlertResolved(alert.into()));
    }
    Channel::ALL.into_iter().for_each(|channel| alerts.wake(channel));
    Ok(())
}

fn announce(alerts: &Alerts, occasion: Occasion, alert: &Alert, now: OffsetDateTime) {
    let event = match occasion {
        Occasion::Resolved => {
            tracing::info!(alert = alert.id.to_string(), summary = alert.summary, "Alert resolved");
            EventKind::AlertResolved(alert.into())
        }
        Occasion::Raised | Occasion::Test => {
            macro_rules! tell {
                ($level:ident) => {
                    tracing::$level!(
                        alert = alert.id.to_string(),
                        severity = alert.severity.as_str(),
                        summary = alert.summary,
                        remedy = alert.remedy,
                        "Alert raised"
                    )
                };
            }
            match (alert.kind, alert.severity) {
                // Only here is it seen.
                (
                    Kind::CertificateExpires | Kind::DefenderDisconnected,
                    Severity::Critical | Severity::Warning,
                ) => {
                    tell!(warn);
                }
                // What is the matter has a line of its own where it is seen.
                _ => tell!(info),
            }
            EventKind::AlertRaised(alert.into())
        }
    };
    alerts.0.sources.fleet.announce(now, event);
}

async fn refresh(alerts: &Alerts) -> Result<(), StoreError> {
    let open = alerts.store().open_alerts().await?;
    alerts.state().open = open;
    Ok(())
}

/// The alert of somebody who tries out whether alerts arrive.
pub(super) fn test() -> Condition {
    Condition {
        key: format!("test/{}", Uuid::new_v4()),
        kind: Kind::Test,
        severity: Severity::Info,
        summary: "This is a test: alerts of the Console arrive here.".to_owned(),
        remedy: "Nothing is to be done.".to_owned(),
    }
}

/// Raises it; the rules resolve it after a minute.
pub(super) async fn raise_test(alerts: &Alerts) -> Result<(), StoreError> {
    let changes = Changes { raise: vec![test()], ..Changes::default() };
    apply(alerts, changes, Vec::new(), OffsetDateTime::now_utc()).await
}

const LOOK_EVERY: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_millis(100);
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
