//! `/defenders/{id}`: one Defender, its host, its certificate, its own files and its log.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use time::OffsetDateTime;

use super::feed::ConnectionView;
use super::host::Host;
use super::words::{self, Moment, Validity};
use super::{Entry, Frame, PageError, Visitor, render};
use crate::fleet::{DefenderView, source_name};
use crate::web::AppState;
use crate::web::defenders::{HostReport, UNKNOWN};
use crate::web::error::ApiError;
use crate::web::input::Id;

#[derive(Template)]
#[template(path = "defender.html")]
struct Defender {
    frame: Frame,
    defender: DefenderView,
    last_seen: Moment,
    /// How far its clock is off, when that matters.
    clock: Option<String>,
    source: &'static str,
    validity: Validity,
    /// What it reported of its host; `None` before its first report.
    host: Option<Host>,
    /// The newest ones, newest first.
    connections: Vec<ConnectionView>,
    /// How many are kept.
    kept: u64,
}

pub(super) async fn page(
    visitor: Visitor,
    id: Result<Id, ApiError>,
    State(state): State<AppState>,
) -> Result<Response, PageError> {
    let Id(id) = id?;
    let now = OffsetDateTime::now_utc();
    let defender = state.fleet.get(id).ok_or(UNKNOWN)?;
    let report = HostReport::newest(&state, id).await?;
    let host = report.map(|report| Host::new(report, &defender.certificate.sha256, now));
    state.fleet.settle_history().await;
    let (connections, kept) = state.store.connections(id, "", 0, CONNECTIONS).await?;
    render(&Defender {
        // A name of control characters or none at all is still a title.
        frame: Frame::new(&state, visitor, Entry::Defenders, format!("Defender {}", defender.hostname)),
        last_seen: Moment::new(defender.last_seen),
        clock: defender.clock_ahead_seconds.and_then(clock),
        source: source_name(defender.certificate.source),
        validity: Validity::of_defender(&defender.certificate, now),
        host,
        connections: connections.into_iter().map(|one| ConnectionView::new(one, now)).collect(),
        kept,
        defender,
    })
}

/// How far a clock is off, when that matters.
fn clock(ahead_seconds: i64) -> Option<String> {
    let distance = words::span(time::Duration::seconds(ahead_seconds).abs());
    let direction = if ahead_seconds > 0 { "ahead of" } else { "behind" };
    (ahead_seconds.abs() > 60).then(|| format!("{distance} {direction} the Console's"))
}

/// How many connections are shown; the rest is in the CSV.
const CONNECTIONS: usize = 15;
