//! One call of the Console's API over one connection, HTTP/1.1.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::http::request;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::asked::{Asked, Secrets};
use super::trust::{self, HTTPS};
use crate::cli::BundleText;

/// What the API says when it does not do what it was asked for.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issued {
    install_bundle: String,
}

struct Answer {
    status: StatusCode,
    kind: String,
    body: Zeroizing<Vec<u8>>,
}

/// The file that `path` of the API gives for `flags`.
pub(super) async fn file(
    asked: &Asked,
    secrets: &Secrets,
    path: &str,
    flags: &impl Serialize,
) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let body = serde_json::to_vec(flags)?;
    let request = Request::post(format!("/api/v1/{path}")).header(CONTENT_TYPE, "application/json");
    let answer = authorized(asked, secrets, request, body).await?;
    if answer.status == StatusCode::OK && FILES.iter().any(|kind| answer.kind.starts_with(kind)) {
        return Ok(answer.body);
    }
    Err(refused(asked, &answer))
}

/// An install bundle for a Defender that dials `console`, as `HOST:PORT`.
pub(super) async fn install_bundle(
    asked: &Asked,
    secrets: &Secrets,
    console: &str,
) -> anyhow::Result<BundleText> {
    let request = Request::get(format!("/api/v1/defenders/install-bundle?consoleaddr={console}"));
    let answer = authorized(asked, secrets, request, Vec::new()).await?;
    match serde_json::from_slice::<Issued>(&answer.body) {
        Ok(issued) if answer.status == StatusCode::OK => Ok(BundleText::new(issued.install_bundle)),
        _ => Err(refused(asked, &answer)),
    }
}

/// A call in the name of who asks.
async fn authorized(
    asked: &Asked,
    secrets: &Secrets,
    request: request::Builder,
    body: Vec<u8>,
) -> anyhow::Result<Answer> {
    let stream = trust::connect(asked, secrets).await?;
    let credentials = match &asked.user {
        Some(user) => {
            let pair = Zeroizing::new(format!("{user}:{}", *secrets.password));
            Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)))
        }
        None => Zeroizing::new(format!("Bearer {}", *secrets.password)),
    };
    let request = request
        .header(HOST, asked.address.authority(HTTPS))
        .header(AUTHORIZATION, &**credentials)
        .body(Full::from(body))?;
    send(stream, request).await.with_context(|| format!("asking {}", asked.address))
}

/// Why the Console did not give what it was asked for, and what to do.
fn refused(asked: &Asked, answer: &Answer) -> anyhow::Error {
    let problem = serde_json::from_slice::<Problem>(&answer.body).ok();
    let told = problem.map(|problem| problem.detail);
    let (address, user) = (&asked.address, asked.user.as_deref().unwrap_or("the holder of the token"));
    match (answer.status, told) {
        (StatusCode::UNAUTHORIZED, Some(told)) => {
            anyhow!(
                "{address} does not let {user} in: {told}; see --user and the content of --password-file or --token-file"
            )
        }
        (StatusCode::FORBIDDEN, Some(told)) => {
            anyhow!("{user} may not do this at {address}: {told}; give --user an administrator or operator")
        }
        (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, Some(_)) => {
            anyhow!("the Console at {address} is too old to answer this; update it first")
        }
        (_, Some(told)) => anyhow!("the Console at {address} says: {told}"),
        (status, None) => anyhow!(
            "what answers at {address} is no Console (status {status}); write the address of its HTTPS listener, port \
             8083 unless it was changed"
        ),
    }
}

/// What `path` of the API gives to anybody.
pub(super) async fn public(
    stream: TlsStream<TcpStream>,
    asked: &Asked,
    path: &str,
) -> anyhow::Result<String> {
    let request = Request::get(format!("/api/v1/{path}"))
        .header(HOST, asked.address.authority(HTTPS))
        .body(Full::default())?;
    let answer = send(stream, request).await?;
    anyhow::ensure!(answer.status == StatusCode::OK, "status {}", answer.status);
    String::from_utf8(answer.body.to_vec()).context("the answer is no text")
}

async fn send(stream: TlsStream<TcpStream>, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    let exchange = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let kind = kind.unwrap_or_default().to_owned();
            let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("reading the answer: {error}"))?.to_bytes();
            anyhow::Ok(Answer { status, kind, body: Zeroizing::new(body.into()) })
        };
        match select(pin!(answer), pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            // The connection may end once everything was read.
            Either::Right((_, answer)) => answer.await,
        }
    };
    tokio::time::timeout(PATIENCE, exchange).await.context("no answer within 60 s; try again later")?
}

/// What deployment files are.
const FILES: [&str; 2] = ["application/gzip", "application/yaml"];

const MOST_BYTES: usize = 4 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);
