//! `/api`: the description of the API for people, drawn from the document that programs get at
//! `/api/v1/openapi.json`.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use self::model::{Group, Named};
use super::{Entry, Frame, PageError, Visitor, render};
use crate::web::AppState;
use crate::web::error::ApiError;
use crate::web::input::Parameters;

mod model;
mod shape;

#[derive(Template)]
#[template(path = "api.html")]
struct Api {
    frame: Frame,
    search: String,
    groups: Vec<&'static Group>,
    /// The calls of each group that fit, in the order of `groups`.
    calls: Vec<Vec<&'static model::Call>>,
    shapes: Vec<&'static Named>,
    known: usize,
    found: usize,
}

/// What to show.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    search: Option<String>,
}

pub(super) async fn page(
    visitor: Visitor,
    filter: Result<Parameters<Filter>, ApiError>,
    State(state): State<AppState>,
) -> Result<Response, PageError> {
    let Parameters(Filter { search }) = filter?;
    let search = search.unwrap_or_default().trim().to_lowercase();
    let description = &*model::DESCRIPTION;
    let fitting = |group: &'static Group| {
        let calls: Vec<_> = group.calls.iter().filter(|call| call.fits(&search)).collect();
        (!calls.is_empty()).then_some((group, calls))
    };
    let (groups, calls): (Vec<_>, Vec<_>) = description.groups.iter().filter_map(fitting).unzip();
    let found = calls.iter().map(Vec::len).sum();
    let known = description.groups.iter().map(|group| group.calls.len()).sum();
    let shapes = match search.is_empty() {
        true => description.shapes.iter().collect(),
        false => Vec::new(),
    };
    let frame = Frame::new(&state, visitor, Entry::Api, "API");
    render(&Api { frame, search, groups, calls, shapes, known, found })
}

#[cfg(test)]
mod tests;
