//! Where a browser's request comes from. A request that changes something with the cookie needs proof that a page of
//! this Console made it: other sites can make a browser send requests, but not forge these headers.

use axum::http::header::{HOST, ORIGIN, REFERER};
use axum::http::request::Parts;
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, HeaderName, Method, Uri};

use super::listener::{self, Peer};
use crate::config::PublicUrl;

/// What the headers say of the page that made a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Another site, or one that hides.
    Foreign,
    /// A page of this Console.
    Own,
    /// Nothing: no browser of today.
    Unsaid,
}

/// Whether a request may change something, so that the cookie alone is not enough for it.
pub(super) fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Which page made the request: `Sec-Fetch-Site`, else `Origin`, else `Referer`.
pub(super) fn of(parts: &Parts, public_url: Option<&PublicUrl>) -> Origin {
    if let Some(site) = parts.headers.get(SEC_FETCH_SITE) {
        return if only(&parts.headers, &SEC_FETCH_SITE) && site == "same-origin" {
            Origin::Own
        } else {
            Origin::Foreign
        };
    }
    let Some(header) = [ORIGIN, REFERER].into_iter().find(|name| parts.headers.contains_key(name)) else {
        return Origin::Unsaid;
    };
    let said = parts.headers.get(&header).and_then(|value| value.to_str().ok());
    let page = said.filter(|_| only(&parts.headers, &header)).and_then(|text| text.parse::<Uri>().ok());
    match page.as_ref().and_then(site) {
        Some(page) if is_called(&page, parts) || public_url.and_then(public).as_ref() == Some(&page) => {
            Origin::Own
        }
        _ => Origin::Foreign,
    }
}

fn only(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().count() == 1
}

/// Scheme, host in lower case, port.
type Site = (bool, String, u16);

fn site(url: &Uri) -> Option<Site> {
    let is_https = match url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return None,
    };
    let (host, port) = host_and_port(url.authority()?, is_https)?;
    Some((is_https, host, port))
}

/// The port that a scheme means is added; `user@` is no part of an origin.
fn host_and_port(authority: &Authority, is_https: bool) -> Option<(String, u16)> {
    let is_plain = !authority.as_str().contains('@');
    let usual = if is_https { 443 } else { 80 };
    is_plain.then(|| (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(usual)))
}

fn public(url: &PublicUrl) -> Option<Site> {
    site(&url.as_str().parse().ok()?)
}

/// Whether the page is of the host that the request calls. Behind an ingress the Console sees plain HTTP and cannot
/// tell whether the browser spoke HTTPS with it.
fn is_called(page: &Site, parts: &Parts) -> bool {
    let is_https = Peer::of(&parts.extensions).scheme == listener::Scheme::Https;
    let called = called(parts).and_then(|called| host_and_port(&called, page.0));
    (page.0 || !is_https) && called == Some((page.1.clone(), page.2))
}

/// The host that the request calls: as a trusted proxy tells, else as it says itself.
pub(super) fn called(parts: &Parts) -> Option<Authority> {
    let header = || parts.headers.get(HOST).filter(|_| only(&parts.headers, &HOST));
    Peer::of(&parts.extensions)
        .host
        .or_else(|| parts.uri.authority().cloned())
        .or_else(|| Authority::try_from(header()?.as_bytes()).ok())
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::http::Request;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn parts(scheme: listener::Scheme, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request =
            headers.iter().fold(Request::post(uri), |request, (name, value)| request.header(*name, *value));
        let (mut parts, ()) = request.body(()).expect("valid").into_parts();
        let (ending, stopping) = (CancellationToken::new(), CancellationToken::new());
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        parts.extensions.insert(Peer { address, scheme, host: None, ending, stopping });
        parts
    }

    fn judge(uri: &str, headers: &[(&str, &str)]) -> Origin {
        let url = "https://garrison.example.com".parse().expect("a URL");
        of(&parts(listener::Scheme::Https, uri, headers), Some(&url))
    }

    #[test]
    fn a_page_of_the_host_called_or_of_the_public_url_is_our_own() {
        let here = ("host", "console:8083");
        for headers in [
            vec![here, ("origin", "https://console:8083")],
            vec![here, ("origin", "https://CONSOLE:8083")],
            vec![here, ("referer", "https://console:8083/access?x=1")],
            vec![here, ("sec-fetch-site", "same-origin")],
            vec![here, ("origin", "https://garrison.example.com")],
            vec![("host", "console"), ("origin", "https://console")],
            vec![("host", "console:443"), ("origin", "https://console")],
            vec![("host", "[2001:db8::7]:8083"), ("origin", "https://[2001:db8::7]:8083")],
        ] {
            assert_eq!(judge("/logout", &headers), Origin::Own, "{headers:?}");
        }
        let on_http2 = [("origin", "https://console:8083")];
        assert_eq!(judge("https://console:8083/logout", &on_http2), Origin::Own);
    }

    #[test]
    fn any_other_page_is_foreign() {
        let here = ("host", "console:8083");
        for headers in [
            vec![here, ("origin", "https://evil.example")],
            vec![here, ("origin", "https://console")],
            vec![here, ("origin", "https://console:8083.evil.example")],
            vec![here, ("origin", "https://console:8083@evil.example")],
            vec![here, ("origin", "http://console:8083")],
            vec![here, ("origin", "null")],
            vec![here, ("origin", "")],
            vec![here, ("origin", "\u{e9}")],
            vec![here, ("origin", "https://console:8083"), ("origin", "https://evil.example")],
            vec![here, ("origin", "https://evil.example"), ("referer", "https://console:8083/")],
            vec![here, ("referer", "https://evil.example/https://console:8083/")],
            vec![here, ("sec-fetch-site", "cross-site"), ("origin", "https://console:8083")],
            vec![here, ("sec-fetch-site", "same-site"), ("origin", "https://console:8083")],
            vec![here, ("sec-fetch-site", "none")],
            vec![here, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            vec![here, ("host", "evil.example"), ("origin", "https://evil.example")],
            vec![("origin", "https://console:8083")],
        ] {
            assert_eq!(judge("/logout", &headers), Origin::Foreign, "{headers:?}");
        }
        assert_eq!(judge("/logout", &[here]), Origin::Unsaid);
    }

    #[test]
    fn behind_an_ingress_both_schemes_are_our_own() {
        for origin in ["https://console.example.com", "http://console.example.com"] {
            let headers = [("host", "console.example.com"), ("origin", origin)];
            let parts = parts(listener::Scheme::Http, "/logout", &headers);
            assert_eq!(of(&parts, None), Origin::Own, "{origin}");
        }
    }

    #[test]
    fn the_host_and_scheme_that_a_trusted_proxy_tells_count_and_no_other() {
        for (origin, judgement) in [
            ("https://console.example.com", Origin::Own),
            ("http://console.example.com", Origin::Foreign),
            ("https://inner:8081", Origin::Foreign),
        ] {
            let headers = [("host", "inner:8081"), ("origin", origin)];
            let mut parts = parts(listener::Scheme::Http, "/logout", &headers);
            let told = [("x-forwarded-proto", "https"), ("x-forwarded-host", "console.example.com")]
                .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
            let client = Peer::of(&parts.extensions).behind(&told.into_iter().collect(), &"10.0.0.1".into());
            parts.extensions.insert(client);
            assert_eq!(of(&parts, None), judgement, "{origin}");
        }
    }
}
