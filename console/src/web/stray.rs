//! Query parameters of calls that take none: a misspelt `?limit=` must not pass for one that was heard.

use std::collections::HashSet;
use std::sync::LazyLock;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::Method;
use axum::http::request::Parts;

use super::error::ApiError;
use super::openapi;

/// The first argument of a handler that anybody may call and that takes no parameters.
pub(super) struct NoParameters;

impl<S: Send + Sync> FromRequestParts<S> for NoParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        refuse(parts).map(|()| Self)
    }
}

/// Refuses parameters where the description of the API names none.
pub(super) fn refuse(parts: &Parts) -> Result<(), ApiError> {
    let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) else { return Ok(()) };
    let path = parts.extensions.get::<MatchedPath>().and_then(|path| path.as_str().strip_prefix("/api/v1"));
    // A handler for GET answers HEAD.
    let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
    match path {
        Some(path) if !ASKING.contains(&(method.clone(), path.to_owned())) => {
            let name: String = query.split(['=', '&']).next().unwrap_or_default().chars().take(64).collect();
            Err(ApiError::BadRequest(format!("this call takes no parameters in the URL, and got {name:?}")))
        }
        _ => Ok(()),
    }
}

/// The calls that take parameters.
static ASKING: LazyLock<HashSet<(Method, String)>> = LazyLock::new(openapi::with_parameters);
