//! Live events as server-sent events. `id` is the revision, so that a reader that comes back with
//! `Last-Event-ID` gets what it missed, or a `resync` event: then it takes a new snapshot.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::broadcast::error::RecvError;

use super::AppState;
use super::auth::AnyUser;
use super::error::ApiError;
use super::listener::Peer;
use crate::fleet::{EventStream, Fleet, FleetEvent};

/// One reader.
struct Reader {
    fleet: Fleet,
    /// What is sent before anything live.
    pending: VecDeque<Event>,
    stream: EventStream,
    until: Until,
}

/// What ends a stream. The reader comes back: after a rotation on a connection with the new certificate, after a
/// change of users if it still may.
struct Until {
    /// What the reader called with has ended.
    ended: Wait,
    /// A rotation of HTTPS was a moment ago, or the Console stops.
    over: Wait,
}

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Live events: `alert.raised`, `alert.resolved`, `authority.progress`, `authority.rotated`, `certificates.refused`,
/// `certificates.rotated`, `defender.cloned`, `defender.connected`, `defender.decommissioned`, `defender.disconnected`,
/// `defender.refused`, `return.approved`, `return.waiting`; data is JSON with `time` and `revision`. After `resync` take
/// new snapshots.
#[utoipa::path(get, path = "/events", tag = "events",
    params(("Last-Event-ID" = Option<u64>, Header, description = "Send what came after this event first")),
    responses((status = 200, description = "Events until the reader leaves", body = String,
        content_type = "text/event-stream")))]
pub(super) async fn stream(
    AnyUser(caller): AnyUser,
    peer: Peer,
    headers: HeaderMap,
    State(state): State<AppState>,
) -> Result<impl IntoResponse, ApiError> {
    let last = last_event_id(&headers)?;
    let ended = state.access.until_ended(&caller);
    let reader = Reader::new(state.fleet, last, Until::new(ended, peer));
    let events = stream::unfold(reader, Reader::next);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")))
}

impl Reader {
    fn new(fleet: Fleet, last: Option<u64>, until: Until) -> Self {
        let stream = fleet.events_since(last);
        // At once, so that the headers are not held back until something happens.
        let hello = Event::default().comment("connected").retry(RETRY);
        let mut pending = VecDeque::new();
        if stream.missed {
            pending.extend([hello, resync(stream.revision)]);
        } else {
            // Also a reader that leaves before it saw an event comes back with the id of where it was.
            pending.push_back(hello.id(last.unwrap_or(stream.revision).to_string()));
            pending.extend(stream.replay.iter().map(event));
        }
        Self { fleet, pending, stream, until }
    }

    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if let Some(event) = self.pending.pop_front() {
            return Some((Ok(event), self));
        }
        let next = tokio::select! {
            biased;
            () = &mut self.until.ended => return None,
            next = self.stream.live.recv() => next,
            () = &mut self.until.over => return None,
        };
        let event = match next {
            Ok(next) => event(&next),
            Err(RecvError::Lagged(_)) => {
                self.stream = self.fleet.events_since(None);
                resync(self.stream.revision)
            }
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), self))
    }
}

impl Until {
    fn new(ended: impl Future<Output = ()> + Send + 'static, peer: Peer) -> Self {
        let over = async move {
            peer.ending.cancelled().await;
            tokio::select! {
                () = tokio::time::sleep(ROTATION_EVENTS) => {}
                () = peer.stopping.cancelled() => {}
            }
        };
        Self { ended: Box::pin(ended), over: Box::pin(over) }
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    // Some clients send an empty one when they have none yet.
    let Some(value) = headers.get("last-event-id").filter(|value| !value.as_bytes().trim_ascii().is_empty())
    else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let fault =
        || ApiError::BadRequest("Last-Event-ID is the id of an event of this stream, a number".to_owned());
    number.map(Some).ok_or_else(fault)
}

fn event(event: &Arc<FleetEvent>) -> Event {
    let data = serde_json::to_string(&**event).unwrap_or_default();
    Event::default().id(event.revision.to_string()).event(event.name()).data(data)
}

fn resync(revision: u64) -> Event {
    let time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let data = json!({ "time": time, "revision": revision }).to_string();
    Event::default().id(revision.to_string()).event("resync").data(data)
}

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a reader waits before it comes back.
const RETRY: Duration = Duration::from_secs(1);

/// How long after a rotation a stream goes on: its event, and those of the other channels whose files came with it, are
/// still on their way.
const ROTATION_EVENTS: Duration = Duration::from_secs(1);
