//! Errors as pages: what is wrong and where to go from here. For paths that do not exist, browsers get a page and
//! programs get problem+json.

use askama::Template;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

use crate::store::StoreError;
use crate::web::error::ApiError;

/// Why there is no page.
#[derive(Debug)]
pub(in crate::web) enum PageError {
    /// What the API would say.
    Api(ApiError),
    /// The page is elsewhere, 303.
    SeeOther(String),
}

/// The page of an error.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    status: u16,
    title: &'a str,
    detail: &'a str,
}

/// Answers paths that do not exist.
pub(in crate::web) async fn unknown_path(request: Request) -> Response {
    let accepts = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_browser = accepts.is_some_and(|accept| accept.contains("text/html"));
    let path = request.uri().path();
    if is_browser && !path.starts_with("/api/") && !path.starts_with("/assets/") {
        return PageError::from(ApiError::NotFound("there is no page at this address")).into_response();
    }
    ApiError::NotFound("there is nothing at this path; the API is below /api/v1").into_response()
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let error = match self {
            Self::SeeOther(path) => return Redirect::to(&path).into_response(),
            Self::Api(error) => error,
        };
        let (status, _, title, detail) = error.parts();
        let page = ErrorPage { status: status.as_u16(), title, detail: &sentence(detail) }.render();
        let page = page.unwrap_or_else(|_| detail.to_owned());
        // Logs what only the log may hear, and has the headers that belong to the status.
        let mut answer = error.into_response();
        let headers = std::mem::take(answer.headers_mut());
        let mut answer = (status, Html(page)).into_response();
        for name in [header::RETRY_AFTER, header::ALLOW] {
            if let Some(value) = headers.get(&name) {
                answer.headers_mut().insert(name, value.clone());
            }
        }
        answer
    }
}

/// `detail` with a capital and a full stop.
pub(super) fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if detail.ends_with('.') { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::Api(error.into())
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        Self::Api(ApiError::Internal(format!("drawing a page: {error}")))
    }
}

impl ErrorPage<'_> {
    fn is_missing(&self) -> bool {
        self.status == StatusCode::NOT_FOUND.as_u16()
    }
}
