//! Hosts, `HOST[:PORT]`, URLs and file servers.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::is_label;

/// Name or address of a host that peers can dial, and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// In lower case; an IPv6 address without brackets.
    host: String,
    port: Option<u16>,
}

impl HostPort {
    /// The host; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, `port` where none was given.
    #[must_use]
    pub fn port(&self, port: u16) -> u16 {
        self.port.unwrap_or(port)
    }

    /// `HOST:PORT` as in a URL, with `port` where none was given.
    #[must_use]
    pub fn authority(&self, port: u16) -> String {
        format!("{}:{}", bracketed(&self.host), self.port(port))
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = |what: &str| {
            // What stands before an @ may be a password.
            let shown = if text.contains('@') { "it" } else { text };
            Err(format!("{shown} {what}; write HOST or HOST:PORT, for example console.example.com:8084"))
        };
        if text.contains("://") {
            return fault("has a scheme");
        }
        if text.contains('/') {
            return fault("has a path");
        }
        if let Some(host) = host(text) {
            return Ok(Self { host, port: None });
        }
        let Some((name, digits)) = text.rsplit_once(':') else { return fault("is no name or address") };
        // Without brackets the last part of an IPv6 address would be taken for a port.
        if name.contains(':') && !name.starts_with('[') {
            return fault("is no name or address; an IPv6 address with a port stands in brackets");
        }
        let Some(host) = host(name) else { return fault("is no name or address") };
        match digits.parse::<u16>() {
            Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Self { host, port: Some(port) })
            }
            _ => fault("has a port that is not 1 to 65535"),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", bracketed(&self.host)),
            None => f.write_str(&bracketed(&self.host)),
        }
    }
}

/// A name or address in a server certificate: a DNS name in lower case, its first label may be `*`, or an IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct San(String);

impl FromStr for San {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string()));
        }
        let name = text.to_ascii_lowercase();
        let fits = match name.strip_prefix("*.") {
            Some(rest) => rest.contains('.') && is_dns_name(rest),
            None => is_dns_name(&name),
        };
        match fits && name.len() <= 253 {
            true => Ok(Self(name)),
            false => Err(format!(
                "{text:?} is no name or address; write a DNS name (console.example.com, *.example.com) or an IP \
                 address (192.0.2.7, 2001:db8::7)"
            )),
        }
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The URL that users reach the Console by, `https://HOST[:PORT]` without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    url: String,
    address: HostPort,
}

impl PublicUrl {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The host; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.address.host()
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write https://HOST[:PORT]";
        if text.contains('@') {
            // It may hold a password.
            return Err(format!("it names a user or holds an @; {form}"));
        }
        let fault = || format!("{text:?} is no URL of a Console; {form}");
        // Browsers send the session cookie over HTTPS only, and every page and call is below the root.
        let (scheme, authority) = text.split_once("://").ok_or_else(fault)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let address = authority.parse::<HostPort>().map_err(|_| fault())?;
        // Without brackets an IPv6 address is none in a URL.
        let is_url = !address.host().contains(':') || authority.starts_with('[');
        match is_url && scheme.eq_ignore_ascii_case("https") {
            true => Ok(Self { url: format!("https://{authority}"), address }),
            false => Err(fault()),
        }
    }
}

/// `SERVER:PATH` of a file server.
pub(crate) fn nfs(text: &str) -> Result<(String, String), String> {
    let form = || {
        format!("{text:?} is no file server; write SERVER:PATH, for example nfs.example.com:/certificates")
    };
    let at = text.find(":/").ok_or_else(form)?;
    let (server, path) = text.split_at_checked(at).ok_or_else(form)?;
    let path = path.strip_prefix(':').ok_or_else(form)?;
    let server = host(server).ok_or_else(form)?;
    Ok((server, super::path(path)?))
}

/// `ADDRESS/BITS`.
pub(crate) fn range(text: &str) -> Result<String, String> {
    let fits = text.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.bytes().all(|b| b.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    });
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no range; write ADDRESS/BITS, for example 192.0.2.0/24"))
    }
}

/// An address, or `ADDRESS/BITS`.
pub(crate) fn network(text: &str) -> Result<String, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => range(text),
    }
}

/// A DNS name without wildcard, or an IP address, an IPv6 one in brackets or not.
pub(crate) fn host(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    let name = text.to_ascii_lowercase();
    (name.len() <= 253 && is_dns_name(&name)).then_some(name)
}

/// An IPv6 address in brackets, anything else as it is.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// In lower case. A name whose last label is a number is a mistyped address, which no resolver takes as a name.
fn is_dns_name(name: &str) -> bool {
    let last_is_number =
        name.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    name.split('.').all(is_label) && !last_is_number
}
