//! What every page has in common: who may see it, what browsers may do with it.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;

use crate::web::tests::{Api, get_as};

mod access;
mod certificates;
mod defender;
mod defenders;
mod sign_in;

/// A page as a browser asks for it, by a user who is signed in.
pub(in crate::web) fn browse(path: &str, username: &str) -> Request<Body> {
    let mut request = get_as("", username);
    *request.uri_mut() = path.parse().expect("a path");
    request.headers_mut().insert(header::ACCEPT, "text/html,*/*;q=0.8".parse().expect("valid"));
    request
}

pub(in crate::web) async fn text_of(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8(body.to_vec()).expect("UTF-8")
}

fn stranger(path: &str) -> Request<Body> {
    Request::get(path).header(header::ACCEPT, "text/html").body(Body::empty()).expect("valid")
}

#[tokio::test]
async fn pages_run_only_scripts_of_their_own_files_and_are_not_kept() {
    let api = Api::new().await;
    let response = api.call(browse("/", "admin")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers().clone();
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().expect("ASCII");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"));
    assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    let page = text_of(response).await;
    for inline in ["<style", " style=", "<script>", " onclick", "http://", "https://"] {
        assert!(!page.contains(inline), "{inline}: {page}");
    }
}

#[tokio::test]
async fn every_asset_of_a_page_is_there_for_ever_under_a_name_with_its_digest() {
    let api = Api::new().await;
    let page = text_of(api.call(browse("/", "admin")).await).await;
    let urls: Vec<_> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(urls.len() > 4, "{urls:?}");
    for url in urls {
        let path = url.split('#').next().expect("a path");
        let response = api.call(stranger(path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{url}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        let symbol = url.split_once('#').map(|(_, name)| format!("<symbol id=\"{name}\""));
        let content = text_of(response).await;
        assert!(symbol.is_none_or(|symbol| content.contains(&symbol)), "{url}");
    }
    assert_eq!(api.call(stranger("/assets/app.css")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_browser_that_takes_zstd_gets_less_to_read_and_the_same_to_see() {
    let api = Api::new().await;
    let plain = text_of(api.call(browse("/", "admin")).await).await;
    let mut request = browse("/", "admin");
    request.headers_mut().insert(header::ACCEPT_ENCODING, "gzip, zstd;q=0.5".parse().expect("valid"));
    let response = api.call(request).await;
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "zstd");
    assert_eq!(response.headers()[header::VARY], "accept-encoding");
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    assert!(body.len() * 2 < plain.len(), "{} of {}", body.len(), plain.len());
    let page = zstd::bulk::decompress(&body, 1024 * 1024).expect("zstd");
    assert!(page.ends_with(b"</html>") || page.ends_with(b"</html>\n"));
    let mut request = browse("/", "admin");
    request.headers_mut().insert(header::ACCEPT_ENCODING, "zstd;q=0".parse().expect("valid"));
    assert!(!api.call(request).await.headers().contains_key(header::CONTENT_ENCODING));
}

#[tokio::test]
async fn strangers_are_sent_to_sign_in_and_come_back_to_where_they_were() {
    let api = Api::new().await;
    let response = api.call(stranger("/?a=b&c=d")).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()[header::LOCATION], "/login?next=%2F%3Fa%3Db%26c%3Dd");
    let empty = Api::without_users().await;
    let response = empty.call(stranger("/")).await;
    assert_eq!(response.headers()[header::LOCATION], "/setup");
}

#[tokio::test]
async fn an_unknown_address_is_a_page_for_browsers_and_a_problem_for_programs() {
    let api = Api::new().await;
    let response = api.call(stranger("/nothing")).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY));
    let page = text_of(response).await;
    assert!(page.contains("There is no page at this address.") && page.contains("href=\"/\""), "{page}");
    for path in ["/api/v1/nothing", "/assets/nothing"] {
        let response = api.call(stranger(path)).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json", "{path}");
    }
}
