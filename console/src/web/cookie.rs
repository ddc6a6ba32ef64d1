//! The session cookie. `__Host-` makes browsers refuse it from other hosts, other paths and plain HTTP; scripts cannot
//! read it, and other sites' pages cannot send it.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// The token that the browser shows. `None` too when there are several cookies of the name: a browser sends one.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut tokens = pairs.filter(|(name, _)| *name == NAME).map(|(_, token)| token);
    tokens.next().filter(|_| tokens.next().is_none())
}

/// Whether there is a session cookie at all, good or not.
pub(super) fn is_there(headers: &HeaderMap) -> bool {
    let name = NAME.as_bytes();
    headers
        .get_all(COOKIE)
        .iter()
        .any(|cookies| cookies.as_bytes().windows(name.len()).any(|part| part == name))
}

/// Gives the browser a token until it is closed; the Console decides how long the session lasts.
pub(super) fn set(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("{NAME}={token}; {ATTRIBUTES}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Makes the browser forget its token.
pub(super) fn forget() -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{NAME}=; {ATTRIBUTES}; Max-Age=0")).ok()
}

const NAME: &str = "__Host-garrison";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cookies: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).expect("valid"));
        }
        token(&headers).map(str::to_owned)
    }

    #[test]
    fn the_token_is_found_among_others_and_two_are_none() {
        assert_eq!(of(&["a=b; __Host-garrison=x; c=d"]).as_deref(), Some("x"));
        assert_eq!(of(&["a=b", "__Host-garrison=x"]).as_deref(), Some("x"), "HTTP/2 splits them");
        for none in [
            vec!["__Host-garrison=x; __Host-garrison=y"],
            vec!["__Host-garrison=x", "__Host-garrison=x"],
            vec!["__Host-garrison"],
            vec!["__host-garrison=x"],
            vec!["x__Host-garrison=x"],
            vec!["\u{ff}; __Host-garrison=x"],
            vec![],
        ] {
            assert_eq!(of(&none), None, "{none:?}");
        }
    }
}
