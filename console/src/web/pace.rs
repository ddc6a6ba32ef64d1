//! Streams of HTTP/2 whose reader takes nothing of its answer. On HTTP/1 the connection stops, and `patient.rs` sees
//! that; here the connection goes on while one stream's window stays shut, and the answer would wait in memory for
//! good.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use lifecycle::Tasks;
use tokio::time::Instant;

/// Runs the streams of HTTP/2 connections as tasks with a name and an owner, and ends those whose reader has stopped.
#[derive(Clone)]
pub(super) struct Streams {
    tasks: Tasks,
    limit: Duration,
}

/// The answer of one stream, handed out in pieces.
struct Paced {
    body: Body,
    pace: Arc<Pace>,
    /// Of the last frame, what was not handed out yet.
    rest: Bytes,
}

/// Since when something waits for the reader.
#[derive(Default)]
struct Pace(Mutex<Option<Instant>>);

tokio::task_local! {
    static PACE: Arc<Pace>;
}

/// The answer, watched by the stream that it belongs to; outside of one as it is.
pub(super) fn paced(answer: Response<Body>) -> Response<Body> {
    match PACE.try_with(Arc::clone) {
        Ok(pace) => {
            pace.set(Some(Instant::now()));
            answer.map(|body| Body::new(Paced { body, pace, rest: Bytes::new() }))
        }
        Err(_) => answer,
    }
}

impl Streams {
    pub(super) fn new(tasks: Tasks) -> Self {
        Self { tasks, limit: LIMIT }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (pace, limit) = (Arc::new(Pace::default()), self.limit);
        self.tasks.spawn("http2 stream", async move {
            let watch = Arc::clone(&pace);
            tokio::select! {
                _ = PACE.scope(pace, stream) => {}
                () = watch.stalled(limit) => {
                    tracing::debug!("HTTP/2 stream ended: the client has not read its answer for {} s", limit.as_secs());
                }
            }
        });
    }
}

impl Pace {
    fn set(&self, waiting: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }

    /// Returns once the same piece has waited for `limit`.
    async fn stalled(&self, limit: Duration) {
        loop {
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let left = since.map_or(limit, |since| limit.saturating_sub(since.elapsed()));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    /// Asked for as soon as the reader has room.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.pace.set(None);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        // What is handed out waits in the connection's memory, where nobody counts it: little at a time.
        let length = self.rest.len().min(MOST_PIECE);
        let piece = self.rest.split_to(length);
        self.pace.set(Some(Instant::now()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), u64::try_from(self.rest.len()).unwrap_or(u64::MAX));
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(inner.lower().saturating_add(rest));
        hint
    }
}

/// As on HTTP/1.
const LIMIT: Duration = Duration::from_secs(30);
const MOST_PIECE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn a_reader_that_stops_loses_its_stream_and_a_slow_one_and_its_neighbours_go_on() {
        let tasks = Tasks::new();
        let (near, far) = tokio::io::duplex(1024);
        let streams = Streams { tasks: tasks.clone(), limit: LIMIT };
        let service = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(paced(Response::new(Body::from(vec![7; 200_000]))))
        });
        let server = hyper::server::conn::http2::Builder::new(streams);
        let serving = server.serve_connection(TokioIo::new(near), service);
        tasks.spawn("server", async move {
            let _ = serving.await;
        });
        let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        client.initial_stream_window_size(20_000).initial_connection_window_size(1_000_000);
        let (mut sender, connection) = client.handshake(TokioIo::new(far)).await.expect("works");
        tasks.spawn("client", async move {
            let _ = connection.await;
        });
        let mut ask = async || {
            let request = Request::get("http://x/").body(Body::empty()).expect("valid");
            sender.send_request(request).await.expect("answered").into_body()
        };
        let (stopped, mut slow) = (ask().await, ask().await);
        let mut read = 0;
        while let Some(frame) = slow.frame().await {
            read += frame.expect("it reads").into_data().expect("data").len();
            tokio::time::sleep(LIMIT / 20).await;
        }
        assert_eq!(read, 200_000, "slow, but it reads");
        stopped.collect().await.expect_err("nobody has read it for too long");
        let whole = ask().await.collect().await.expect("the connection goes on").to_bytes();
        assert_eq!(whole.len(), 200_000);
    }
}
