//! The HTTP proxy on the way to the Console, as `HTTPS_PROXY` and `NO_PROXY` name it. Pure; the tunnel through it is
//! made in `dial/tunnel.rs`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

/// A proxy that makes tunnels (CONNECT).
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// An IPv6 address without brackets.
    host: String,
    port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Zeroizing<String>>,
}

/// Why a text names no proxy. Never repeats it: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}; write http://[USER:PASSWORD@]HOST[:PORT]")]
pub struct ProxyFault(&'static str);

impl Proxy {
    /// Reads `[http://][USER[:PASSWORD]@]HOST[:PORT][/]`; the port is 80 when absent.
    ///
    /// # Errors
    /// [`ProxyFault`].
    pub fn parse(text: &str) -> Result<Self, ProxyFault> {
        let rest = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(ProxyFault("only proxies that are spoken to in plain HTTP are known")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place).ok_or(ProxyFault("it has no readable host and port"))?;
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if host.is_empty() || !host.chars().all(is_host) || port == Some(0) {
            return Err(ProxyFault("it has no readable host and port"));
        }
        let authorization = credentials.map(basic).transpose()?;
        Ok(Self { host: host.to_owned(), port: port.unwrap_or(80), authorization })
    }

    /// Its host, to be resolved; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Proxy-Authorization`, where the proxy is to be told who asks.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_ref().map(|text| text.as_str())
    }
}

/// Where it is; never the credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<Ipv6Addr>() {
            Ok(address) => write!(f, "[{address}]:{}", self.port),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Whether `NO_PROXY` says to reach `host` at `port` directly. Items are separated by commas: `*`, a name (and the names
/// below it), `.suffix`, an address, a network in CIDR form; each but `*` and networks may end in `:PORT`. What cannot
/// be read is passed over, as other programs do.
#[must_use]
pub fn is_direct(no_proxy: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    no_proxy
        .split([',', ' '])
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .any(|item| covers(item, &host, port))
}

fn covers(item: &str, host: &str, port: u16) -> bool {
    if item == "*" {
        return true;
    }
    let address: Option<IpAddr> = host.parse().ok();
    if let Some((network, bits)) = item.split_once('/') {
        let (Some(address), Ok(network), Ok(bits)) = (address, network.parse(), bits.parse()) else {
            return false;
        };
        return is_in(address, network, bits);
    }
    let Some((name, only)) = host_and_port(item) else { return false };
    if only.is_some_and(|only| only != port) {
        return false;
    }
    if let Ok(listed) = name.parse::<IpAddr>() {
        return address.is_some_and(|address| address.to_canonical() == listed.to_canonical());
    }
    let name = name.trim_start_matches('*').trim_end_matches('.').to_ascii_lowercase();
    match name.strip_prefix('.') {
        Some(suffix) => is_below(host, suffix),
        None => host == name || is_below(host, &name),
    }
}

fn is_below(host: &str, suffix: &str) -> bool {
    !suffix.is_empty() && host.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address.to_canonical(), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let shift = 32_u32.checked_sub(bits);
            shift.is_some_and(|shift| {
                let cut = |bits: u32| bits.checked_shr(shift).unwrap_or(0);
                cut(address.to_bits()) == cut(network.to_bits())
            })
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let shift = 128_u32.checked_sub(bits);
            shift.is_some_and(|shift| {
                let cut = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
                cut(address.to_bits()) == cut(network.to_bits())
            })
        }
        _ => false,
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT`, or an IPv6 address as it is.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, behind) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return match behind.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => behind.is_empty().then_some((host, None)),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((text, None)),
    }
}

/// The value of `Proxy-Authorization` for what stands before the `@` of a URL.
fn basic(credentials: &str) -> Result<Zeroizing<String>, ProxyFault> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut text = Zeroizing::new(decoded(user)?.to_vec());
    text.push(b':');
    text.extend_from_slice(&decoded(password)?);
    let encoded = Zeroizing::new(STANDARD.encode(&text));
    Ok(Zeroizing::new(format!("Basic {}", encoded.as_str())))
}

/// Without percent signs.
fn decoded(text: &str) -> Result<Zeroizing<Vec<u8>>, ProxyFault> {
    let fault = ProxyFault("its user or password has a % that is not followed by two hexadecimal digits");
    let mut bytes = text.bytes();
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(fault);
        let value = digit()? * 16 + digit()?;
        plain.push(u8::try_from(value).map_err(|_| fault)?);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_as_other_programs_read_it() {
        for (text, place, authorization) in [
            ("http://proxy.example:3128", "proxy.example:3128", None),
            ("HTTP://proxy.example/", "proxy.example:80", None),
            ("proxy:8080", "proxy:8080", None),
            ("http://[2001:db8::1]:3128", "[2001:db8::1]:3128", None),
            ("http://user:secret@proxy:3128", "proxy:3128", Some("Basic dXNlcjpzZWNyZXQ=")),
            ("http://user:p%40ss%3a%25@proxy", "proxy:80", Some("Basic dXNlcjpwQHNzOiU=")),
            ("http://user@proxy", "proxy:80", Some("Basic dXNlcjo=")),
        ] {
            let proxy = Proxy::parse(text).expect(text);
            assert_eq!((proxy.to_string().as_str(), proxy.authorization()), (place, authorization), "{text}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_repeating_it() {
        for text in [
            "",
            "http://",
            "https://u:secret@proxy:3128",
            "socks5://u:secret@proxy",
            "http://u:secret@proxy:port",
            "http://u:secret@proxy:0",
            "http://u:secret@proxy:99999",
            "http://u:secret@proxy/path",
            "http://u:secret%4@proxy",
            "http://u:secret%zz@proxy",
            "http://u:secret@pro xy",
            "http://u:secret@proxy\r\nX: y",
        ] {
            let fault = Proxy::parse(text).expect_err(text).to_string();
            assert!(!fault.contains("secret") && fault.contains("write http://"), "{fault}");
        }
        let debug = format!("{:?}", Proxy::parse("http://u:secret@proxy").expect("good"));
        assert_eq!(debug, "Proxy(proxy:80)");
    }

    #[test]
    fn no_proxy_knows_names_suffixes_addresses_networks_ports_and_everything() {
        for (list, host, direct) in [
            ("*", "console.example.com", true),
            ("", "console.example.com", false),
            ("other, console.example.com", "Console.Example.com", true),
            ("example.com", "console.example.com", true),
            ("example.com", "example.com", true),
            ("ample.com", "example.com", false),
            (".example.com", "console.example.com", true),
            ("*.example.com", "console.example.com", true),
            (".example.com", "example.com", false),
            (".", "example.com", false),
            ("console:8084", "console", true),
            ("console:443", "console", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7:8084", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.70", false),
            ("192.0.2.0/24", "192.0.2.7", true),
            ("192.0.2.0/24", "192.0.3.7", false),
            ("0.0.0.0/0", "192.0.3.7", true),
            ("192.0.2.0/33", "192.0.2.7", false),
            ("192.0.2.0/24", "console", false),
            ("2001:db8::/32", "2001:db8::7", true),
            ("2001:db8::/32", "2001:db9::7", false),
            ("::/0", "192.0.2.7", false),
            ("[2001:db8::7]:8084", "2001:db8::7", true),
            ("2001:db8::7", "2001:db8::7", true),
            ("[::1]:443", "::1", false),
            ("console:port,a/b", "console", false),
        ] {
            assert_eq!(is_direct(list, host, 8084), direct, "{list} for {host}");
        }
    }
}
