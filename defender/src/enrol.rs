//! Asking the Console for a certificate: with the registration of an install bundle before the first session, and over
//! a live session when it is time to renew. What comes of it is kept by `own.rs`.

use std::convert::Infallible;
use std::time::Duration;

use certs::{IssueError, KeyRequest};
use futures_util::{SinkExt as _, StreamExt as _};
use lifecycle::logging::error_chain;
use protocol::message::{Authorities, Certificate, CertificateRequest};
use protocol::{DecodeError, MAX_MESSAGE_BYTES, ToConsole, ToDefender};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite;

use crate::frame::{self, Socket};
use crate::own::{KeepError, Kept, OwnCertificate};
pub(crate) use crate::schedule::Basis;
use crate::schedule::Schedule;

/// What the Console says about certificates.
#[derive(Debug)]
pub(crate) enum Word {
    /// Which CAs to trust, and whether to renew.
    Authorities(Authorities),
    /// The answer to a request.
    Certificate(Certificate),
}

/// The part of a session that renews the certificate it runs on.
#[derive(Debug)]
pub(crate) struct Renewing {
    pub(crate) own: OwnCertificate,
    pub(crate) basis: Basis,
    /// To the half of the session that speaks.
    pub(crate) requests: mpsc::Sender<CertificateRequest>,
    /// From the half that hears.
    pub(crate) words: mpsc::Receiver<Word>,
}

/// Why there is no certificate.
#[derive(Debug, Error)]
enum AskError {
    #[error("the connection ended")]
    Ended,
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Line(#[from] Box<tungstenite::Error>),
    #[error(transparent)]
    Make(#[from] IssueError),
    #[error("{0}")]
    Refused(String),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    #[error(transparent)]
    Unwritable(#[from] serde_json::Error),
}

/// Renews when it is time, as long as it is polled; without `renewing`, never.
pub(crate) async fn renew(renewing: Option<Renewing>) -> Infallible {
    match renewing {
        Some(renewing) => renewing.run().await,
        None => std::future::pending().await,
    }
}

/// Asks on a line that was just welcomed. Whether there is a certificate now; where there is none, that was logged,
/// and the line is as good as before.
pub(crate) async fn ask(socket: &mut Socket, own: &OwnCertificate) -> bool {
    match timeout(PATIENCE, ask_patiently(socket, own)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            let error = error_chain(&error);
            tracing::warn!(error, "The Console has issued no certificate: the install bundle's goes on");
            false
        }
        Err(_) => {
            tracing::warn!(
                "The Console does not answer a request for a certificate: the install bundle's goes on"
            );
            false
        }
    }
}

async fn ask_patiently(socket: &mut Socket, own: &OwnCertificate) -> Result<(), AskError> {
    let request = certs::request()?;
    let message = ToConsole::CertificateRequest(CertificateRequest { csr: request.csr_pem.clone() });
    let message = frame::write(&message)?;
    socket.send(message).await.map_err(Box::new)?;
    loop {
        let frame = socket.next().await.ok_or(AskError::Ended)?.map_err(Box::new)?;
        match frame::read(&frame, MAX_MESSAGE_BYTES) {
            Some(Ok(ToDefender::Certificate(answer))) => return keep(own, &request, answer).await,
            Some(Err(error)) => return Err(error.into()),
            _ => {}
        }
    }
}

async fn keep(own: &OwnCertificate, request: &KeyRequest, answer: Certificate) -> Result<(), AskError> {
    match answer {
        Certificate::Issued { chain, ca } => {
            own.keep(request, chain, ca, Instant::now()).await?;
            tracing::info!("The Console has issued a certificate for this Defender");
            Ok(())
        }
        Certificate::Refused { error } => Err(AskError::Refused(error)),
    }
}

impl Renewing {
    /// Renews when it is time, until the session ends.
    async fn run(mut self) -> Infallible {
        let mut schedule = Schedule::new(self.basis, self.kept().as_ref(), self.own.share(), Instant::now());
        loop {
            let due = schedule.due(self.kept().as_ref());
            tokio::select! {
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                word = self.words.recv() => match word {
                    Some(Word::Authorities(told)) => {
                        if !self.follow(told).await {
                            continue;
                        }
                        schedule.tell();
                    }
                    // Nobody has asked, or the answer came too late.
                    Some(Word::Certificate(_)) => continue,
                    None => std::future::pending().await,
                },
            }
            if let Err(error) = self.renew().await {
                let pause = schedule.fail(self.kept().as_ref(), self.own.share(), Instant::now());
                tracing::warn!(
                    error = error_chain(&error),
                    retry_in_s = pause.as_secs(),
                    "The Console has not renewed the certificate: the present one goes on"
                );
            } else {
                schedule.succeed();
            }
        }
    }

    /// Trusts what the Console says; whether to renew now.
    async fn follow(&self, told: Authorities) -> bool {
        match self.own.learn(told.ca, Instant::now()).await {
            Ok(true) => tracing::info!("The Console has named other authorities to trust"),
            Ok(false) => {}
            Err(error) => {
                let error = error_chain(&error);
                tracing::warn!(error, "The authorities that the Console has named cannot be kept");
                return false;
            }
        }
        if told.renew {
            let spread = Duration::from_secs(told.spread_seconds).min(LONGEST_SPREAD);
            tokio::time::sleep(spread.mul_f64(self.own.share())).await;
        }
        told.renew
    }

    async fn renew(&mut self) -> Result<(), AskError> {
        let request = certs::request()?;
        while self.words.try_recv().is_ok() {}
        let asked = self.requests.send(CertificateRequest { csr: request.csr_pem.clone() }).await;
        asked.map_err(|_| AskError::Ended)?;
        let answer = async {
            loop {
                match self.words.recv().await {
                    Some(Word::Certificate(answer)) => return Ok(answer),
                    Some(Word::Authorities(_)) => {}
                    None => return Err(AskError::Ended),
                }
            }
        };
        let answer = timeout(PATIENCE, answer).await.map_err(|_| AskError::Silent)??;
        keep(&self.own, &request, answer).await
    }

    fn kept(&self) -> Option<Kept> {
        self.own.subscribe().borrow().clone()
    }
}

/// How long the Console may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A Console that asks for more spread than this is mistaken.
const LONGEST_SPREAD: Duration = Duration::from_secs(60 * 60);
