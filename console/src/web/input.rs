//! What callers send, judged: JSON bodies, query parameters, identities in paths, pages of lists. Whatever does
//! not fit is a 400 that names the accepted form and repeats no value of a body, which may be a secret.

use std::ops::Deref;
use std::time::Duration;

use axum::Json;
use axum::body::HttpBody as _;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, JsonRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use protocol::object::object;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::error::ApiError;

/// A JSON body of at most 1 MiB.
pub(super) struct Body<T>(pub(super) T);

/// What a body is: no array of the values, which derived code would take as well.
#[derive(Deserialize)]
#[serde(transparent, bound(deserialize = "T: Deserialize<'de>"))]
struct Object<T>(#[serde(deserialize_with = "object")] T);

/// The same, or nothing at all.
pub(super) struct OptionalBody<T>(pub(super) Option<T>);

/// Query parameters.
pub(super) struct Parameters<T>(pub(super) T);

/// A text of a body that is wiped from memory after use.
#[derive(Deserialize)]
#[serde(from = "String")]
pub(super) struct Secret(Zeroizing<String>);

/// Parameters of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// Only items that contain this text, in upper or lower case.
    pub(super) search: Option<String>,
    /// How many items to pass over.
    pub(super) offset: Option<usize>,
    /// How many items to answer with, 50 unless told.
    #[param(maximum = 1000)]
    pub(super) limit: Option<usize>,
}

/// The `{id}` of a path.
pub(super) struct Id(pub(super) Uuid);

/// The `{username}` of a path; whether there is such a user is seen later.
pub(super) struct Username(pub(super) String);

/// The `{name}` of a path; whether there is something of that name is seen later.
pub(super) struct Name(pub(super) String);

/// Which part of a list to answer with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub(super) offset: usize,
    pub(super) limit: usize,
}

/// Part of a list, with `Total-Count`.
pub(super) type Listed<T> = ([(HeaderName, HeaderValue); 1], Json<Vec<T>>);

impl Page {
    /// The page asked for; 50 from the first one when nothing is.
    ///
    /// # Errors
    /// A limit over 1000.
    pub(super) fn parse(offset: Option<usize>, limit: Option<usize>) -> Result<Self, ApiError> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if limit > MOST_LIMIT {
            return Err(ApiError::BadRequest(format!("limit is at most {MOST_LIMIT}")));
        }
        Ok(Self { offset: offset.unwrap_or(0), limit })
    }

    /// The page of `items` in the order of `compare`; sorts no more than the page needs.
    pub(super) fn of<T: Serialize>(
        self,
        mut items: Vec<T>,
        compare: impl Fn(&T, &T) -> std::cmp::Ordering,
    ) -> Listed<T> {
        let total = items.len();
        let end = self.offset.saturating_add(self.limit);
        if end < total {
            items.select_nth_unstable_by(end, &compare);
            items.truncate(end);
        }
        items.sort_unstable_by(&compare);
        let page = items.into_iter().skip(self.offset).collect();
        Self::ready(page, u64::try_from(total).unwrap_or(u64::MAX))
    }

    /// The page itself, of a list of `total` items.
    pub(super) fn ready<T>(page: Vec<T>, total: u64) -> Listed<T> {
        ([(TOTAL_COUNT, HeaderValue::from(total))], Json(page))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl Deref for Secret {
    type Target = Zeroizing<String>;

    fn deref(&self) -> &Zeroizing<String> {
        &self.0
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = tokio::time::timeout(PATIENCE, Json::<Object<T>>::from_request(request, state)).await;
        match body.map_err(|_| ApiError::RequestTimeout)? {
            Ok(Json(Object(body))) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(ApiError::UnsupportedMediaType),
            Err(JsonRejection::BytesRejection(rejection)) => Err(unread(&rejection)),
            Err(JsonRejection::JsonSyntaxError(_)) => {
                Err(ApiError::BadRequest("the body is not valid JSON".to_owned()))
            }
            Err(rejection) => Err(ApiError::BadRequest(without_values(&rejection.body_text()))),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if request.body().is_end_stream() {
            return Ok(Self(None));
        }
        Body::from_request(request, state).await.map(|Body(body)| Self(Some(body)))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if !parts.uri.query().is_none_or(is_text) {
            return Err(ApiError::BadRequest("the parameters are not UTF-8".to_owned()));
        }
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(ApiError::BadRequest(rejection.body_text())),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = Path::<String>::from_request_parts(parts, state).await.map(|Path(text)| text);
        let id = text.ok().and_then(|text| Uuid::try_parse(&text).ok());
        id.map(Self).ok_or_else(|| {
            let form = "an id is a UUID, for example 7f1d6c1e-3c0b-4f0e-9a57-0d8a1f2b3c4d";
            ApiError::BadRequest(form.to_owned())
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Username {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(username)) => Ok(Self(username)),
            Err(_) => Err(ApiError::BadRequest("the user name in the path is not UTF-8".to_owned())),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(_) => Err(ApiError::BadRequest("the name in the path is not UTF-8".to_owned())),
        }
    }
}

/// Whether a query stands for UTF-8: what is none would be searched for with signs that nobody wrote.
fn is_text(query: &str) -> bool {
    let mut rest = query.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind.first_chunk::<2>().and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped =
            escaped.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    std::str::from_utf8(&bytes).is_ok()
}

fn unread(rejection: &BytesRejection) -> ApiError {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => ApiError::TooLarge,
        _ => ApiError::BadRequest("the body could not be read".to_owned()),
    }
}

/// What is wrong with the fields of a body, by their names only.
fn without_values(text: &str) -> String {
    for fault in ["unknown field `", "missing field `", "duplicate field `"] {
        if let Some((_, rest)) = text.split_once(fault)
            && let Some((name, _)) = rest.split_once('`')
        {
            return format!("{fault}{name}`");
        }
    }
    "a field of the body has the wrong type".to_owned()
}

const DEFAULT_LIMIT: usize = 50;
const MOST_LIMIT: usize = 1000;
const TOTAL_COUNT: HeaderName = HeaderName::from_static("total-count");

/// How long a body may take to arrive.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
