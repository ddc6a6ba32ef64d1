//! Headers of proxies, of chains of them, and of clients that make them up.

use proptest::prelude::*;

use super::*;

fn judge(headers: &[(&str, &str)]) -> Told {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).expect("a name");
        map.append(name, value.parse().expect("a value"));
    }
    told(&map, &TrustedProxies::from("10.0.0.0/8,2001:db8:1::/48"))
}

fn address(headers: &[(&str, &str)]) -> String {
    judge(headers).address.map(|address| address.ip().to_string()).unwrap_or_default()
}

#[test]
fn the_first_address_from_the_right_that_is_no_proxy_is_the_client() {
    for (header, client) in [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("192.0.2.7:1234", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:1234", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, 10.1.1.1", "192.0.2.7"),
        ("192.0.2.7,10.1.1.1,2001:db8:1::1", "192.0.2.7"),
        // What stands left of the client is the client's own invention.
        ("198.51.100.1, 192.0.2.7, 10.1.1.1", "192.0.2.7"),
        ("10.9.9.9, 192.0.2.7", "192.0.2.7"),
        // All of them are proxies: the first one called by itself.
        ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
        // What cannot be read ends the way: the proxy before it is all that is known.
        ("192.0.2.7, nonsense, 10.1.1.1", "10.1.1.1"),
        ("192.0.2.7, unknown", ""),
        ("192.0.2.7,", ""),
        ("192.0.2.7:port", ""),
        ("192.0.2.7]", ""),
        ("[192.0.2.7]", ""),
        ("", ""),
    ] {
        assert_eq!(address(&[("x-forwarded-for", header)]), client, "{header}");
    }
    let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "192.0.2.7, 10.1.1.1")];
    assert_eq!(address(&lines), "192.0.2.7", "several lines are one list");
}

#[test]
fn the_forwarded_header_says_the_same() {
    for (header, client) in [
        ("for=192.0.2.7", "192.0.2.7"),
        ("For=192.0.2.7;proto=https;by=203.0.113.43", "192.0.2.7"),
        ("for=\"192.0.2.7:4711\"", "192.0.2.7"),
        ("for=\"[2001:db8::7]:4711\"", "2001:db8::7"),
        ("for=\"[2001:db8::7]:_hidden\"", "2001:db8::7"),
        ("for=\"192.0\\.2.7\"", "192.0.2.7"),
        ("for=198.51.100.1, for=192.0.2.7;host=\"a,b;c\", for=10.1.1.1", "192.0.2.7"),
        ("for=192.0.2.7, for=_hidden", ""),
        ("for=unknown", ""),
        ("for=192.0.2.7;for=192.0.2.8", ""),
        ("for=192.0.2.7;nonsense", ""),
        ("for=192.0.2.7\"", ""),
        ("proto=https", ""),
        // An open quote of the client swallows nothing that a proxy has added.
        ("for=\"198.51.100.1, for=192.0.2.7", "192.0.2.7"),
        ("for=\"198.51.100.1\\, for=192.0.2.7, for=10.1.1.1", "192.0.2.7"),
    ] {
        assert_eq!(address(&[("forwarded", header)]), client, "{header}");
    }
    let both = [("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "192.0.2.7")];
    assert_eq!(address(&both), "192.0.2.7", "a client can send the other one through most proxies");
}

#[test]
fn scheme_and_host_are_those_of_the_hop_that_tells_the_client() {
    let host = |told: Told| told.host.map(|host| host.to_string()).unwrap_or_default();
    let one = [
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "console.example.com"),
    ];
    assert_eq!((judge(&one).scheme, host(judge(&one))), (Some(Scheme::Https), one[2].1.to_owned()));
    let chain = [
        ("x-forwarded-for", "198.51.100.1, 192.0.2.7, 10.1.1.1"),
        ("x-forwarded-proto", "http, HTTPS, http"),
        ("x-forwarded-host", "evil.example, console.example.com:8443, inner"),
    ];
    assert_eq!(judge(&chain).scheme, Some(Scheme::Https));
    assert_eq!(host(judge(&chain)), "console.example.com:8443");
    let only_outer = [("x-forwarded-for", "192.0.2.7, 10.1.1.1"), ("x-forwarded-proto", "https")];
    assert_eq!(judge(&only_outer).scheme, Some(Scheme::Https));
    let no_address = [("x-forwarded-proto", "http,https"), ("x-forwarded-host", "console.example.com")];
    assert_eq!(judge(&no_address).scheme, Some(Scheme::Https), "the nearest one is trusted");
    assert_eq!(host(judge(&no_address)), "console.example.com");
    let forwarded = [("forwarded", "for=192.0.2.7;proto=https;host=\"console.example.com:8443\"")];
    assert_eq!(host(judge(&forwarded)), "console.example.com:8443");
    assert_eq!(judge(&forwarded).scheme, Some(Scheme::Https));
    for nonsense in ["a@b", "a b", "", "a/b"] {
        assert_eq!(host(judge(&[("x-forwarded-host", nonsense)])), "", "{nonsense}");
    }
    assert_eq!(judge(&[("x-forwarded-proto", "gopher")]), Told::default());
    assert_eq!(judge(&[]), Told::default());
}

proptest! {
    #[test]
    fn nothing_that_a_client_sends_before_its_proxy_hides_or_changes_its_address(
        invented in "[ -~]{0,80}",
        is_forwarded in any::<bool>(),
        is_a_line_of_its_own in any::<bool>(),
    ) {
        let (name, own) = match is_forwarded {
            true => ("forwarded", "for=192.0.2.7, for=10.1.1.1"),
            false => ("x-forwarded-for", "192.0.2.7, 10.1.1.1"),
        };
        let joined = format!("{invented}, {own}");
        let seen = match is_a_line_of_its_own {
            true => address(&[(name, &invented), (name, own)]),
            false => address(&[(name, &joined)]),
        };
        prop_assert_eq!(seen, "192.0.2.7");
    }
}
