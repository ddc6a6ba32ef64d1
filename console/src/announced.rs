//! PROXY protocol version 2: a header before everything else on a connection, by which a proxy that hands bytes on
//! untouched announces whose they are. The form is that of HAProxy's `proxy-protocol.txt`, binary only. Only trusted
//! proxies may announce, and they must: what cannot be told apart could be forged.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::door::{Place, SilentError};

/// Why an announcement was not taken; the connection is closed.
#[derive(Debug, Error)]
pub enum AnnouncementError {
    /// The connection ended or failed within it.
    #[error("reading the header of PROXY protocol v2")]
    Io(#[from] io::Error),
    /// It is none.
    #[error("no header of PROXY protocol v2: {0}")]
    Malformed(&'static str),
    /// Nothing came.
    #[error(transparent)]
    Silent(#[from] SilentError),
    /// It did not come whole in time.
    #[error("the header of PROXY protocol v2 took longer than {} s", protocol::STEP_TIMEOUT.as_secs())]
    TimedOut(#[from] tokio::time::error::Elapsed),
}

impl AnnouncementError {
    /// What the operator has to mend; `None` where only this one connection failed.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        let remedy = "let the proxy send PROXY protocol v2 to this port, or switch it off in the Console";
        matches!(self, Self::Malformed(_)).then_some(remedy)
    }
}

/// Returns once the connection has sent its first byte, behind the announcement if its peer is a proxy that makes one:
/// whose connection it is.
///
/// # Errors
/// [`AnnouncementError`]: drop the connection.
pub async fn client(
    stream: &mut TcpStream,
    peer: SocketAddr,
    place: &Place,
) -> Result<SocketAddr, AnnouncementError> {
    place.first_byte(stream).await?;
    if !place.is_announced_by(peer.ip()) {
        return Ok(peer);
    }
    let announced = timeout(protocol::STEP_TIMEOUT, read(stream)).await??;
    // A proxy announces when its client connects, which may then say nothing for as long as it likes.
    place.first_byte(stream).await?;
    Ok(announced.unwrap_or(peer))
}

/// Reads a header and not a byte more; `None`: the proxy speaks for itself, or for somebody without an address.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, AnnouncementError> {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await?;
    let (kind, length) = parse_head(&head)?;
    let mut addresses = [0; LONGEST_ADDRESSES];
    let (addresses, _) = addresses.split_at_mut(kind.addresses().min(LONGEST_ADDRESSES));
    let Some(mut left) = length.checked_sub(addresses.len()) else {
        return Err(AnnouncementError::Malformed("it is too short for its addresses"));
    };
    stream.read_exact(addresses).await?;
    // What follows is told beside the addresses: certificates, names. Nobody here needs it.
    let mut rest = [0; 512];
    while left > 0 {
        let (piece, _) = rest.split_at_mut(left.min(512));
        stream.read_exact(piece).await?;
        left -= piece.len();
    }
    Ok(kind.parse_addresses(addresses))
}

/// What a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The proxy itself, as in a health check, or a client without an address.
    Nobody,
    /// A client over IPv4.
    V4,
    /// A client over IPv6.
    V6,
}

/// Kind, and length of what follows.
fn parse_head(head: &[u8; HEAD]) -> Result<(Kind, usize), AnnouncementError> {
    let Some(([version_and_command, family, high, low], [])) =
        head.strip_prefix(SIGNATURE).and_then(<[u8]>::split_first_chunk)
    else {
        return Err(AnnouncementError::Malformed("it begins otherwise"));
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > MOST_BYTES {
        return Err(AnnouncementError::Malformed("it is longer than 16 KiB"));
    }
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(AnnouncementError::Malformed("its version or command is not known")),
    };
    let kind = match family {
        0x11 => Kind::V4,
        0x21 => Kind::V6,
        // No address, datagrams, UNIX sockets.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Kind::Nobody,
        _ if is_local => Kind::Nobody,
        _ => return Err(AnnouncementError::Malformed("its address family is not known")),
    };
    Ok((if is_local { Kind::Nobody } else { kind }, length))
}

impl Kind {
    /// Bytes of both addresses and both ports.
    fn addresses(self) -> usize {
        match self {
            Self::Nobody => 0,
            Self::V4 => 12,
            Self::V6 => LONGEST_ADDRESSES,
        }
    }

    /// The source out of source, destination and their ports.
    fn parse_addresses(self, bytes: &[u8]) -> Option<SocketAddr> {
        let ip = match self {
            Self::Nobody => return None,
            Self::V4 => Ipv4Addr::from(*bytes.first_chunk::<4>()?).into(),
            Self::V6 => Ipv6Addr::from(*bytes.first_chunk::<16>()?).to_canonical(),
        };
        let port = bytes.get(bytes.len().checked_sub(4)?..)?.first_chunk::<2>()?;
        Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
    }
}

/// Signature, version and command, family, length.
const HEAD: usize = 16;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const LONGEST_ADDRESSES: usize = 36;

/// Proxies that hand on a client's certificate need a few KiB.
const MOST_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests;
