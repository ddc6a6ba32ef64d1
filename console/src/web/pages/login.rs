//! Signing in and out. Works without a script.

use askama::Template;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::form::Form;
use super::visitor::encode;
use super::{PageError, render};
use crate::access::{Browser, SignInError, Token};
use crate::web::auth;
use crate::web::error::ApiError;
use crate::web::input::Parameters;
use crate::web::listener::Peer;
use crate::web::origin::{self, Origin};
use crate::web::{AppState, cookie};

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    fault: Option<String>,
    username: &'a str,
    next: &'a str,
}

/// Where to go after signing in.
#[derive(serde::Deserialize)]
pub(super) struct Next {
    next: Option<String>,
}

/// The form; who is signed in goes on at once.
pub(super) async fn page(
    Parameters(query): Parameters<Next>,
    parts: Parts,
    State(state): State<AppState>,
) -> Result<Response, PageError> {
    let next = local(query.next.as_deref().unwrap_or_default());
    if !state.access.has_users().await? {
        return Err(PageError::SeeOther("/setup".to_owned()));
    }
    if cookie::is_there(&parts.headers) && auth::caller(&parts, &state).await.is_ok() {
        return Err(PageError::SeeOther(next.to_owned()));
    }
    let mut page = render(&Login { fault: None, username: "", next })?;
    // Browsers keep the cookie back when a link of another site leads here. Asked again by this page they send it.
    if parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
        && let Ok(again) = HeaderValue::try_from(format!("0; url=/login?next={}", encode(next)))
    {
        page.headers_mut().insert(REFRESH, again);
    }
    Ok(page)
}

/// Signs in.
pub(super) async fn sign_in(
    State(state): State<AppState>,
    parts: Parts,
    form: Result<Form, PageError>,
) -> Result<Response, PageError> {
    own_page(&parts, &state)?;
    let mut form = form?;
    let (username, password) = (form.take("username"), form.take("password"));
    let next = form.take("next");
    form.is_all()?;
    match begin(&state, &parts, &username, &password).await {
        Ok(token) => Ok(enter(&token, local(&next))),
        Err(error) => refused(error, &username, local(&next)),
    }
}

/// Signs out and forgets the cookie, whatever it was. Another site cannot do it: from there the cookie does not come,
/// but a browser would forget it when told.
pub(super) async fn sign_out(State(state): State<AppState>, parts: Parts) -> Result<Response, PageError> {
    own_page(&parts, &state)?;
    if cookie::is_there(&parts.headers) {
        match auth::caller(&parts, &state).await {
            Ok(caller) => {
                state.access.sign_out(&caller, Peer::of(&parts.extensions).address.ip()).await?;
            }
            // It has ended already.
            Err(ApiError::Unauthorized(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut answer = Redirect::to("/login").into_response();
    if let Some(cookie) = cookie::forget() {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}

/// Another site may neither sign a browser out nor in: what its user then enters would be seen by somebody else.
pub(super) fn own_page(parts: &Parts, state: &AppState) -> Result<(), ApiError> {
    match origin::of(parts, state.public_url.current().as_ref()) {
        Origin::Foreign => Err(ApiError::CrossSite),
        Origin::Own | Origin::Unsaid => Ok(()),
    }
}

/// A session for the browser that asks.
pub(super) async fn begin(
    state: &AppState,
    parts: &Parts,
    username: &str,
    password: &str,
) -> Result<Token, SignInError> {
    let user_agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let browser = Browser {
        address: Peer::of(&parts.extensions).address.ip(),
        user_agent: user_agent.unwrap_or_default(),
        token: cookie::token(&parts.headers),
    };
    state.access.begin_session(username, password, browser).await
}

/// Goes on to `next` with a session.
pub(super) fn enter(token: &Token, next: &str) -> Response {
    let mut answer = Redirect::to(next).into_response();
    if let Some(cookie) = cookie::set(token.reveal()) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

fn refused(error: SignInError, username: &str, next: &str) -> Result<Response, PageError> {
    let (status, wait, fault) = match error {
        SignInError::Wrong => {
            let fault = "Wrong user name or password. Upper and lower case matter. If you no longer know the \
                 password, ask an administrator for a new one.";
            (StatusCode::UNAUTHORIZED, None, fault.to_owned())
        }
        SignInError::Throttled(wait) => {
            let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
            let unit = if seconds == 1 { "second" } else { "seconds" };
            let fault = format!("Too many failed sign-ins. Try again in {seconds} {unit}.");
            (StatusCode::TOO_MANY_REQUESTS, Some(seconds), fault)
        }
        SignInError::Busy => {
            let fault = "Many people are signing in at once. Try again in a moment.".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, Some(1), fault)
        }
        SignInError::Store(error) => return Err(error.into()),
    };
    let mut page = render(&Login { fault: Some(fault), username, next })?;
    *page.status_mut() = status;
    if let Some(seconds) = wait {
        page.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(page)
}

/// `next` where it is a path of this Console, else the overview: nobody is sent elsewhere. Browsers drop tabs and line
/// ends from URLs, and read `\` as `/`.
fn local(next: &str) -> &str {
    let is_plain =
        next.len() <= MOST_NEXT && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_local = next.starts_with('/') && !next.starts_with("//");
    let leads_back = ["/login", "/logout", "/setup"].iter().any(|path| next.starts_with(path));
    if is_plain && is_local && !leads_back { next } else { "/" }
}

const MOST_NEXT: usize = 1024;
const REFRESH: HeaderName = HeaderName::from_static("refresh");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_console_are_gone_on_to() {
        for own in ["/", "/defenders?search=a%2Fb&offset=50", "/defenders/x#log", "/%2f/evil.example"] {
            assert_eq!(local(own), own);
        }
        let long = format!("/{}", "x".repeat(MOST_NEXT));
        for other in [
            "",
            "defenders",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "https://evil.example",
            "https:/evil.example",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: x=y",
            "/\u{e9}",
            "/login?next=/login",
            "/logout",
            &long,
        ] {
            assert_eq!(local(other), "/", "{other:?}");
        }
    }
}
