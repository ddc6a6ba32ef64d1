//! What a caller hears when a call fails: `application/problem+json` with a stable `type`. What only the log may
//! hear stays here.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{LimitsError, ManageError, NewKeyError, OwnPasswordError, SignInError, SignUpError};
use crate::backup::BackupError;
use crate::enroll::EnrolError;
use crate::fleet::CommandError;
use crate::names::NamesError;
use crate::public_url::PublicUrlError;
use crate::store::StoreError;
use crate::store::keys::KeyError;
use crate::store::users::UserError;

/// Why a call failed.
#[derive(Debug)]
pub(super) enum ApiError {
    /// A parameter or a body that cannot be read; says which and the accepted form.
    BadRequest(String),
    /// Not possible in the present state; says what to do instead.
    Conflict(String),
    /// The cookie came with a request that no page of this Console made.
    CrossSite,
    /// A Defender did not do what it was told; says why.
    Defender(CommandError, String),
    /// Known, but may not.
    Forbidden(&'static str),
    /// Target and headers are over 64 KiB.
    HeadTooLarge,
    /// Something of ours failed; the text is for the log only.
    Internal(String),
    /// This path has other methods.
    MethodNotAllowed,
    /// No such thing.
    NotFound(&'static str),
    /// The body did not arrive in time.
    RequestTimeout,
    /// The body is over 1 MiB, or a form over 16 KiB.
    TooLarge,
    /// Too many failed sign-ins; try again after this time.
    TooManyRequests(Duration),
    /// Nobody known is calling.
    Unauthorized(&'static str),
    /// Not now; says why.
    Unavailable(&'static str),
    /// The body is no `application/json`.
    UnsupportedMediaType,
}

/// An error, RFC 9457.
#[derive(Serialize, ToSchema)]
pub(super) struct Problem<'a> {
    /// What kind of error, for programs: `urn:garrison:problem:` and a name that does not change.
    #[serde(rename = "type")]
    kind: String,
    /// What kind of error, for people.
    title: &'a str,
    /// The status code.
    status: u16,
    /// What is wrong with this call, and what to do.
    detail: &'a str,
}

/// Answers methods that a path does not have; the router adds `Allow`.
pub(super) async fn unknown_method() -> ApiError {
    ApiError::MethodNotAllowed
}

impl ApiError {
    /// Status, last part of `type`, title and detail.
    pub(super) fn parts(&self) -> (StatusCode, &'static str, &'static str, &str) {
        match self {
            Self::BadRequest(detail) => (StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail),
            Self::Conflict(detail) => (StatusCode::CONFLICT, "conflict", "Not possible now", detail),
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                "cross-site",
                "Request of another site",
                "a session changes things from pages of this Console only; call the API with a token or access key",
            ),
            Self::Defender(error, detail) => {
                let (status, code, title) = defender_parts(error);
                (status, code, title, detail)
            }
            Self::Forbidden(detail) => (StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail),
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                "Headers too large",
                "URL and headers have at most 64 KiB together",
            ),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "the Console could not do this; its log says why",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                "this path has other methods; see the Allow header",
            ),
            Self::NotFound(detail) => (StatusCode::NOT_FOUND, "not-found", "Not found", detail),
            Self::RequestTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "request-timeout",
                "Request timed out",
                "the body did not arrive within 30 s",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "Body too large",
                "a form has at most 16 KiB, any other body 1 MiB",
            ),
            Self::TooManyRequests(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-requests",
                "Too many requests",
                "too many failed sign-ins; see the Retry-After header",
            ),
            Self::Unauthorized(detail) => (StatusCode::UNAUTHORIZED, "unauthorized", "Sign in first", detail),
            Self::Unavailable(detail) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not ready", detail)
            }
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Unsupported media type",
                "send the body as application/json",
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Internal(error) = &self {
            tracing::error!(error, "A call to the API failed");
        }
        let (status, code, title, detail) = self.parts();
        let kind = format!("urn:garrison:problem:{code}");
        let problem = Problem { kind, title, status: status.as_u16(), detail };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        match self {
            Self::TooManyRequests(wait) => {
                // Rounded up: who comes at that second is let in.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            }
            Self::Unauthorized(_) => {
                headers
                    .append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"Garrison\""));
                let basic = HeaderValue::from_static("Basic realm=\"Garrison\", charset=\"UTF-8\"");
                headers.append(header::WWW_AUTHENTICATE, basic);
            }
            Self::Unavailable(_) | Self::Defender(CommandError::Busy | CommandError::Gone, _) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Busy | BackupError::NoPassphrase => {
                Self::Conflict(format!("{error}; {}", error.remedy()))
            }
            BackupError::Stopped => Self::Unavailable("the Console is stopping"),
            other => Self::Internal(lifecycle::logging::error_chain(&other)),
        }
    }
}

