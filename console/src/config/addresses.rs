//! Addresses to listen on. Names and URLs are judged in the crate `manifests`, which writes them into files as well.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

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
