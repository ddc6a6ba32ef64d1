//! The way to the Console: straight, or through a tunnel that a proxy makes (CONNECT). TLS goes end to end through it.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{DialError, Step, Target, connect, within};
use crate::proxy::Proxy;

/// Why a proxy makes no tunnel.
#[derive(Debug, Error)]
pub enum TunnelError {
    /// The proxy cannot be reached.
    #[error("it cannot be reached")]
    Connect(#[source] Box<DialError>),
    /// It hung up, or the connection broke.
    #[error("the connection to it broke")]
    Io(#[source] io::Error),
    /// What answers is no HTTP proxy.
    #[error("what answers there is no HTTP proxy")]
    NotHttp,
    /// It says no.
    #[error("{}", refusal(*status, reason, *with_credentials))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it adds.
        reason: String,
        /// Whether it was told who asks.
        with_credentials: bool,
    },
}

impl TunnelError {
    /// One sentence: what a person can do about it.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Connect(_) | Self::Io(_) | Self::NotHttp => {
                "check the proxy, and its host and port in HTTPS_PROXY; name the Console's host in NO_PROXY to go \
                 without it"
            }
            Self::Refused { status: 407, .. } => {
                "put the user and password that the proxy knows into HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT"
            }
            Self::Refused { status: 403 | 405, .. } => {
                "have the proxy allow CONNECT to the Console's host and Defender port, or name the host in NO_PROXY"
            }
            Self::Refused { reason, .. } if is_about_names(reason) => {
                "check the host name in --console-address (WS_ADDRESS) and the DNS that the proxy uses"
            }
            Self::Refused { .. } => {
                "check that the Console runs, and that the proxy can resolve its name and may reach it; its log says more"
            }
        }
    }
}

/// A connection to the Defender listener of the Console.
pub(crate) async fn reach(target: &Target) -> Result<TcpStream, DialError> {
    let address = &target.address;
    reach_by(target.proxy.as_ref(), &address.host(), address.port(), &address.authority()).await
}

/// A connection to any port; `authority` is host and port as in a URL.
pub(crate) async fn reach_by(
    proxy: Option<&Proxy>,
    host: &str,
    port: u16,
    authority: &str,
) -> Result<TcpStream, DialError> {
    let Some(proxy) = proxy else {
        return connect(host, port).await;
    };
    let fault = |cause| DialError::Proxy { proxy: proxy.to_string(), cause };
    let reached = connect(proxy.host(), proxy.port()).await;
    let mut tcp = reached.map_err(|error| fault(TunnelError::Connect(Box::new(error))))?;
    within(Step::Proxy, ask(&mut tcp, authority, proxy)).await?.map_err(fault)?;
    Ok(tcp)
}

async fn ask(tcp: &mut TcpStream, console: &str, proxy: &Proxy) -> Result<(), TunnelError> {
    let mut request = zeroize::Zeroizing::new(format!("CONNECT {console} HTTP/1.1\r\nHost: {console}\r\n"));
    if let Some(authorization) = proxy.authorization() {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    tcp.write_all(request.as_bytes()).await.map_err(TunnelError::Io)?;
    let head = head(tcp).await?;
    let (status, reason) = read(&head).ok_or(TunnelError::NotHttp)?;
    if (200..300).contains(&status) {
        return Ok(());
    }
    Err(TunnelError::Refused { status, reason, with_credentials: proxy.authorization().is_some() })
}

/// The answer up to its empty line. One byte at a time: what follows belongs to the Console.
async fn head(tcp: &mut TcpStream) -> Result<String, TunnelError> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MOST_HEAD_BYTES {
            return Err(TunnelError::NotHttp);
        }
        match tcp.read_u8().await {
            Ok(byte) => head.push(byte),
            // Whatever this is, it is not going to be an answer.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !head.is_empty() => {
                return Err(TunnelError::NotHttp);
            }
            Err(error) => return Err(TunnelError::Io(error)),
        }
        if head.len() == 5 && !head.eq_ignore_ascii_case(b"HTTP/") {
            return Err(TunnelError::NotHttp);
        }
    }
    String::from_utf8(head).map_err(|_| TunnelError::NotHttp)
}

/// Status, and what the proxy says of it: squid names its own cause in a header.
fn read(head: &str) -> Option<(u16, String)> {
    let mut lines = head.lines();
    let (_, status) = lines.next()?.split_once(' ')?;
    let (code, phrase) = status.split_once(' ').unwrap_or((status, ""));
    let named = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("x-squid-error"));
    let reason = named.map_or(phrase, |(_, cause)| cause).trim();
    let plain = reason.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect();
    Some((code.parse().ok()?, plain))
}

fn refusal(status: u16, reason: &str, with_credentials: bool) -> String {
    let what = match status {
        407 if with_credentials => "it does not take the user and password",
        407 => "it wants a user and a password",
        403 | 405 => "it does not allow this connection",
        _ if is_about_names(reason) => "it cannot resolve the Console's name",
        500 | 502..=504 => "it cannot reach the Console",
        _ => "it makes no tunnel",
    };
    let detail = if reason.is_empty() { String::new() } else { format!(", {reason}") };
    format!("{what} (HTTP status {status}{detail})")
}

fn is_about_names(reason: &str) -> bool {
    reason.contains("DNS")
}

/// Largest answer of a proxy.
const MOST_HEAD_BYTES: usize = 16 * 1024;

/// Of what a proxy says, in characters.
const LONGEST_REASON: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_says_is_told_apart() {
        for (head, expected) in [
            ("HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\n\r\n", "cannot resolve"),
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "cannot reach the Console (HTTP status 502, Bad Gateway)"),
            ("HTTP/1.0 403\r\n\r\n", "does not allow this connection (HTTP status 403)"),
            ("HTTP/1.1 407 x\r\n\r\n", "wants a user and a password"),
            ("HTTP/1.1 301 Moved\r\n\r\n", "makes no tunnel"),
        ] {
            let (status, reason) = read(head).expect("an answer");
            let text = refusal(status, &reason, false);
            assert!(text.contains(expected), "{text}");
        }
        assert_eq!(read("HTTP/1.1 no\r\n\r\n"), None);
    }
}
