//! Style, scripts and icons of the pages, compiled in. Their URLs carry a digest of their content, so that browsers
//! may keep them for ever and still never mix two versions of the Console.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// One file as it is served.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
    /// `/assets/NAME-DIGEST.EXTENSION`.
    url: String,
}

/// The URL of an asset by the name of its file in `console/assets/`; an unknown name has no file behind its URL.
pub(super) fn url(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("/assets/unknown", |asset| &asset.url)
}

/// Answers `/assets/{file}`.
pub(super) async fn serve(Path(file): Path<String>) -> Response {
    let found = ASSETS.iter().find(|asset| asset.url.strip_prefix("/assets/") == Some(&file));
    let Some(asset) = found else {
        return ApiError::NotFound("no asset of this Console has this name; reload the page").into_response();
    };
    ([(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, FOR_EVER)], asset.content).into_response()
}

fn asset(name: &'static str, content_type: &'static str, content: &'static [u8]) -> Asset {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content);
    let digest = certs::hex::encode(digest.as_ref().first_chunk::<8>().expect("SHA-256 has 32 bytes"));
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    Asset { name, content_type, content, url: format!("/assets/{stem}-{digest}.{extension}") }
}

pub(super) const FOR_EVER: &str = "public, max-age=31536000, immutable";

static ASSETS: LazyLock<[Asset; 8]> = LazyLock::new(|| {
    let style = "text/css; charset=utf-8";
    let script = "text/javascript; charset=utf-8";
    [
        asset("app.css", style, include_bytes!("../../assets/app.css")),
        asset("app.js", script, include_bytes!("../../assets/app.js")),
        asset("calls.js", script, include_bytes!("../../assets/calls.js")),
        asset("favicon.svg", "image/svg+xml", include_bytes!("../../assets/favicon.svg")),
        asset("icons.svg", "image/svg+xml", include_bytes!("../../assets/icons.svg")),
        asset("live.js", script, include_bytes!("../../assets/live.js")),
        asset("log.js", script, include_bytes!("../../assets/log.js")),
        asset("theme.js", script, include_bytes!("../../assets/theme.js")),
    ]
});
