//! Where the certificates that a channel uses come from.

use std::fmt;

/// The origin of the material in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The custom certificates directory.
    Custom,
    /// The Console's own CA: its store, or the install bundle of a Defender.
    SelfSigned,
}

impl Source {
    /// The word in the API and in the Defender protocol.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::SelfSigned => "self-signed",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
