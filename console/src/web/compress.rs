//! Pages and assets go out compressed to browsers that take zstd. A page has no secret that its reader could guess at by
//! its length: proof of the same origin comes from the browser, not from a token in the page.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Body as _;

use super::error::ApiError;

/// Runs the call and compresses its answer if that is a text and long enough.
pub(super) async fn compress(request: Request, next: Next) -> Response {
    let takes = takes_zstd(request.headers());
    let mut answer = next.run(request).await;
    let is_text = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        kind.starts_with(b"text/") || kind.starts_with(b"image/svg+xml")
    });
    if !is_text || answer.headers().contains_key(CONTENT_ENCODING) {
        return answer;
    }
    answer.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    // What has no length is a stream.
    let length = answer.body().size_hint().exact();
    if !takes || !length.is_some_and(|length| (LEAST_BYTES..=MOST_BYTES).contains(&length)) {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let most = usize::try_from(MOST_BYTES).unwrap_or(usize::MAX);
    let compressed = match to_bytes(body, most).await {
        Ok(bytes) => zstd::bulk::compress(&bytes, LEVEL).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match compressed {
        Ok(compressed) => {
            parts.headers.remove(CONTENT_LENGTH);
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("zstd"));
            Response::from_parts(parts, Body::from(compressed))
        }
        Err(error) => ApiError::Internal(format!("compressing a page: {error}")).into_response(),
    }
}

fn takes_zstd(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = quality.trim().strip_prefix("q=").unwrap_or("1");
        name.trim().eq_ignore_ascii_case("zstd") && quality.parse::<f32>().is_ok_and(|quality| quality > 0.0)
    })
}

/// A shorter answer fits into one packet anyway.
const LEAST_BYTES: u64 = 1024;
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// The level at which a page costs less than drawing it.
const LEVEL: i32 = 3;
