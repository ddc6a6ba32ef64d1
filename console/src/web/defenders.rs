//! Defenders: list, one, decommission, install bundle.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::AppState;
use super::auth::{AdministratorOrOperator, AnyUser};
use super::error::ApiError;
use super::input::{Id, Listed, Page, Parameters};
use crate::config::dial_host;
use crate::fleet::DefenderView;
use crate::store::audits::{Action, Deed};

/// Parameters of the lists.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those that are connected, or only those that are not.
    connected: Option<bool>,
    /// Only those whose host name, address or id contains this text, in upper or lower case.
    search: Option<String>,
    /// How many items to pass over.
    offset: Option<usize>,
    /// How many items to answer with, 50 unless told.
    #[param(maximum = 1000)]
    limit: Option<usize>,
}

/// Parameters of `install-bundle`.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BundleFor {
    /// Name or address that the Defender reaches the Console by, `HOST` or `HOST:PORT`.
    consoleaddr: String,
}

/// The answer of `install-bundle`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstallBundle {
    /// Base64 of a JSON object of three files by name. Holds a private key.
    install_bundle: String,
    /// What the Defender dials.
    ws_address: String,
}

impl Filter {
    fn page(&self) -> Result<Page, ApiError> {
        Page::parse(self.offset, self.limit)
    }

    fn of(&self, mut defenders: Vec<DefenderView>) -> Vec<DefenderView> {
        let search = self.search.as_deref().unwrap_or_default().to_lowercase();
        defenders.retain(|defender| {
            self.connected.is_none_or(|connected| connected == defender.connected)
                && (search.is_empty()
                    || defender.hostname.to_lowercase().contains(&search)
                    || defender.address.contains(&search)
                    || defender.id.to_string().contains(&search))
        });
        defenders
    }
}

/// Lists Defenders by host name.
#[utoipa::path(get, path = "/defenders", tag = "defenders", params(Filter),
    responses((status = 200, description = "A page of them", body = Vec<DefenderView>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn list(
    _: AnyUser,
    Parameters(filter): Parameters<Filter>,
    State(state): State<AppState>,
) -> Result<Listed<DefenderView>, ApiError> {
    let page = filter.page()?;
    let defenders = filter.of(state.fleet.snapshot());
    Ok(page.of(defenders, |a, b| (&a.hostname, a.id).cmp(&(&b.hostname, b.id))))
}

/// Lists host names of Defenders, each once.
#[utoipa::path(get, path = "/defenders/names", tag = "defenders", params(Filter),
    responses((status = 200, description = "A page of them", body = Vec<String>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn names(
    _: AnyUser,
    Parameters(filter): Parameters<Filter>,
    State(state): State<AppState>,
) -> Result<Listed<String>, ApiError> {
    let page = filter.page()?;
    let defenders = filter.of(state.fleet.snapshot());
    let mut names: Vec<String> = defenders.into_iter().map(|defender| defender.hostname).collect();
    names.sort_unstable();
    names.dedup();
    Ok(page.of(names, Ord::cmp))
}

/// Shows one Defender.
#[utoipa::path(get, path = "/defenders/{id}", tag = "defenders", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The Defender", body = DefenderView),
        (status = 404, description = "No such Defender, or decommissioned")))]
pub(super) async fn one(
    _: AnyUser,
    Id(id): Id,
    State(state): State<AppState>,
) -> Result<Json<DefenderView>, ApiError> {
    state.fleet.get(id).map(Json).ok_or(UNKNOWN)
}

/// Decommissions a Defender, for administrators and operators: closes its connection and refuses it from then on.
#[utoipa::path(delete, path = "/defenders/{id}", tag = "defenders", params(("id" = uuid::Uuid, Path)),
    responses((status = 204, description = "Refused from now on"),
        (status = 404, description = "No such Defender, or decommissioned already")))]
pub(super) async fn decommission(
    AdministratorOrOperator(actor): AdministratorOrOperator,
    Id(id): Id,
    State(state): State<AppState>,
) -> Result<StatusCode, ApiError> {
    let user = actor.user.clone();
    if !state.fleet.decommission(id, actor, OffsetDateTime::now_utc()).await? {
        return Err(UNKNOWN);
    }
    tracing::info!(defender = id.to_string(), user, "Defender decommissioned");
    Ok(StatusCode::NO_CONTENT)
}

/// Issues what a new Defender needs, for administrators and operators.
#[utoipa::path(get, path = "/defenders/install-bundle", tag = "defenders", params(BundleFor),
    responses((status = 200, description = "The bundle", body = InstallBundle),
        (status = 409, description = "Custom certificates secure the Defender listener: issue from their CA")))]
pub(super) async fn install_bundle(
    AdministratorOrOperator(actor): AdministratorOrOperator,
    Parameters(BundleFor { consoleaddr }): Parameters<BundleFor>,
    State(state): State<AppState>,
) -> Result<Json<InstallBundle>, ApiError> {
    let Some((host, port)) = address(&consoleaddr) else {
        let form =
            "consoleaddr is the name or address that Defenders reach the Console by, HOST or HOST:PORT";
        return Err(ApiError::BadRequest(form.to_owned()));
    };
    let bundle = state.enrolment.install_bundle()?;
    let port = port.unwrap_or(state.defender_port);
    let ws_address = format!("wss://{host}:{port}");
    let user = actor.user.clone();
    let (action, object) = (Action::BundleIssued, ws_address.clone());
    let deed = Deed { actor, action, object, old: Value::Null, new: Value::Null };
    state.store.record(&deed, OffsetDateTime::now_utc()).await?;
    tracing::info!(user, console = host, "Install bundle issued");
    Ok(Json(InstallBundle { install_bundle: bundle.to_string(), ws_address }))
}

/// Host, ready for a URL, and port of `HOST[:PORT]`; an IPv6 address with or without brackets.
fn address(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(host) = dial_host(text) {
        return Some((host, None));
    }
    let (host, port) = text.rsplit_once(':')?;
    // Without brackets the last part of an IPv6 address would be taken for a port.
    if host.contains(':') && !host.starts_with('[') {
        return None;
    }
    let is_number = port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port > 0)?;
    Some((dial_host(host)?, Some(port)))
}

const UNKNOWN: ApiError = ApiError::NotFound("no Defender has this id, or it was decommissioned");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_s_address_is_a_host_and_perhaps_a_port() {
        let address = |text| address(text).map(|(host, port)| format!("{host} {}", port.unwrap_or(0)));
        for (text, expected) in [
            ("console.example.com", "console.example.com 0"),
            ("Console:18084", "console 18084"),
            ("192.0.2.7:443", "192.0.2.7 443"),
            ("2001:db8::7", "[2001:db8::7] 0"),
            ("[2001:db8::7]", "[2001:db8::7] 0"),
            ("[2001:db8::7]:8084", "[2001:db8::7] 8084"),
        ] {
            assert_eq!(address(text).as_deref(), Some(expected), "{text}");
        }
        let wrong = [
            "",
            ":8084",
            "wss://console",
            "https://console:8083",
            "console/path",
            "console:0",
            "console:+80",
            "console:99999",
            "console:",
            "a b",
            "*.example.com",
            "[console]:80",
            "2001:db8::7]:80",
            "u@console",
            "1.2.3",
        ];
        for text in wrong {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
