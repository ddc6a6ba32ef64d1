//! `/`: the fleet and its certificates at a glance.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use time::OffsetDateTime;

use super::alerts::AlertItem;
use super::chart::Chart;
use super::expiry::{self, Expiring};
use super::feed::Happening;
use super::{Entry, Frame, PageError, Visitor, render, words};
use crate::store::history::Sample;
use crate::web::{AppState, history};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    known: usize,
    all: String,
    connected: String,
    disconnected: usize,
    disconnected_text: String,
    /// How many certificates expire soon, and the first of all.
    soon: usize,
    soon_text: String,
    expiring: Vec<Expiring>,
    chart: Chart,
    changes: Vec<Happening>,
    events: Vec<Happening>,
    alerts: Vec<AlertItem>,
}

pub(super) async fn page(visitor: Visitor, State(state): State<AppState>) -> Result<Response, PageError> {
    let now = OffsetDateTime::now_utc();
    let (known, connected) = (state.fleet.known(), state.fleet.connected());
    let disconnected = known.saturating_sub(connected);
    let mut samples = history::samples(&state, Some(24), Some(1)).await?;
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    samples.insert(0, Sample { time: now, connected: count(connected), disconnected: count(disconnected) });
    let (changes, _) = state.store.certificate_changes("", 0, CHANGES).await?;
    let (expiring, soon) = expiry::due(&state, now, EXPIRING);
    let frame = Frame::new(&state, visitor, Entry::Overview, "Overview");
    render(&Overview {
        frame,
        known,
        all: words::number(known),
        connected: words::number(connected),
        disconnected,
        disconnected_text: words::number(disconnected),
        soon,
        soon_text: words::number(soon),
        expiring,
        chart: Chart::new(&samples, now),
        changes: changes.iter().map(Happening::change).collect(),
        events: Happening::newest(&state.fleet, EVENTS),
        alerts: AlertItem::all(&state.alerts),
    })
}

/// How many of each list are shown.
const CHANGES: usize = 6;
const EVENTS: u64 = 12;
const EXPIRING: usize = 7;
