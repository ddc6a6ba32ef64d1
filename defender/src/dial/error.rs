//! Why an attempt failed, each cause apart from the others, with a remedy for a person.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use protocol::{Close, DecodeError, STEP_TIMEOUT};
use rustls::{AlertDescription, CertificateError};
use thiserror::Error;
use tokio_tungstenite::tungstenite;
use tungstenite::protocol::CloseFrame;

use super::Target;
use super::alert;
use super::step::{About, Step};
use super::tunnel::TunnelError;

/// Why an attempt failed.
#[derive(Debug, Error)]
pub enum DialError {
    /// The Console answered something else than `welcome`.
    #[error("the Console's answer to hello cannot be used")]
    Answer(#[source] Answer),
    /// The Console closed the connection, with a code that says why.
    #[error("the Console closed the connection with code {}: {}{}", close.code(), close.cause(), Reason(reason))]
    Closed {
        /// The code.
        close: Close,
        /// What the Console adds.
        reason: String,
    },
    /// No address of the Console takes a connection; this is the last one tried.
    #[error("connecting to {address}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// We refuse the Console's certificate.
    #[error("the Console's certificate is refused: {reason}")]
    ConsoleCertificate {
        /// What is wrong with it.
        reason: String,
        /// How to mend it.
        remedy: String,
        /// What it is about.
        about: About,
    },
    /// The Console hung up without a word.
    #[error("the Console closed the connection without saying why")]
    Ended,
    /// The Console refuses our certificate.
    #[error("the Console refuses this Defender's certificate: {}{dates}", alert::words(*alert))]
    OwnCertificate {
        /// What it says.
        alert: AlertDescription,
        /// What there is to say of our dates; empty where they do not matter.
        dates: String,
    },
    /// The proxy makes no tunnel.
    #[error("the proxy {proxy} is of no use")]
    Proxy {
        /// Where it is.
        proxy: String,
        /// Why.
        #[source]
        cause: TunnelError,
    },
    /// The host has no address.
    #[error("looking up the address of {host}")]
    Resolve {
        /// The Console's host.
        host: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection broke before the Console's welcome")]
    Stream(#[source] io::Error),
    /// A step took too long.
    #[error("{step} took longer than {} s", STEP_TIMEOUT.as_secs())]
    TimedOut {
        /// Which.
        step: Step,
    },
    /// The TLS handshake failed, not for a certificate.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// What answers does not take the WebSocket.
    #[error("the Console refuses the WebSocket: HTTP status {status}")]
    Upgrade {
        /// The HTTP status.
        status: u16,
    },
    /// What answers is no WebSocket server of ours. The library's message contains its cause.
    #[error("what answers does not speak the Console's protocol: {0}")]
    WebSocket(tungstenite::Error),
}

/// Why the answer to `hello` cannot be used.
#[derive(Debug, Error)]
pub enum Answer {
    /// Not a message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// `hello` itself could not be written.
    #[error("hello could not be encoded")]
    Encode(#[source] serde_json::Error),
    /// No Console has that many reports of one Defender.
    #[error("it claims to have report {0} of this Defender, which has never sent it")]
    LastSeq(u64),
    /// A message that may only follow `welcome`.
    #[error("another message came before welcome")]
    OutOfTurn,
}

impl DialError {
    /// One sentence: what a person can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let text = match self {
            Self::ConsoleCertificate { remedy, .. } => return remedy.clone(),
            Self::Closed { close: Close::Decommissioned, .. } => {
                "to use this host again, stop the Defender, delete its data directory, give it another certificate in the custom \
                 certificates directory if it has one there, and install it anew"
            }
            Self::Closed { close: Close::IdentityMismatch, .. } => {
                "give each Defender a data directory of its own; if this host was reinstalled or restored from a copy, \
                 delete its data directory so that it joins as a new Defender"
            }
            Self::Closed { close: Close::ApprovalNeeded, .. } => {
                "have an administrator approve it in the Console"
            }
            Self::Closed { close: Close::RegistrationRefused, .. } => "install a new bundle of this Console",
            Self::Closed { close: Close::Replaced, .. } => {
                "give each host an identity of its own: on the copy, stop the Defender, delete its data directory, and \
                 start it"
            }
            Self::Closed { close: Close::TooOld, .. } => "install the Defender version of the Console",
            Self::Closed { .. } => "see the Console's log",
            Self::Connect { .. } => {
                "check that the Console runs, and that address, port and firewalls let this host reach it"
            }
            Self::OwnCertificate { alert, .. } => return alert::remedy(*alert),
            Self::Proxy { cause, .. } => cause.remedy(),
            Self::Resolve { .. } => {
                "check the host name in --console-address (WS_ADDRESS) and this host's DNS"
            }
            Self::TimedOut { step: Step::Proxy } => {
                "check the proxy of HTTPS_PROXY, and that it can reach the Console"
            }
            Self::TimedOut { step: Step::Resolve } => "check this host's DNS",
            Self::TimedOut { .. } | Self::Ended | Self::Stream(_) => {
                "check the Console's load and log, and proxies on the way"
            }
            Self::Answer(Answer::LastSeq(_)) => {
                "somebody else uses this Defender's identity, or its data directory was restored from an old copy: \
                 stop the Defender, delete its data directory so that it gets a new identity, start it, and \
                 decommission the old one in the Console"
            }
            Self::Answer(_) | Self::Tls(_) | Self::Upgrade { .. } | Self::WebSocket(_) => {
                "check that --console-address (WS_ADDRESS) names the Console's Defender port (8084 unless changed), \
                 and that no proxy on the way ends TLS"
            }
        };
        text.to_owned()
    }

    /// Whether the Console, which has proved to be the one, refuses our certificate for good.
    pub(crate) fn is_revoked(&self) -> bool {
        matches!(self, Self::OwnCertificate { alert: AlertDescription::CertificateRevoked, .. })
    }

    /// Whether other certificates might be taken.
    pub(crate) fn is_about_certificates(&self) -> bool {
        let close = match self {
            Self::ConsoleCertificate { .. } | Self::OwnCertificate { .. } => return true,
            Self::Closed { close, .. } => close,
            _ => return false,
        };
        matches!(close, Close::ApprovalNeeded | Close::IdentityMismatch | Close::RegistrationRefused)
    }

    /// The code that tells the Console what is wrong with what it sent; `None`: it is not to be told.
    pub(super) fn close(&self) -> Option<Close> {
        match self {
            Self::Answer(Answer::Encode(_)) => None,
            Self::Answer(Answer::Decode(error)) => Some(error.close()),
            Self::Answer(Answer::LastSeq(_) | Answer::OutOfTurn) => Some(Close::Malformed),
            Self::WebSocket(tungstenite::Error::Capacity(_)) => Some(Close::TooBig),
            Self::WebSocket(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_)) => {
                Some(Close::Malformed)
            }
            _ => None,
        }
    }

    /// From a failed TLS handshake.
    pub(super) fn from_tls(error: io::Error, target: &Target) -> Self {
        match rustls_error(&error) {
            Some(rustls::Error::InvalidCertificate(cause)) => Self::ConsoleCertificate {
                reason: certificate_reason(cause, target),
                remedy: console_certificate_remedy(cause),
                about: About::of(cause),
            },
            // Also an alert about certificates: the Console has not proved yet that it is one, and judges ours later.
            _ => Self::Tls(in_plain_words(error)),
        }
    }

    /// From a failed upgrade, whose first read also tells what the Console thinks of our certificate.
    pub(crate) fn from_upgrade(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) => Self::Upgrade { status: response.status().as_u16() },
            tungstenite::Error::Io(error) => match rustls_error(&error) {
                Some(rustls::Error::AlertReceived(alert)) if alert::is_about_certificates(*alert) => {
                    Self::OwnCertificate { alert: *alert, dates: String::new() }
                }
                _ if error.kind() == io::ErrorKind::UnexpectedEof => Self::Ended,
                _ => Self::Stream(in_plain_words(error)),
            },
            other => Self::WebSocket(other),
        }
    }

    /// From a line that broke after the upgrade.
    pub(super) fn from_stream(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Self::Ended,
            error => Self::from_upgrade(error),
        }
    }

    /// From a close frame.
    pub(super) fn closed(frame: Option<CloseFrame>) -> Self {
        match frame {
            Some(frame) => {
                Self::Closed { close: Close::from_code(frame.code.into()), reason: frame.reason.to_string() }
            }
            None => Self::Ended,
        }
    }
}

