//! What trusted proxies tell of the client that they speak for: `X-Forwarded-For`, `-Proto`, `-Host`, or `Forwarded` (RFC
//! 7239). Each proxy adds at the right. So the way is gone from the right as long as it leads through trusted proxies;
//! the first other address is the client, and what stands left of it may be invented.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::FORWARDED;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName};

use super::listener::Scheme;
use crate::config::TrustedProxies;

/// What is known of a client behind proxies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Its address, as far as the proxies know it; without a port it is 0.
    pub(super) address: Option<SocketAddr>,
    /// How it speaks with the first of them.
    pub(super) scheme: Option<Scheme>,
    /// The host that it has called.
    pub(super) host: Option<Authority>,
}

/// What one proxy says of whoever has called it.
#[derive(Debug, Default)]
struct Hop {
    node: Option<SocketAddr>,
    scheme: Option<Scheme>,
    host: Option<Authority>,
}

/// What the headers of a request tell that a trusted proxy has sent. `X-Forwarded-For` wins over `Forwarded`: the usual
/// proxies write the former, and hand on whatever a client makes up of the latter.
pub(super) fn told(headers: &HeaderMap, trusted: &TrustedProxies) -> Told {
    if headers.contains_key(FORWARDED) && !headers.contains_key(&X_FORWARDED_FOR) {
        let elements = values(headers, &FORWARDED).flat_map(|line| from_right(line, ','));
        return follow(elements.map(element), trusted);
    }
    let mut schemes = list(headers, &X_FORWARDED_PROTO).map(scheme);
    let mut hosts = list(headers, &X_FORWARDED_HOST).map(host);
    let mut hop = |node| Hop { node, scheme: schemes.next().flatten(), host: hosts.next().flatten() };
    if headers.contains_key(&X_FORWARDED_FOR) {
        follow(list(headers, &X_FORWARDED_FOR).map(|text| hop(node(text))), trusted)
    } else {
        follow(std::iter::once(hop(None)), trusted)
    }
}

/// From the nearest hop on, as long as those who tell are trusted.
fn follow(hops: impl Iterator<Item = Hop>, trusted: &TrustedProxies) -> Told {
    let mut told = Told::default();
    for hop in hops {
        told.scheme = hop.scheme.or(told.scheme);
        told.host = hop.host.or(told.host);
        told.address = hop.node.or(told.address);
        if hop.node.is_none_or(|node| !trusted.contains(node.ip())) {
            break;
        }
    }
    told
}

/// The texts of a header, the last first.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines: Vec<_> = headers.get_all(name).iter().collect();
    lines.into_iter().rev().map(|line| line.to_str().unwrap_or_default())
}

/// The items of a plain list, the last first.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    values(headers, name).flat_map(|line| line.rsplit(',')).map(str::trim)
}

/// The parts of a text, the last first; a separator between quotes is none. From the right, because an open quote that
/// a client has sent must not swallow what proxies have added.
fn from_right(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let whole = rest?;
        let mut is_quoted = false;
        let cut = whole.char_indices().rev().find(|(at, c)| {
            let before = whole.get(..*at).unwrap_or_default();
            let escapes = before.len() - before.trim_end_matches('\\').len();
            is_quoted ^= *c == '"' && escapes % 2 == 0;
            *c == separator && !is_quoted
        });
        let Some((at, _)) = cut else { return rest.take() };
        rest = whole.get(..at);
        whole.get(at + separator.len_utf8()..)
    })
}

/// One element of `Forwarded`; a malformed one tells nothing.
fn element(text: &str) -> Hop {
    let mut hop = Hop::default();
    let mut seen = Vec::new();
    for pair in from_right(text, ';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else { return Hop::default() };
        let (name, Some(value)) = (name.to_ascii_lowercase(), unquoted(value)) else { return Hop::default() };
        match name.as_str() {
            "for" => hop.node = node(&value),
            "host" => hop.host = host(&value),
            "proto" => hop.scheme = scheme(&value),
            _ => {}
        }
        if seen.contains(&name) {
            return Hop::default();
        }
        seen.push(name);
    }
    hop
}

/// A token, or what a quoted text means.
fn unquoted(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else {
        return (!value.contains(['"', '\\'])).then(|| value.to_owned());
    };
    let mut text = String::new();
    let mut rest = quoted.strip_suffix('"')?.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => return None,
            '\\' => text.push(rest.next()?),
            c => text.push(c),
        }
    }
    Some(text)
}

/// An address, with or without a port: `192.0.2.7`, `192.0.2.7:5`, `[2001:db8::7]`, `[2001:db8::7]:5`, `2001:db8::7`.
/// `None` for those that hide (`unknown`, `_hidden`) and for everything else.
fn node(text: &str) -> Option<SocketAddr> {
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(address, _)| address.contains(':'))?,
        None if text.matches(':').count() == 1 => text.split_at(text.find(':')?),
        None => (text, ""),
    };
    let address: IpAddr = address.parse().ok()?;
    let port = match port.strip_prefix(':') {
        // A hidden port says nothing against the address.
        Some(port) if port.starts_with('_') => 0,
        Some(port) => port.parse().ok()?,
        None if port.is_empty() => 0,
        None => return None,
    };
    Some(SocketAddr::new(address.to_canonical(), port))
}

fn scheme(text: &str) -> Option<Scheme> {
    match text {
        _ if text.eq_ignore_ascii_case("https") => Some(Scheme::Https),
        _ if text.eq_ignore_ascii_case("http") => Some(Scheme::Http),
        _ => None,
    }
}

fn host(text: &str) -> Option<Authority> {
    Authority::try_from(text).ok().filter(|host| !host.as_str().contains('@') && !host.host().is_empty())
}

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

#[cfg(test)]
mod tests;
