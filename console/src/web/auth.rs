//! Who may call what: a handler takes one of these as an argument, and runs only for callers who may.
//!
//! `Authorization: Bearer TOKEN` or Basic. The argument stands first, so that strangers learn nothing of what
//! else is wrong with their call.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::AppState;
use super::error::ApiError;
use super::listener::Peer;
use crate::access::Caller;
use crate::store::audits::Actor;
use crate::store::users::Role;

/// Any user.
pub(super) struct AnyUser;

/// An administrator.
pub(super) struct Administrator(pub(super) Actor);

/// An administrator or an auditor.
pub(super) struct AdministratorOrAuditor;

/// An administrator or an operator.
pub(super) struct AdministratorOrOperator(pub(super) Actor);

impl FromRequestParts<AppState> for AnyUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        caller(parts, state).await.map(|_| Self)
    }
}

impl FromRequestParts<AppState> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        match caller(parts, state).await? {
            caller if caller.role == Role::Administrator => Ok(Self(actor(&caller, parts))),
            _ => Err(ApiError::Forbidden("only administrators may do this")),
        }
    }
}

impl FromRequestParts<AppState> for AdministratorOrAuditor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        match caller(parts, state).await?.role {
            Role::Administrator | Role::Auditor => Ok(Self),
            Role::Operator | Role::Viewer => {
                Err(ApiError::Forbidden("only administrators and auditors may read this"))
            }
        }
    }
}

impl FromRequestParts<AppState> for AdministratorOrOperator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let caller = caller(parts, state).await?;
        match caller.role {
            Role::Administrator | Role::Operator => Ok(Self(actor(&caller, parts))),
            Role::Auditor | Role::Viewer => {
                Err(ApiError::Forbidden("only administrators and operators may do this"))
            }
        }
    }
}

fn actor(caller: &Caller, parts: &Parts) -> Actor {
    Actor::new(&caller.username, Peer::of(&parts.extensions).address.ip())
}

/// Who is calling; pages and the API ask here.
pub(super) async fn caller(parts: &Parts, state: &AppState) -> Result<Caller, ApiError> {
    let missing = ApiError::Unauthorized("send a bearer token, or a user name and a password (Basic)");
    let Some(header) = parts.headers.get(AUTHORIZATION) else { return Err(missing) };
    let Some((scheme, credentials)) = header.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Err(missing);
    };
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        let caller = state.access.by_token(credentials).await?;
        caller.ok_or(ApiError::Unauthorized("the token is not known or has expired; authenticate again"))
    } else if scheme.eq_ignore_ascii_case("basic") {
        let Some((username, password)) = basic(credentials) else { return Err(missing) };
        let address = Peer::of(&parts.extensions).address.ip();
        Ok(state.access.by_password(&username, &password, address).await?)
    } else {
        Err(missing)
    }
}

fn basic(credentials: &str) -> Option<(String, Zeroizing<String>)> {
    let text = Zeroizing::new(STANDARD.decode(credentials).ok()?);
    let (username, password) = std::str::from_utf8(&text).ok()?.split_once(':')?;
    Some((username.to_owned(), Zeroizing::new(password.to_owned())))
}
