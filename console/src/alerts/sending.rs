//! Why a message did not get through, in words that help.

use std::error::Error;

use thiserror::Error as ThisError;

/// Why a message did not get through.
#[derive(Debug, ThisError)]
pub enum SendError {
    /// No client can be made.
    #[error("making an HTTP client: {0}")]
    Client(String),
    /// The setting is empty.
    #[error("nothing is sent: {0} is empty")]
    NotConfigured(&'static str),
    /// The receiver answered, but did not take the message.
    #[error("the receiver answered with status {0}")]
    Status(u16),
    /// The receiver took too long.
    #[error("{place} did not answer within 10 s")]
    Timeout {
        /// Whom.
        place: String,
    },
    /// No TLS configuration can be made.
    #[error("preparing TLS: {0}")]
    Tls(#[source] rustls::Error),
    /// No connection, or it broke.
    #[error("{place} cannot be reached: {cause}")]
    Unreachable {
        /// Whom.
        place: String,
        /// Why.
        cause: String,
    },
}

impl SendError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let text = match self {
            Self::Client(_) | Self::Tls(_) => "check the CA certificates of this channel",
            Self::NotConfigured(_) => "set where messages should go, and save the settings first",
            Self::Status(401 | 403) => "check the URL and the secret that the receiver expects",
            Self::Status(404 | 405 | 410) => "check the path of the URL: it must take a POST",
            Self::Status(300..=399) => {
                "give the URL that the receiver redirects to: redirects are not followed"
            }
            Self::Status(_) => "look at the log of the receiver; the message is tried again for 24 h",
            Self::Timeout { .. } => "check that the receiver runs and answers before it works on the message",
            Self::Unreachable { cause, .. } if cause.contains("certificate") => {
                "put the CA certificate of the receiver into the CA field, and check that its certificate has the \
                 name in the address"
            }
            Self::Unreachable { .. } => "check name, port and firewall between the Console and the receiver",
        };
        text.to_owned()
    }
}

/// An error and what is behind it, on one line.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|one| one.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ").chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}
