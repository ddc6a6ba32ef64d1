//! `constant-server`: the HTTPS server to compare with: rustls + hyper, the Console's TLS configuration, and one body
//! of the size asked for as the answer to everything.

use std::convert::Infallible;
use std::net::Ipv6Addr;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use certs::{Authority, Channel, tls};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::cli::ConstantOptions;

/// Serves until it is killed; prints its port on standard error.
pub(crate) async fn serve(options: &ConstantOptions) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    let authority = Authority::open_or_create(&options.dir, now)?;
    let material = authority.server_material(Channel::ConsoleHttps, &["localhost".to_owned()], now)?;
    let acceptor = TlsAcceptor::from(Arc::new(tls::console_https(&material)?));
    let body = Bytes::from(vec![b' '; options.bytes]);
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).await?;
    eprintln!("{READY}{}", listener.local_addr()?.port());
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        spawn(acceptor.clone(), stream, body.clone());
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing but an accept loop: that is the point of it")]
fn spawn(acceptor: TlsAcceptor, stream: TcpStream, body: Bytes) {
    tokio::spawn(async move {
        let _ = stream.set_nodelay(true);
        let Ok(tls) = acceptor.accept(stream).await else { return };
        let answer = service_fn(move |_: Request<Incoming>| {
            let body = Full::new(body.clone());
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        // A peer that goes away is no news.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), answer).await;
    });
}

/// Before the port number, once connections are accepted.
pub(crate) const READY: &str = "constant server is ready on port ";