/// The library's text ends in the address of its manual, which helps nobody who runs a Defender.
pub(crate) fn in_plain_words(error: io::Error) -> io::Error {
    let text = error.to_string();
    if text.contains("close_notify") {
        return io::Error::new(error.kind(), "the peer closed the connection without TLS close_notify");
    }
    match text.split_once("https://") {
        Some((words, _)) => io::Error::new(error.kind(), words.trim_end_matches([':', ' ', '('])),
        None => error,
    }
}

/// What the Console adds to its code, unless it only repeats the code's meaning.
struct Reason<'a>(&'a str);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn certificate_reason(cause: &CertificateError, target: &Target) -> String {
    let name = target.server_name.to_str();
    match cause {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it is expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => "defender-ca.pem holds no CA that issued it".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("it is not made for the name {name}")
        }
        CertificateError::BadSignature => {
            "its signature does not fit the CA of that name in defender-ca.pem".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its extended key usage does not allow a TLS server".to_owned()
        }
        CertificateError::BadEncoding => "it cannot be read".to_owned(),
        CertificateError::Other(other) => match other.0.to_string().as_str() {
            V1 => "it, or one of its chain, is of X.509 version 1".to_owned(),
            CA_AS_SERVER => "it is the certificate of a CA, not of a server".to_owned(),
            SERVER_AS_CA => "one of its chain has issued certificates and is no CA".to_owned(),
            other => shortened(other),
        },
        other if is_about_algorithm(other) => {
            "it, or one of its chain, is signed with an algorithm that is not accepted, such as SHA-1"
                .to_owned()
        }
        other => shortened(&other.to_string()),
    }
}

