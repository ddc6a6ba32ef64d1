//! The parts of an attempt, and what of the Console's certificate can be wrong.

use std::fmt;

use rustls::CertificateError;

/// A part of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The proxy's answer.
    Proxy,
    /// Asking for the addresses of the Console's host.
    Resolve,
    /// The TLS handshake.
    Tls,
    /// The WebSocket handshake.
    Upgrade,
    /// `hello` and the wait for `welcome`.
    Welcome,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proxy => "the proxy's tunnel to the Console",
            Self::Resolve => "looking up the Console's address",
            Self::Tls => "the TLS handshake",
            Self::Upgrade => "the WebSocket handshake",
            Self::Welcome => "the Console's answer to hello",
        })
    }
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// It, or one of its chain, may not be used for this.
    Chain,
    /// Its dates, or a clock.
    Clock,
    /// The names in it.
    Name,
    /// Who issued it.
    Trust,
}

impl About {
    /// What a verifier complains about.
    pub(super) fn of(cause: &CertificateError) -> Self {
        match cause {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Clock,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Name,
            CertificateError::BadSignature | CertificateError::UnknownIssuer => Self::Trust,
            _ => Self::Chain,
        }
    }
}