/// Status, last part of `type`, and title.
fn defender_parts(error: &CommandError) -> (StatusCode, &'static str, &'static str) {
    match error {
        CommandError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "defender-busy", "Defender busy"),
        CommandError::Gone => (StatusCode::SERVICE_UNAVAILABLE, "defender-gone", "Defender gone"),
        CommandError::Nonsense => (StatusCode::BAD_GATEWAY, "defender-answer", "No usable answer"),
        CommandError::NotConnected => {
            (StatusCode::CONFLICT, "defender-not-connected", "Defender not connected")
        }
        CommandError::Refused(_) => (StatusCode::CONFLICT, "defender-refused", "Defender refuses"),
        CommandError::TimedOut(_) => (StatusCode::GATEWAY_TIMEOUT, "defender-timed-out", "No answer in time"),
        CommandError::TooOld => (StatusCode::CONFLICT, "defender-too-old", "Defender too old"),
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let detail = error.to_string();
        Self::Defender(error, detail)
    }
}

impl From<PublicUrlError> for ApiError {
    fn from(error: PublicUrlError) -> Self {
        match error {
            PublicUrlError::Flag => Self::Conflict(error.to_string()),
            PublicUrlError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Internal(lifecycle::logging::error_chain(&error))
    }
}

impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Busy => Self::Unavailable(BUSY),
            SignInError::Store(error) => error.into(),
            SignInError::Throttled(wait) => Self::TooManyRequests(wait),
            SignInError::Wrong => Self::Unauthorized("wrong user name or password"),
        }
    }
}

impl From<SignUpError> for ApiError {
    fn from(error: SignUpError) -> Self {
        match error {
            SignUpError::Busy => Self::Unavailable(BUSY),
            SignUpError::Form(form) => Self::BadRequest(form),
            SignUpError::Store(error) => error.into(),
            SignUpError::TooLate => Self::Conflict(
                "there is a user already; sign in, or ask an administrator for a user".to_owned(),
            ),
            SignUpError::WrongToken => {
                Self::Forbidden("wrong setup token; the Console's log has the one of its last start")
            }
        }
    }
}

impl From<ManageError> for ApiError {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Busy => Self::Unavailable(BUSY),
            ManageError::Form(form) => Self::BadRequest(form),
            ManageError::User(UserError::Store(error)) => error.into(),
            ManageError::User(UserError::Unknown) => Self::NotFound("there is no user of that name"),
            ManageError::User(error @ (UserError::LastAdministrator | UserError::Taken)) => {
                Self::Conflict(error.to_string())
            }
        }
    }
}

impl From<OwnPasswordError> for ApiError {
    fn from(error: OwnPasswordError) -> Self {
        match error {
            OwnPasswordError::Manage(error) => error.into(),
            // Not 401: the caller is signed in.
            OwnPasswordError::Old(SignInError::Wrong) => Self::Forbidden("the old password is another one"),
            OwnPasswordError::Old(error) => error.into(),
        }
    }
}

impl From<NewKeyError> for ApiError {
    fn from(error: NewKeyError) -> Self {
        match error {
            NewKeyError::Above => Self::Forbidden(
                "a key has at most your own role; ask an administrator for one that may do more",
            ),
            NewKeyError::ByKey => {
                Self::Forbidden("an access key makes no access keys; sign in with a password")
            }
            NewKeyError::Form(form) => Self::BadRequest(form),
            NewKeyError::Key(KeyError::Store(error)) => error.into(),
            NewKeyError::Key(error @ (KeyError::Many | KeyError::Taken)) => Self::Conflict(error.to_string()),
        }
    }
}

impl From<LimitsError> for ApiError {
    fn from(error: LimitsError) -> Self {
        match error {
            LimitsError::Range => Self::BadRequest(error.to_string()),
            LimitsError::Store(error) => error.into(),
        }
    }
}

impl From<EnrolError> for ApiError {
    fn from(error: EnrolError) -> Self {
        match error {
            EnrolError::CustomCertificates => Self::Conflict(error.to_string()),
            other => Self::Internal(lifecycle::logging::error_chain(&other)),
        }
    }
}

impl From<NamesError> for ApiError {
    fn from(error: NamesError) -> Self {
        Self::Internal(lifecycle::logging::error_chain(&error))
    }
}

const BUSY: &str = "too many sign-ins at once; try again in a moment";
