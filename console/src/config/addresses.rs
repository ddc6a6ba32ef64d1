//! Addresses, names and URLs as operators write them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::Uri;

/// A name or address in a server certificate: a DNS name in lower case, its first label may be `*`, or an IP
/// address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct San(String);

impl FromStr for San {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string()));
        }
        let name = text.to_ascii_lowercase();
        let host = name.strip_prefix("*.").unwrap_or(&name);
        let wildcard_fits = host.len() == name.len() || host.contains('.');
        if wildcard_fits && name.len() <= 253 && host.split('.').all(is_label) && !ends_in_number(host) {
            Ok(Self(name))
        } else {
            Err(format!(
                "{text:?} is no name or address; write a DNS name (console.example.com, *.example.com) or an IP \
                 address (192.0.2.7, 2001:db8::7)"
            ))
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
pub struct PublicUrl(String);

impl PublicUrl {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "write https://HOST[:PORT]";
        let fault = || match text.contains('@') {
            // It may hold a password.
            true => format!("it names a user or holds an @; {form}"),
            false => format!("{text:?} is no URL of a Console; {form}"),
        };
        let url: Uri = text.parse().map_err(|_| fault())?;
        // Browsers send the session cookie over HTTPS only, and every page and call is below the root.
        let is_ours = url.scheme_str() == Some("https") && url.path() == "/";
        let authority = url.authority().ok_or_else(fault)?;
        let port_fits = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => true,
            Some(port) => authority.port_u16().is_some_and(|p| p > 0) && port.starts_with(':'),
            None => false,
        };
        let is_host = !authority.host().is_empty() && host(authority.host()).is_some();
        if is_ours && is_host && port_fits && url.query().is_none() && !text.contains(['#', '@']) {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err(fault())
        }
    }
}

/// A host that peers can dial: a DNS name without wildcard, or an IP address, an IPv6 one in brackets or not.
/// `None` when it is neither.
fn host(text: &str) -> Option<San> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => {
            let literal = rest.strip_suffix(']')?;
            literal.parse::<Ipv6Addr>().ok()?;
            literal
        }
        None => text,
    };
    bare.parse::<San>().ok().filter(|name| !name.0.starts_with('*'))
}

/// Reads an address to listen on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no address to listen on; write IP:PORT, for example 127.0.0.1:8083 or [::]:8083")
    })
}

/// A port on every address of the host, IPv4 and IPv6.
pub(super) const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Whether the last label is a number: then it is a mistyped IPv4 address, which no resolver takes as a name.
fn ends_in_number(host: &str) -> bool {
    host.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()))
}
