//! Who looks at a page, and what that user may do.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::PageError;
use crate::access::Caller;
use crate::store::users::Role;
use crate::web::AppState;
use crate::web::auth;
use crate::web::error::ApiError;

/// A user who is signed in. Whoever is not is sent to the sign-in page, or to the first-run page while there is no
/// user.
#[derive(Debug, Clone)]
pub(in crate::web) struct Visitor {
    pub(in crate::web) username: String,
    pub(in crate::web) role: Role,
    /// The same as the API sees it.
    pub(in crate::web) caller: Caller,
}

impl Visitor {
    /// Whether this user manages users and settings.
    pub(in crate::web) fn is_administrator(&self) -> bool {
        self.role == Role::Administrator
    }

    /// Whether this user may decommission and restart Defenders and issue install bundles.
    pub(in crate::web) fn is_operator(&self) -> bool {
        self.role.covers(Role::DefenderManager)
    }

    /// Whether this user may read users and the audit log.
    pub(in crate::web) fn is_auditor(&self) -> bool {
        self.is_administrator() || self.role == Role::Auditor
    }

    /// Whether this user may read the logs of Defenders.
    pub(in crate::web) fn is_log_reader(&self) -> bool {
        self.is_auditor() || self.role == Role::Operator
    }

    /// The role as people read it.
    pub(in crate::web) fn role_name(&self) -> String {
        let name = serde_json::to_value(self.role).unwrap_or_default();
        name.as_str().unwrap_or_default().replace('-', " ")
    }
}

impl FromRequestParts<AppState> for Visitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, PageError> {
        match auth::caller(parts, state).await {
            Ok(caller) => Ok(Self { username: caller.username.clone(), role: caller.role, caller }),
            Err(ApiError::Unauthorized(_)) if !state.access.has_users().await? => {
                Err(PageError::SeeOther("/setup".to_owned()))
            }
            Err(ApiError::Unauthorized(_)) => {
                let here = parts.uri.path_and_query().map_or("/", |here| here.as_str());
                Err(PageError::SeeOther(format!("/login?next={}", encode(here))))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A text as part of a query of a URL.
pub(in crate::web) fn encode(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}
