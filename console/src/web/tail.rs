//! The log of a Defender as it grows, as server-sent events: long polls over its connection, one after the other.
//!
//! `connected`, then a `line` each; `dropped` where lines are missing; `disconnected` when the Defender is gone, and
//! `connected` once it is back. The id of a line is `BOOT:N`, so that a reader comes back to where it was.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use protocol::command::{LogArgs, LogPage};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::AppState;
use super::auth::LogReader;
use super::defenders::UNKNOWN;
use super::error::ApiError;
use super::input::{Id, Parameters};
use super::listener::Peer;
use super::log::{amount, one_line, page};
use crate::fleet::{CommandError, EventKind, Fleet};

/// Parameters of the stream.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// How many lines that are there already come first, 100 unless told.
    #[param(minimum = 1, maximum = 100_000)]
    lines: Option<u64>,
}

/// A Defender's own log as it grows, for administrators, operators and auditors: server-sent events `connected`
/// `{"boot"}`, `line` `{"n","text"}`, `dropped` `{"lines"}`, `disconnected` `{"detail"}`, and `refused` `{"detail"}` at
/// the end of a stream that cannot go on.
#[utoipa::path(get, path = "/defenders/{id}/log/stream", tag = "defenders", operation_id = "log_stream",
    params(("id" = uuid::Uuid, Path), From,
        ("Last-Event-ID" = Option<String>, Header, description = "Begin after this line")),
    responses((status = 200, description = "Lines until the reader leaves", body = String,
            content_type = "text/event-stream"),
        (status = 404, description = "No such Defender, or decommissioned"),
        (status = 409, description = "The Defender is too old, or refuses; see `type`"),
        (status = 502, description = "The Defender's answer cannot be used")))]
pub(super) async fn stream(
    LogReader(caller): LogReader,
    peer: Peer,
    Id(id): Id,
    Parameters(From { lines }): Parameters<From>,
    headers: HeaderMap,
    State(state): State<AppState>,
) -> Result<impl IntoResponse, ApiError> {
    let args = match last_line(&headers)? {
        Some((boot, after)) => LogArgs { after: Some(after), boot: Some(boot), ..LogArgs::default() },
        None => LogArgs { lines: Some(amount(lines, DEFAULT_LINES)?), ..LogArgs::default() },
    };
    state.fleet.get(id).ok_or(UNKNOWN)?;
    let mut tail =
        Tail { fleet: state.fleet, id, args, shown: None, pending: VecDeque::new(), is_over: false };
    tail.begin().await?;
    let ended = state.access.until_ended(&caller);
    let until = Box::pin(async move {
        tokio::select! {
            () = ended => {}
            () = peer.ending.cancelled() => {}
            () = peer.stopping.cancelled() => {}
        }
    });
    let events = stream::unfold(Reader { tail, until }, Reader::next);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")))
}

/// One reader, until it must come back: its user may not read any more, or its connection ends.
struct Reader {
    tail: Tail,
    until: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.tail.pending.pop_front() {
                return Some((Ok(event), self));
            }
            if self.tail.is_over {
                return None;
            }
            tokio::select! {
                biased;
                () = &mut self.until => return None,
                () = self.tail.step() => {}
            }
        }
    }
}

/// Where a reader is in the log of one Defender.
struct Tail {
    fleet: Fleet,
    id: Uuid,
    /// What is asked for next.
    args: LogArgs,
    /// What the reader was told last: the process that is read, or that there is none.
    shown: Option<Option<Uuid>>,
    pending: VecDeque<Event>,
    is_over: bool,
}

