//! The first run: makes the first administrator with the setup token from the log, and signs in. The same call as
//! `POST signup`.

use askama::Template;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::form::Form;
use super::{PageError, login, render};
use crate::access::SignUpError;
use crate::web::AppState;
use crate::web::error::ApiError;
use crate::web::listener::Peer;

#[derive(Template)]
#[template(path = "setup.html")]
struct Setup<'a> {
    fault: Option<String>,
    username: &'a str,
}

/// The form, while there is no user.
pub(super) async fn page(State(state): State<AppState>) -> Result<Response, PageError> {
    if state.access.has_users().await? {
        return Err(PageError::SeeOther("/login".to_owned()));
    }
    render(&Setup { fault: None, username: "admin" })
}

/// Makes the first administrator and signs in.
pub(super) async fn sign_up(
    State(state): State<AppState>,
    parts: Parts,
    form: Result<Form, PageError>,
) -> Result<Response, PageError> {
    login::own_page(&parts, &state)?;
    let mut form = form?;
    let (username, password) = (form.take("username"), form.take("password"));
    let setup_token = form.take("setup_token");
    form.is_all()?;
    let address = Peer::of(&parts.extensions).address.ip();
    match state.access.sign_up(&username, &password, setup_token.trim(), address).await {
        Ok(_) => {}
        Err(SignUpError::TooLate) => return Err(PageError::SeeOther("/login".to_owned())),
        Err(error) => return refused(error, &username),
    }
    let token = login::begin(&state, &parts, &username, &password).await.map_err(ApiError::from)?;
    Ok(login::enter(&token, "/"))
}

fn refused(error: SignUpError, username: &str) -> Result<Response, PageError> {
    let (status, fault) = match error {
        SignUpError::WrongToken => {
            let fault = "This is not the setup token. Copy it from the line that the Console logged when it was \
                 last started: each start makes a new one.";
            (StatusCode::FORBIDDEN, fault.to_owned())
        }
        SignUpError::Form(form) => (StatusCode::BAD_REQUEST, super::error::sentence(&form)),
        SignUpError::Busy => {
            let fault = "The Console is busy. Try again in a moment.".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, fault)
        }
        other => return Err(ApiError::from(other).into()),
    };
    let mut page = render(&Setup { fault: Some(fault), username })?;
    *page.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        page.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(page)
}
