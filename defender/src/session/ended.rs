//! Why a session has ended, in words, and what follows from it.

use std::fmt;
use std::time::Duration;

use lifecycle::logging::error_chain;
use protocol::close::Next;
use protocol::{Close, DecodeError};
use tokio_tungstenite::tungstenite;

use crate::dial::in_plain_words;

/// Why a session has ended.
#[derive(Debug)]
pub enum Ended {
    /// The Console closed it.
    Closed {
        /// Its code.
        close: Close,
        /// What it adds.
        reason: String,
    },
    /// The connection broke; `None`: it ended without a close frame.
    Lost(Option<tungstenite::Error>),
    /// The Console sent something that cannot be read; answered by 4000 or 1009.
    Malformed(DecodeError),
    /// The Console sent a message out of turn; answered by 4000.
    OutOfTurn,
    /// Closed from this side with 1000: superseded, or the program stops.
    Retired,
    /// Nothing was heard for this long.
    Silent(Duration),
}

impl Ended {
    /// When to try again.
    #[must_use]
    pub fn next(&self) -> Next {
        match self {
            Self::Closed { close, .. } => close.next(),
            _ => Next::BackOff,
        }
    }

    /// A process that was killed ends its connection without a word, in TLS or not.
    pub(super) fn lost(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Self::Lost(None)
            }
            tungstenite::Error::Io(error) => Self::Lost(Some(tungstenite::Error::Io(in_plain_words(error)))),
            error => Self::Lost(Some(error)),
        }
    }

    /// Whether a newer connection of this identity has taken over.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        matches!(self, Self::Closed { close: Close::Replaced, .. })
    }

    /// What a person can do about it; `None`: nothing, trying again is enough.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Closed { close: Close::Replaced, .. } => Some(
                "give each host a data directory of its own: another Defender uses the identity of this one",
            ),
            Self::Closed { close: Close::Malformed | Close::TooBig, .. } => Some("see the Console's log"),
            Self::Closed { close: Close::Revoked, .. } => Some(
                "put another certificate into the custom certificates directory; the CA has revoked this one",
            ),
            Self::Malformed(_) | Self::OutOfTurn => {
                Some("check that the Console's version is the Defender's or newer, and see its log")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { close, reason } => {
                write!(f, "the Console closed the connection with code {}: {}", close.code(), close.cause())?;
                if reason.is_empty() || reason == close.cause() { Ok(()) } else { write!(f, " ({reason})") }
            }
            Self::Lost(None) => f.write_str("the connection ended without a word from the Console"),
            Self::Lost(Some(error)) => write!(f, "the connection broke: {error}"),
            Self::Malformed(error) => {
                write!(f, "the Console sent what cannot be read: {}", error_chain(error))
            }
            Self::OutOfTurn => f.write_str("the Console sent a second welcome"),
            Self::Retired => f.write_str("closed by this Defender"),
            Self::Silent(limit) => {
                write!(f, "nothing was heard from the Console for {} s", limit.as_secs())
            }
        }
    }
}