impl Tail {
    /// What is there already. Who cannot be read at all is an error, not a stream.
    async fn begin(&mut self) -> Result<(), ApiError> {
        self.pending.push_back(Event::default().comment("connecting").retry(RETRY));
        match self.poll().await {
            // It may be moving to a new connection: the next step tells.
            Ok(()) | Err(CommandError::Gone) => Ok(()),
            Err(error @ (CommandError::NotConnected | CommandError::TimedOut(_))) => {
                self.tell_disconnected(&error);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The next page, or what keeps it from coming.
    async fn step(&mut self) {
        self.args.wait_seconds = Some(WAIT.as_secs());
        let begun = Instant::now();
        match self.poll().await {
            Ok(()) => {
                // A Defender that does not wait as it was told must not make this one spin.
                if self.pending.is_empty() && begun.elapsed() < PAUSE {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Err(error @ CommandError::NotConnected) => {
                self.tell_disconnected(&error);
                self.wait_for_connection().await;
            }
            Err(error @ CommandError::TimedOut(_)) => self.tell_disconnected(&error),
            // It may have moved to a new connection, which is nothing to tell.
            Err(CommandError::Busy | CommandError::Gone) => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                let data = json!({ "detail": error.to_string() }).to_string();
                self.pending.push_back(Event::default().event("refused").data(data));
                self.is_over = true;
            }
        }
    }

    async fn poll(&mut self) -> Result<(), CommandError> {
        let session = self.fleet.session(self.id)?;
        let page = page(&session, &self.args, PATIENCE).await?;
        self.show(&page);
        self.args = LogArgs { after: Some(page.next), boot: Some(page.boot), ..LogArgs::default() };
        Ok(())
    }

    fn show(&mut self, page: &LogPage) {
        let boot = page.boot;
        if self.shown.replace(Some(boot)) != Some(Some(boot)) {
            let data = json!({ "boot": boot }).to_string();
            self.pending.push_back(Event::default().event("connected").data(data));
        }
        // Who asked for more lines than there are misses none.
        if page.dropped > 0 && self.args.after.is_some() {
            let data = json!({ "lines": page.dropped }).to_string();
            self.pending.push_back(Event::default().event("dropped").data(data));
        }
        for line in &page.lines {
            let data = json!({ "n": line.n, "text": one_line(&line.text) }).to_string();
            let id = format!("{boot}:{}", line.n);
            self.pending.push_back(Event::default().id(id).event("line").data(data));
        }
    }

    fn tell_disconnected(&mut self, error: &CommandError) {
        if self.shown.replace(None) != Some(None) {
            let data = json!({ "detail": error.to_string() }).to_string();
            self.pending.push_back(Event::default().event("disconnected").data(data));
        }
    }

    /// Returns at once while the reader has something to read.
    async fn wait_for_connection(&mut self) {
        if !self.pending.is_empty() {
            return;
        }
        // First the events, then the look: nothing that happens between them is missed.
        let mut live = self.fleet.events_since(None).live;
        while self.fleet.session(self.id).is_err() {
            if self.fleet.get(self.id).is_none() {
                self.is_over = true;
                return;
            }
            loop {
                match live.recv().await {
                    Ok(event) => match &event.kind {
                        EventKind::DefenderConnected(facts) if facts.id == self.id => break,
                        EventKind::DefenderDecommissioned(facts) if facts.id == self.id => {
                            self.is_over = true;
                            return;
                        }
                        _ => {}
                    },
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => {
                        self.is_over = true;
                        return;
                    }
                }
            }
        }
    }
}

/// Process and line that the reader saw last.
fn last_line(headers: &HeaderMap) -> Result<Option<(Uuid, u64)>, ApiError> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.as_bytes().trim_ascii().is_empty())
    else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let parts = text.split_once(':').and_then(|(boot, n)| Some((boot.parse().ok()?, n.parse().ok()?)));
    let fault =
        || ApiError::BadRequest("Last-Event-ID is the id of a line of this stream, BOOT:N".to_owned());
    parts.map(Some).ok_or_else(fault)
}

const DEFAULT_LINES: u64 = 100;

/// How long a Defender waits for its next line. Who leaves meanwhile is waited for no longer than that.
const WAIT: Duration = Duration::from_secs(10);

/// How long a page may take in all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two attempts that came to nothing.
const PAUSE: Duration = Duration::from_millis(500);

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a reader waits before it comes back.
const RETRY: Duration = Duration::from_secs(1);
