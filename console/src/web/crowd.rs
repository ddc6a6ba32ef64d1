//! How many connections one address, or one IPv6 network, may have open at once, so that one host cannot take all that
//! the Console has. The connections of a trusted proxy do not count; instead, each client behind it may make as many
//! calls at once.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

/// The open connections of one listener by whom their addresses stand for. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowd(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<IpAddr, usize>,
    told: Option<Instant>,
}

/// One open connection; dropped with it.
#[derive(Debug)]
pub(super) struct Guest {
    crowd: Crowd,
    address: IpAddr,
}

impl Crowd {
    /// One connection or call (`what`) more of this address; `None` when it has too many: refuse this one.
    pub(super) fn enter(&self, address: SocketAddr, what: &str) -> Option<Guest> {
        let address = crate::network::of(address.ip());
        let mut inner = self.lock();
        let open = inner.open.entry(address).or_default();
        if *open < MOST {
            *open += 1;
            return Some(Guest { crowd: self.clone(), address });
        }
        if inner.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            inner.told = Some(Instant::now());
            tracing::warn!(
                peer = address.to_string(),
                most = MOST,
                remedy = "find out what opens so many; proxies that speak for many users are named with --trusted-proxies",
                "Too many HTTPS {what} of one address, newer ones are closed"
            );
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// Counts until the answer has gone out.
    pub(super) fn stay(self, answer: Response<Body>) -> Response<Body> {
        answer.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _counted = &self;
                frame
            }))
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inner = self.crowd.lock();
        if let Some(open) = inner.open.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                inner.open.remove(&self.address);
            }
        }
    }
}

/// More than an office behind one address needs: a browser opens one or two.
const MOST: usize = 1024;

const TELL_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn a_host_does_not_get_more_by_using_many_addresses_of_its_ipv6_network() {
        let crowd = Crowd::default();
        let at = |network, host| {
            SocketAddr::new(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host).into(), 5)
        };
        let guests: Vec<_> = (0..).map_while(|host| crowd.enter(at(0, host), "connections")).collect();
        assert_eq!(guests.len(), MOST);
        assert!(crowd.enter(at(1, 0), "connections").is_some());
    }

    #[test]
    fn one_address_has_an_end_and_others_do_not_notice() {
        let crowd = Crowd::default();
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let mut guests: Vec<_> = (0..MOST).filter_map(|_| crowd.enter(at("192.0.2.1:5"), "calls")).collect();
        assert_eq!(guests.len(), MOST);
        assert!(crowd.enter(at("192.0.2.1:6"), "calls").is_none());
        assert!(crowd.enter(at("192.0.2.2:5"), "calls").is_some());
        guests.pop();
        assert!(crowd.enter(at("192.0.2.1:7"), "calls").is_some());
        guests.clear();
        assert!(crowd.lock().open.is_empty());
    }
}