/// A text of a library, which may be the whole content of a structure.
fn shortened(text: &str) -> String {
    if text.chars().count() <= LONGEST_FALLBACK {
        return text.to_owned();
    }
    text.chars().take(LONGEST_FALLBACK).chain(['…']).collect()
}

#[expect(deprecated, reason = "the variant without a context may still come from a verifier")]
fn is_about_algorithm(cause: &CertificateError) -> bool {
    matches!(
        cause,
        CertificateError::UnsupportedSignatureAlgorithm
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
    )
}

fn console_certificate_remedy(cause: &CertificateError) -> String {
    match cause {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "add the name to the Console's certificate (--san), or name one that it has with \
             --console-server-name (DEFENDER_CONSOLE_SERVER_NAME)"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "give the Defender the CA that issued the Console's certificate: a current install bundle, or \
             defender-ca.pem in the custom certificates directory"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "check the clocks of both hosts"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "replace the Console's certificate, and check the clocks of both hosts"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "have the Console's certificate issued anew with the extended key usage serverAuth"
        }
        CertificateError::Other(other) => match other.0.to_string().as_str() {
            V1 => {
                "have the certificates issued anew as version 3, the Console's with subject alternative names"
            }
            CA_AS_SERVER => {
                "give the Console a server certificate that this CA has issued (basicConstraints CA:FALSE)"
            }
            SERVER_AS_CA => "have the Console's certificate issued by a CA (basicConstraints CA:TRUE)",
            _ => REPLACE,
        },
        other if is_about_algorithm(other) => {
            "have the certificates issued anew, signed by ECDSA or RSA with SHA-256 or better"
        }
        _ => REPLACE,
    }
    .to_owned()
}

/// What can be done about any other fault.
const REPLACE: &str = "replace the Console's certificate; `console certs check` judges its files";

/// How much of a library's text is told.
const LONGEST_FALLBACK: usize = 120;

/// What the verifier calls a certificate of X.509 version 1.
const V1: &str = "UnsupportedCertVersion";
/// What it calls a CA's certificate in a server's place.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";
/// And the other way round.
const SERVER_AS_CA: &str = "EndEntityUsedAsCa";
