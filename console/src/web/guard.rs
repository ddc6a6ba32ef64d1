//! Around every call: headers that each answer has, and a 500 in place of a panic.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;

use super::assets;
use super::error::ApiError;
use super::listener::{Peer, Scheme};
use super::pages::POLICY;

/// Runs the call.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let is_https = request.extensions().get::<Peer>().is_some_and(|peer| peer.scheme == Scheme::Https);
    let is_script = request.headers().get("sec-fetch-mode").is_some_and(|mode| mode != "navigate");
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut answer = answer.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        ApiError::Internal(format!("the handler panicked: {text}")).into_response()
    });
    let is_unknown = answer.status() == StatusCode::UNAUTHORIZED;
    let headers = answer.headers_mut();
    if is_script && is_unknown && headers.contains_key(header::WWW_AUTHENTICATE) {
        // At an offer of Basic, browsers ask for a password in a dialog of their own and keep the script waiting.
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"Garrison\""));
    }
    // Assets alone say otherwise; streams of events come with a weaker word.
    if headers.get(header::CACHE_CONTROL).is_none_or(|value| value != assets::FOR_EVER) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    answer
}
