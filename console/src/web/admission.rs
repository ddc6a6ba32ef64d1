//! Before every call: what no handler needs to see. And after it: the rest of a body that nobody read. A client that
//! still sends while its call is over would be cut off, and many then never look at the answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;

use super::MOST_BODY_BYTES;
use super::error::ApiError;
use super::listener::Peer;

/// A body that comes back when its reader drops it before its end.
struct Lent {
    body: Option<Body>,
    back: Option<oneshot::Sender<Body>>,
}

/// An answer whose head goes out at once, for clients that then stop, and whose body follows when the rest of the
/// request is read.
struct Held {
    rest: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    answer: Body,
}

/// Runs the call if its head is in order.
pub(super) async fn admit(request: Request, next: Next) -> Response {
    let is_http1 = request.version() < Version::HTTP_2;
    let length = content_length(request.headers());
    let (back, mut rest) = oneshot::channel();
    let request = request.map(|body| Body::new(Lent { body: Some(body), back: Some(back) }));
    let mut answer = match judge(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            drop(request);
            error.into_response()
        }
    };
    let Ok(rest) = rest.try_recv() else { return answer };
    // curl takes an answer that comes while it sends a body of known length on HTTP/2 for a fault of the stream.
    if !is_http1 && length.is_some_and(|length| length <= MOST_DROPPED_BYTES) {
        read_and_drop(rest).await;
    } else {
        if is_http1 && answer.status() == StatusCode::PAYLOAD_TOO_LARGE {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer = answer.map(|answer| Body::new(Held { rest: Some(Box::pin(read_and_drop(rest))), answer }));
    }
    answer
}

fn judge(request: &Request) -> Result<(), ApiError> {
    // Requests of tests that come without a connection have none.
    let is_from_http1 = request.version() == Version::HTTP_11 && request.extensions().get::<Peer>().is_some();
    if is_from_http1 && request.headers().get_all(header::HOST).iter().count() != 1 {
        return Err(ApiError::BadRequest("an HTTP/1.1 request has one Host header".to_owned()));
    }
    if head_length(request) > MOST_HEAD_BYTES {
        return Err(ApiError::HeadTooLarge);
    }
    if content_length(request.headers()).is_some_and(|length| length > MOST_BODY_BYTES) {
        return Err(ApiError::TooLarge);
    }
    Ok(())
}

/// As HTTP/1 writes it. While hyper reads a head, it takes more than what it is told at most.
fn head_length(request: &Request) -> usize {
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    fields.sum::<usize>() + target
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    let length: u64 = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    Some(usize::try_from(length).unwrap_or(usize::MAX))
}

/// Reads on while the client sends, within bounds: then it is cut off.
async fn read_and_drop(mut rest: Body) {
    let read = async {
        let mut left = MOST_DROPPED_BYTES;
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE, rest.frame()).await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(fewer) => left = fewer,
                None => return,
            }
        }
    };
    // Past its time the client is cut off as well.
    let _ = tokio::time::timeout(PATIENCE, read).await;
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !body.is_end_stream()
        {
            // The call may be gone: then so is the connection.
            let _ = back.send(body);
        }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(context));
            self.rest = None;
        }
        Pin::new(&mut self.answer).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

/// Of the target and all fields.
const MOST_HEAD_BYTES: usize = 64 * 1024;

/// How much is read for nothing, how long, and how long a client may pause: one that heard its answer stops.
const MOST_DROPPED_BYTES: usize = 8 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_millis(300);
