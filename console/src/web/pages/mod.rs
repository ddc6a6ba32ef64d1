//! The pages that people see, drawn on the server. A page has no way of its own to the data: it calls the functions
//! that the API's handlers call, and what it changes it changes through the API (`assets/app.js`).
//!
//! # How a page is added
//!
//! 1. `templates/NAME.html`: `{% extends "layout/app.html" %}`, then `{% block main %}…{% endblock %}`. Icons, states
//!    and days left come from `{% import "parts/ui.html" as ui %}`: `{% call ui::icon("check") %}{% endcall %}`.
//! 2. `pages/NAME.rs`: a struct with `#[derive(Template)]`, a field `frame: Frame` and what the template shows, and
//!
//!    ```text
//!    pub(super) async fn page(visitor: Visitor, State(state): State<AppState>) -> Result<Response, PageError> {
//!        render(&Name { frame: Frame::new(&state, visitor, Entry::Name, "Title"), … })
//!    }
//!    ```
//!
//!    `Visitor` first: strangers are sent to `/login`. Who may not see it gets `ApiError::Forbidden("…").into()`, which
//!    is a page too. Other extractors of the API are taken as `Result<Id, ApiError>`, with a `?` in the page.
//! 3. One line in [`router`] below, and, for a new entry of the navigation, [`Entry`].
//!
//! A form that changes something: `<form data-call="POST /api/v1/users" data-confirm="what will happen"
//! data-done="text of the toast">`. A region with an `id` and `data-live` draws itself anew when an event arrives. All
//! attributes are explained in `docs/web-ui.md`.

use askama::Template;
use axum::Router;
use axum::middleware;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};

use super::compress::compress;
use super::{AppState, assets};

mod access;
mod alerts;
mod api;
mod audit;
mod authority;
mod certificates;
mod chart;
mod defender;
mod defenders;
mod deploy;
mod error;
mod expiry;
mod feed;
mod form;
mod frame;
mod host;
mod login;
mod overview;
mod refused;
mod settings;
mod setup;
mod visitor;
mod words;

pub(super) use error::{PageError, unknown_path};
pub(super) use frame::{Entry, Frame};
pub(super) use visitor::{Visitor, encode};

/// Every page, and what pages are made of.
pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(overview::page))
        .route("/access", get(access::page))
        .route("/assets/{file}", get(assets::serve))
        .route("/audit", get(audit::page))
        .route("/authority", get(authority::page))
        .route("/api", get(api::page))
        .route("/certificates", get(certificates::page))
        .route("/deploy", get(deploy::page))
        .route("/defenders", get(defenders::page))
        .route("/defenders/{id}", get(defender::page))
        .route("/login", get(login::page).post(login::sign_in))
        .route("/logout", post(login::sign_out))
        .route("/settings", get(settings::page))
        .route("/setup", get(setup::page).post(setup::sign_up))
        .layer(middleware::from_fn(compress))
}

/// The page of a template.
pub(super) fn render(page: &impl Template) -> Result<Response, PageError> {
    Ok(Html(page.render()?).into_response())
}

/// What pages may do, in every browser: nothing that is not in their own files, nothing from elsewhere.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests;
