//! The proxies whose word about their clients is believed: addresses and networks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::{Fault, Reader};

/// Whose word about their clients is believed, and which of it.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// They tell in headers of HTTP.
    pub trusted: TrustedProxies,
    /// They begin their connections to the HTTPS listener with PROXY protocol: all that are trusted, or none.
    pub https: TrustedProxies,
    /// The same for the Defender listener.
    pub defender: TrustedProxies,
}

/// The proxies; nobody, unless told. Clones share the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[Network]>);

/// A network, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    /// How many bits of it count.
    bits: u8,
}

impl Proxies {
    pub(super) fn read(
        read: &mut Reader,
        trusted: Vec<String>,
        (https, defender): (Option<String>, Option<String>),
    ) -> Self {
        let given = trusted.len();
        let trusted: TrustedProxies = trusted
            .into_iter()
            .filter_map(|text| read.text("--trusted-proxies", Some(text), Network::from_str))
            .collect();
        let mut announcing = |flag, text| match read.text(flag, text, switch) {
            Some(true) if given == 0 => {
                let cause = "say which proxies may announce their clients, with --trusted-proxies".to_owned();
                read.0.push(Fault { flag, cause });
                TrustedProxies::default()
            }
            Some(true) => trusted.clone(),
            Some(false) | None => TrustedProxies::default(),
        };
        let https = announcing("--https-proxy-protocol", https);
        let defender = announcing("--defender-proxy-protocol", defender);
        Self { trusted, https, defender }
    }
}

impl TrustedProxies {
    /// Whether this address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Network> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.bits) == self.address
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "write an address (192.0.2.7, 2001:db8::7) or a network (10.0.0.0/8, 2001:db8::/32)";
        let fault = || format!("{text:?} is no address and no network; {form}");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| fault())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().map_err(|_| fault())?,
            Some(_) => return Err(fault()),
        };
        if bits > most {
            return Err(fault());
        }
        if masked(address, bits) != address {
            let network = masked(address, bits);
            return Err(format!("{text:?} has bits behind its length; write {network}/{bits}"));
        }
        // As connections show it: an IPv4 address within IPv6 as the former.
        let canonical = address.to_canonical();
        let bits = if canonical == address { bits } else { bits.saturating_sub(96) };
        if bits == 0 {
            return Err(format!("{text:?} would trust everybody; name the proxies, {form}"));
        }
        Ok(Self { address: canonical, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is not known; true or false"))
}

/// The address with all but its first `bits` bits at zero.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or_default();
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or_default();
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
impl From<&str> for TrustedProxies {
    fn from(text: &str) -> Self {
        text.split(',').map(|network| network.parse::<Network>().expect("a network")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_contain_what_they_say() {
        let proxies = TrustedProxies::from("10.0.0.0/8,192.0.2.7,2001:db8::/32,::1,::ffff:198.51.100.0/120");
        for (address, is_one) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::ffff:10.1.2.3", true),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("198.51.100.77", true),
            ("198.51.101.1", false),
            ("2001:db8:1::", true),
            ("2001:db9::", false),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(proxies.contains(address.parse().expect("an address")), is_one, "{address}");
        }
        assert!(!TrustedProxies::default().contains(IpAddr::from([127, 0, 0, 1])), "nobody unless told");
    }

    #[test]
    fn what_is_none_is_refused_with_the_accepted_form() {
        for (text, cause) in [
            ("", "is no address"),
            ("proxy", "is no address"),
            ("10.0.0.0/33", "is no address"),
            ("10.0.0.0/", "is no address"),
            ("10.0.0.0/+8", "is no address"),
            ("10.0.0.0/8/8", "is no address"),
            ("2001:db8::/129", "is no address"),
            ("10.0.0.1:80", "is no address"),
            ("0.0.0.0/0", "would trust everybody"),
            ("::/0", "would trust everybody"),
            ("::ffff:0:0/96", "would trust everybody"),
            ("10.0.0.7/8", "write 10.0.0.0/8"),
        ] {
            let fault = text.parse::<Network>().expect_err("refused");
            assert!(fault.contains(cause), "{fault}");
        }
        assert_eq!("10.0.0.0/8".parse::<Network>().expect("a network").to_string(), "10.0.0.0/8");
    }
}
