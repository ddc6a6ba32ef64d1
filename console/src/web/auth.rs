//! Who may call what: a handler takes one of these as an argument, and runs only for callers who may.
//!
//! `Authorization: Bearer TOKEN` (or an access key), Basic, or the cookie of the web UI. The argument stands first, so
//! that strangers learn nothing of what else is wrong with their call.

use std::pin::Pin;

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::error::ApiError;
use super::listener::Peer;
use super::origin::Origin;
use super::{AppState, cookie, origin, stray};
use crate::access::{Caller, Presence};
use crate::store::audits::Actor;
use crate::store::users::Role;

/// Any user.
pub(super) struct AnyUser(pub(super) Caller);

/// An administrator.
pub(super) struct Administrator(pub(super) Actor);

/// An administrator or an auditor.
pub(super) struct AdministratorOrAuditor;

/// An administrator or an operator.
pub(super) struct AdministratorOrOperator(pub(super) Actor);

/// Whoever installs, restarts and decommissions Defenders: an administrator, an operator, or a program that does.
pub(super) struct DefenderManagement(pub(super) Actor);

/// An administrator, an operator or an auditor: who may read a Defender's log.
pub(super) struct LogReader(pub(super) Caller);

impl FromRequestParts<AppState> for LogReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let caller = caller(parts, state).await?;
        match caller.role {
            Role::Administrator | Role::Auditor | Role::Operator => Ok(Self(caller)),
            Role::DefenderManager | Role::Viewer => {
                Err(ApiError::Forbidden("only administrators, operators and auditors may read logs"))
            }
        }
    }
}

impl FromRequestParts<AppState> for AnyUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        caller(parts, state).await.map(Self)
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
            _ => Err(ApiError::Forbidden("only administrators and auditors may read this")),
        }
    }
}

impl FromRequestParts<AppState> for AdministratorOrOperator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let caller = caller(parts, state).await?;
        match caller.role {
            Role::Administrator | Role::Operator => Ok(Self(actor(&caller, parts))),
            _ => Err(ApiError::Forbidden("only administrators and operators may do this")),
        }
    }
}

impl FromRequestParts<AppState> for DefenderManagement {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let caller = caller(parts, state).await?;
        if caller.role.covers(Role::DefenderManager) {
            Ok(Self(actor(&caller, parts)))
        } else {
            Err(ApiError::Forbidden("only administrators, operators and defender-managers may do this"))
        }
    }
}

fn actor(caller: &Caller, parts: &Parts) -> Actor {
    caller.actor(Peer::of(&parts.extensions).address.ip())
}

/// Who is calling; pages and the API ask here. An `Authorization` header alone decides where there is one, also when
/// it is wrong and there is a good cookie.
///
/// A box: every handler asks, and each would have a copy of all of it, 30 KiB, in the program.
pub(super) fn caller<'a>(
    parts: &'a Parts,
    state: &'a AppState,
) -> Pin<Box<dyn Future<Output = Result<Caller, ApiError>> + Send + 'a>> {
    Box::pin(async move {
        let caller = identify(parts, state).await?;
        stray::refuse(parts)?;
        Ok(caller)
    })
}

async fn identify(parts: &Parts, state: &AppState) -> Result<Caller, ApiError> {
    let missing = ApiError::Unauthorized("send a bearer token, or a user name and a password (Basic)");
    if !parts.headers.contains_key(AUTHORIZATION) && cookie::is_there(&parts.headers) {
        return by_cookie(parts, state).await;
    }
    let Some(header) = parts.headers.get(AUTHORIZATION) else { return Err(missing) };
    let Some((scheme, credentials)) = header.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Err(missing);
    };
    let credentials = credentials.trim();
    let address = Peer::of(&parts.extensions).address.ip();
    if scheme.eq_ignore_ascii_case("bearer") {
        let caller = state.access.by_token(credentials, address).await?;
        caller.ok_or(ApiError::Unauthorized("the token is not known or has expired; authenticate again"))
    } else if scheme.eq_ignore_ascii_case("basic") {
        let Some((username, password)) = basic(credentials) else { return Err(missing) };
        Ok(state.access.by_password(&username, &password, address).await?)
    } else {
        Err(missing)
    }
}

async fn by_cookie(parts: &Parts, state: &AppState) -> Result<Caller, ApiError> {
    if origin::changes(&parts.method) && origin::of(parts, state.public_url.current().as_ref()) != Origin::Own
    {
        return Err(ApiError::CrossSite);
    }
    let ended = ApiError::Unauthorized("the session has ended; sign in again");
    let Some(token) = cookie::token(&parts.headers) else { return Err(ended) };
    // What a page asks by itself keeps no session alive.
    let is_page = parts.headers.contains_key(BACKGROUND) || parts.uri.path() == "/api/v1/events";
    let presence = if is_page { Presence::Page } else { Presence::Person };
    let address = Peer::of(&parts.extensions).address.ip();
    state.access.by_session(token, address, presence).await?.ok_or(ended)
}

fn basic(credentials: &str) -> Option<(String, Zeroizing<String>)> {
    let text = Zeroizing::new(STANDARD.decode(credentials).ok()?);
    let (username, password) = std::str::from_utf8(&text).ok()?.split_once(':')?;
    Some((username.to_owned(), Zeroizing::new(password.to_owned())))
}

/// Sent by the script of the pages when it looks for news without being told to.
const BACKGROUND: HeaderName = HeaderName::from_static("garrison-background");
