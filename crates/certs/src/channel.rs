//! The three channels of contract section 2: which files each one reads, and what logs call it.

use std::fmt;

/// A set of files, the configuration made from it, and what restarts when it changes. Each stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// The Console's WebSocket listener for Defenders.
    ConsoleDefender,
    /// The Console's web UI and API.
    ConsoleHttps,
    /// A Defender's connection to its Console.
    Defender,
}

/// The names of a channel's files in the custom directory; all of them are required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Files {
    /// The CAs that the other side's certificate must come from; HTTPS asks for no client certificate.
    pub ca: Option<&'static str>,
    /// The chain, leaf first.
    pub cert: &'static str,
    /// The leaf's key.
    pub key: &'static str,
}

/// Which end of a TLS connection a channel's certificate stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is presented to a server.
    Client,
    /// It is presented to clients.
    Server,
}

impl Channel {
    /// All channels.
    pub const ALL: [Self; 3] = [Self::ConsoleDefender, Self::ConsoleHttps, Self::Defender];

    /// The name in the API, in events and in metrics.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::ConsoleDefender => "console-defender",
            Self::ConsoleHttps => "console-https",
            Self::Defender => "defender",
        }
    }

    /// The name in the contract's log lines.
    #[must_use]
    pub fn log_name(self) -> &'static str {
        match self {
            Self::ConsoleDefender => "console defender server",
            Self::ConsoleHttps => "console https server",
            Self::Defender => "defender client",
        }
    }

    /// The channel's files.
    #[must_use]
    pub fn files(self) -> Files {
        match self {
            Self::ConsoleDefender => {
                Files { ca: Some(CA_FILE), cert: "defender-server-cert.pem", key: "defender-server-key.pem" }
            }
            Self::ConsoleHttps => Files { ca: None, cert: "console-cert.pem", key: "console-key.pem" },
            Self::Defender => {
                Files { ca: Some(CA_FILE), cert: "defender-client-cert.pem", key: "defender-client-key.pem" }
            }
        }
    }

    /// The contract's line for a swap of this channel.
    #[must_use]
    pub fn rotated_text(self) -> &'static str {
        match self {
            Self::ConsoleDefender => "Console WebSocket custom certificates rotated, restarting listener",
            Self::ConsoleHttps => "Console HTTPS custom certificates rotated, restarting listener",
            Self::Defender => "Defender custom certificates rotated, resetting connection",
        }
    }

    /// Which of our own programs meets the certificate, if no other does.
    pub(crate) fn own_peer(self) -> Option<&'static str> {
        match self {
            Self::ConsoleDefender => Some("Defenders"),
            Self::ConsoleHttps => None,
            Self::Defender => Some("Consoles"),
        }
    }

    /// The end of the connection that the certificate stands for.
    pub(crate) fn role(self) -> Role {
        match self {
            Self::ConsoleDefender | Self::ConsoleHttps => Role::Server,
            Self::Defender => Role::Client,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Files {
    /// The names, in the contract's order: CA, certificate, key.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.ca.into_iter().chain([self.cert, self.key])
    }
}

impl Role {
    /// The extended key usage that the role needs, as X.509 spells it.
    pub(crate) fn usage(self) -> &'static str {
        match self {
            Self::Client => "clientAuth",
            Self::Server => "serverAuth",
        }
    }
}

const CA_FILE: &str = "defender-ca.pem";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channels_have_the_files_of_the_contract() {
        let names = |channel: Channel| channel.files().names().collect::<Vec<_>>();
        assert_eq!(names(Channel::ConsoleHttps), ["console-cert.pem", "console-key.pem"]);
        assert_eq!(
            names(Channel::ConsoleDefender),
            ["defender-ca.pem", "defender-server-cert.pem", "defender-server-key.pem"]
        );
        assert_eq!(
            names(Channel::Defender),
            ["defender-ca.pem", "defender-client-cert.pem", "defender-client-key.pem"]
        );
    }

    #[test]
    fn the_channels_have_the_names_of_the_contract() {
        let told = Channel::ALL.map(|channel| (channel.to_string(), channel.log_name()));
        assert_eq!(
            told,
            [
                ("console-defender".to_owned(), "console defender server"),
                ("console-https".to_owned(), "console https server"),
                ("defender".to_owned(), "defender client"),
            ]
        );
    }
}
