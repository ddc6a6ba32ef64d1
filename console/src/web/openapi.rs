//! The description of the API, OpenAPI 3.1, made from the handlers and their types: `#[utoipa::path]` stands on each
//! handler, what all of them have in common is added here. A test compares it with the table of routes.

use std::collections::HashSet;
use std::sync::LazyLock;

use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::error::Problem;
use super::stray::NoParameters;
use super::{
    alert_settings, alerts, audits, authority, backups, bulk, certificates, defenders, deploy, events,
    expiry, history, keys, log, metrics, refused, registrations, restart, roster, session, sessions,
    settings, tail, users,
};

mod roles;

#[derive(OpenApi)]
#[openapi(
    info(title = "Garrison Console", description = DESCRIPTION),
    servers((url = "/api/v1")),
    security(("bearer" = []), ("basic" = []), ("session" = [])),
    paths(
        alert_settings::change,
        alert_settings::show,
        alert_settings::try_out,
        alerts::acknowledge,
        alerts::list,
        audits::list,
        authority::advance,
        authority::approve,
        authority::begin,
        authority::retire,
        authority::returns,
        authority::roll_back,
        authority::show,
        audits::verify,
        backups::change_schedule,
        backups::download,
        backups::list,
        backups::make,
        backups::remove,
        backups::schedule,
        bulk::decommission,
        certificates::accept,
        certificates::ca,
        certificates::chain,
        certificates::list,
        defenders::decommission,
        defenders::host,
        defenders::install_bundle,
        defenders::one,
        deploy::console::compose,
        deploy::console::istio,
        deploy::console::istio_chart,
        deploy::console::kubernetes,
        deploy::console::kubernetes_chart,
        deploy::console::openshift,
        deploy::console::openshift_chart,
        deploy::defenders::compose,
        deploy::defenders::daemon_set,
        deploy::defenders::daemon_set_chart,
        deploy::defenders::openshift,
        deploy::defenders::openshift_chart,
        description,
        events::stream,
        expiry::list,
        history::certificates,
        history::connections,
        history::fleet,
        keys::add,
        keys::list,
        keys::remove,
        log::download,
        metrics::page,
        refused::refusals,
        registrations::list,
        registrations::revoke,
        restart::restart,
        restart::restart_many,
        roster::facets,
        roster::list,
        roster::names,
        session::authenticate,
        session::change_password,
        session::ping,
        session::sign_up,
        session::version,
        sessions::change_limits,
        sessions::end,
        sessions::limits,
        sessions::list,
        settings::certs,
        settings::change_certs,
        settings::change_general,
        settings::general,
        tail::stream,
        users::add,
        users::change,
        users::list,
        users::remove,
    ),
    components(schemas(Problem)),
    modifiers(&Common),
)]
struct Description;

/// What every call has in common.
struct Common;

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "console", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)))]
pub(super) async fn description(_: NoParameters) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], JSON.as_str())
}

/// The calls that take parameters in the URL: method and path below `/api/v1`.
pub(super) fn with_parameters() -> HashSet<(Method, String)> {
    let asks = |operation: &Option<Operation>| {
        let parameters = operation.iter().flat_map(|operation| operation.parameters.iter().flatten());
        parameters.into_iter().any(
            |parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query),
        )
    };
    let calls = Description::openapi().paths.paths.into_iter().flat_map(|(path, item)| {
        let methods = [
            (Method::GET, item.get),
            (Method::POST, item.post),
            (Method::PUT, item.put),
            (Method::DELETE, item.delete),
        ];
        methods
            .into_iter()
            .filter(|(_, operation)| asks(operation))
            .map(move |(method, _)| (method, path.clone()))
            .collect::<Vec<_>>()
    });
    calls.collect()
}

/// The description as text.
pub(super) fn text() -> &'static str {
    &JSON
}

static JSON: LazyLock<String> = LazyLock::new(|| {
    // A tree of texts and numbers can always be written.
    serde_json::to_string(&Description::openapi()).unwrap_or_default()
});

impl Modify for Common {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        for (name, scheme) in [("bearer", HttpAuthScheme::Bearer), ("basic", HttpAuthScheme::Basic)] {
            let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
            components.add_security_scheme(name, scheme);
        }
        let cookie = ApiKeyValue::with_description("__Host-garrison", COOKIE);
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        for (path, item) in &mut openapi.paths.paths {
            let operations = [
                ("GET", &mut item.get),
                ("POST", &mut item.post),
                ("PUT", &mut item.put),
                ("DELETE", &mut item.delete),
            ];
            for (method, operation) in operations {
                let Some(operation) = operation else { continue };
                name(operation);
                add_problems(operation);
                if operation.security.is_none() {
                    let roles = ExtensionsBuilder::new().add("x-roles", roles::of(method, path)).build();
                    operation.extensions.get_or_insert_default().merge(roles);
                }
            }
        }
    }
}

/// Handlers are named after what they do, in modules named after what they do it to: `users_list`.
fn name(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
    operation.operation_id = operation.operation_id.take().map(|id| format!("{tag}_{id}"));
}

/// The errors that a call can end with beside those that its handler names.
fn add_problems(operation: &mut Operation) {
    let takes_user = operation.security.is_none();
    let takes_body = operation.request_body.is_some();
    for (status, description, applies) in [
        ("400", "A parameter or the body cannot be taken; the detail names the accepted form", true),
        ("401", "Nobody known is calling", takes_user),
        ("403", "The user may not do this", takes_user),
        ("405", "The path has other methods", true),
        ("408", "The body did not arrive in time", takes_body),
        ("413", "The body is over 1 MiB", takes_body),
        ("415", "The body is no application/json", takes_body),
        ("429", "Too many failed sign-ins; see Retry-After", takes_user),
        ("500", "The Console failed; its log says why", true),
        ("503", "Not ready, or too many sign-ins at once", true),
    ] {
        if applies {
            let responses = &mut operation.responses.responses;
            responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem(description)));
        }
    }
    // What handlers name as an error has no body of its own.
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && response.content.is_empty()
        {
            *response = problem(&response.description);
        }
    }
}

fn problem(description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

const COOKIE: &str = "The session of the web UI. What changes something needs proof that a page of this Console asks: \
    `Sec-Fetch-Site: same-origin`, or `Origin` or `Referer` of this host.";

const DESCRIPTION: &str = "Lists take `offset`, `limit` (50 unless told, at most 1000) and `search`, and say in \
    `Total-Count` how many items there are in all. Every error is `application/problem+json`. Roles: `administrator` \
    everything, `operator` all but users and settings, `auditor` reads everything, `viewer` reads fleet and \
    certificates, `defender-manager` (for automation) also issues install bundles, decommissions and restarts Defenders.";
