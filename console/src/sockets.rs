//! The listening sockets: bound once, for the life of the Console.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;

use crate::config::Config;

/// The listening sockets with the addresses that they got; they stay open for the life of the Console.
pub(crate) struct Sockets {
    pub(crate) https: (TcpListener, SocketAddr),
    pub(crate) defender: (TcpListener, SocketAddr),
    pub(crate) http: Option<(TcpListener, SocketAddr)>,
}

impl Sockets {
    /// Binds all of them.
    ///
    /// # Errors
    /// Which one cannot be bound, and why.
    pub(crate) fn bind(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            https: bind(config.https_listen, "--https-listen")?,
            defender: bind(config.defender_listen, "--defender-listen")?,
            http: config.http_listen.map(|address| bind(address, "--http-listen")).transpose()?,
        })
    }
}

/// Listens on `address`; `[::]` takes IPv4 too, and becomes `0.0.0.0` on a host without IPv6.
fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let socket = match listen(address) {
        Err(error) if address.ip().is_unspecified() && has_no_ipv6(&error) => {
            listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        other => other,
    };
    socket
        .and_then(|socket| TcpListener::from_std(socket.into()))
        .and_then(|listener| listener.local_addr().map(|bound| (listener, bound)))
        .with_context(|| {
            format!("listening on {address} ({flag}): give a free address, or stop the program that holds it")
        })
}

fn listen(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    let options = SockRef::from(&socket);
    options.set_reuse_address(true)?;
    options.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn has_no_ipv6(error: &std::io::Error) -> bool {
    use nix::errno::Errno;
    let unsupported = [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL];
    unsupported.into_iter().any(|errno| std::io::Error::from(errno).raw_os_error() == error.raw_os_error())
}

/// The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;
