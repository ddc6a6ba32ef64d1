//! One connection of the API from its first request to its end. When it is told to end it finishes the call in
//! flight and closes (HTTP/2: GOAWAY), and is cut when the grace is over.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, Version};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use lifecycle::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::crowd::Crowd;
use super::error::ApiError;
use super::listener::Peer;
use super::pace::{Streams, paced};
use super::patient::Patient;
use crate::config::TrustedProxies;

/// A connection that is about to be served.
pub(super) struct Connection {
    pub(super) router: Router,
    pub(super) peer: Peer,
    /// Whose word about clients is believed.
    pub(super) proxies: TrustedProxies,
    /// Where each client is counted, when the peer is one of these.
    pub(super) crowd: Option<Crowd>,
    pub(super) grace: Duration,
    pub(super) tasks: Tasks,
    pub(super) shutdown: CancellationToken,
    /// Cancelled by the first request.
    pub(super) asked: CancellationToken,
}

/// What HTTP/1 and HTTP/2 connections have in common.
trait Graceful: Future<Output = hyper::Result<()>> {
    /// Whether closing an idle connection may cross with a request; GOAWAY says which ones count.
    const CLOSING_RACES: bool;

    /// Finish what is in flight, take nothing new.
    fn finish(self: Pin<&mut Self>);
}

impl<I, S> Graceful for http1::Connection<I, S>
where
    I: Read + Write + Unpin,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    const CLOSING_RACES: bool = true;

    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S> Graceful for http2::Connection<I, S, Streams>
where
    I: Read + Write + Unpin,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    const CLOSING_RACES: bool = false;

    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl Connection {
    /// Serves HTTP/1.
    pub(super) async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(SILENCE).max_buf_size(MOST_HEADER_BYTES);
        self.run(builder.serve_connection(TokioIo::new(Patient::new(stream)), self.service())).await;
    }

    /// Serves HTTP/2.
    pub(super) async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut builder = http2::Builder::new(Streams::new(self.tasks.clone()));
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(SILENCE)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(MOST_STREAMS)
            .max_header_list_size(MOST_HEADER_BYTES_U32);
        self.run(builder.serve_connection(TokioIo::new(Patient::new(stream)), self.service())).await;
    }

    fn service(
        &self,
    ) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
    + use<> {
        let (router, peer, asked) = (self.router.clone(), self.peer.clone(), self.asked.clone());
        let (crowd, proxies) = (self.crowd.clone(), self.proxies.clone());
        service_fn(move |request: Request<Incoming>| {
            asked.cancel();
            let ending = peer.ending.clone();
            let has_streams = request.version() >= Version::HTTP_2;
            let mut request = request.map(Body::new);
            let client = match crowd {
                Some(_) => peer.behind(request.headers(), &proxies),
                None => peer.clone(),
            };
            let place = crowd.as_ref().map(|crowd| crowd.enter(client.address, "calls"));
            request.extensions_mut().insert(client);
            let answer = router.clone().oneshot(request);
            async move {
                let mut answer = match place {
                    None => answer.await?,
                    Some(Some(guest)) => guest.stay(answer.await?),
                    Some(None) => {
                        ApiError::Unavailable("too many calls of one address at once").into_response()
                    }
                };
                if ending.is_cancelled() && !has_streams {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok(paced(answer))
            }
        })
    }

    async fn run<C: Graceful>(&self, connection: C) {
        let mut connection = pin!(connection);
        tokio::select! {
            result = &mut connection => return self.log(result),
            () = self.peer.ending.cancelled() => {}
            // HTTP/2 has no time-out of its own for a client that never asks.
            () = self.asks_nothing() => return,
        }
        let cut = pin!(self.cut());
        let finish = pin!(async {
            tokio::select! {
                result = &mut connection => return result,
                () = self.linger(C::CLOSING_RACES) => {}
                () = self.shutdown.cancelled() => {}
            }
            connection.as_mut().finish();
            connection.await
        });
        tokio::select! {
            result = finish => self.log(result),
            () = cut => {
                tracing::debug!(peer = self.peer.address.to_string(), "HTTPS connection cut at the end of its grace");
            }
        }
    }

    /// Until a close does no harm. A client that connected just before cannot know of the rotation: it gets its
    /// first answer. One that calls again and again gets the next one, with `Connection: close`: closing
    /// between two calls may cross with a request on its way, which the client would see reset.
    async fn linger(&self, closing_races: bool) {
        self.asked.cancelled().await;
        if closing_races {
            tokio::time::sleep(LINGER).await;
        }
    }

    async fn asks_nothing(&self) {
        tokio::select! {
            () = tokio::time::sleep(SILENCE) => {}
            () = self.asked.cancelled() => std::future::pending().await,
        }
    }

    /// Returns at the end of the grace: of the rotation, or of the stop, which may come meanwhile.
    async fn cut(&self) {
        let stop = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(STOP).await;
        };
        if self.shutdown.is_cancelled() {
            return stop.await;
        }
        tokio::select! {
            () = tokio::time::sleep(self.grace) => {}
            () = stop => {}
        }
    }

    fn log(&self, result: hyper::Result<()>) {
        if let Err(error) = result {
            let error = lifecycle::logging::error_chain(&error);
            tracing::debug!(peer = self.peer.address.to_string(), error, "HTTPS connection failed");
        }
    }
}

/// How long a client may say nothing before its first request, take to send its headers, or leave a ping open.
const SILENCE: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long an idle HTTP/1 connection may still send a call after a rotation.
const LINGER: Duration = Duration::from_secs(1);

/// How long calls in flight may take once the Console stops.
const STOP: Duration = Duration::from_secs(5);

const MOST_STREAMS: u32 = 100;
const MOST_HEADER_BYTES: usize = 64 * 1024;
const MOST_HEADER_BYTES_U32: u32 = 64 * 1024;
