//! `/`: the fleet and its certificates at a glance.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use time::OffsetDateTime;

use super::{Entry, Frame, PageError, Visitor, render};
use crate::web::AppState;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    connected: usize,
    disconnected: usize,
}

pub(super) async fn page(visitor: Visitor, State(state): State<AppState>) -> Result<Response, PageError> {
    let census = state.fleet.census(OffsetDateTime::now_utc());
    let disconnected = census.versions.iter().map(|(_, _, gone)| gone).sum();
    let frame = Frame::new(&state, visitor, Entry::Overview, "Overview");
    render(&Overview { frame, connected: census.sessions, disconnected })
}
