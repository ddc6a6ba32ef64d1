//! Defenders: list, one, decommission, install bundle.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::AppState;
use super::auth::{AdministratorOrOperator, AnyUser};
use super::error::ApiError;
use super::input::{Id, Listed, Page, Parameters};
use crate::config::dial_host;
use crate::fleet::DefenderView;
use crate::store::audits::{Action, Deed};

/// Parameters of the lists.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    connected: Option<bool>,
    search: Option<String>,
    offset: Option<usize>,
    limit: Option<usize>,
}

/// Parameters of `install-bundle`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BundleFor {
    consoleaddr: String,
}

/// The answer of `install-bundle`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstallBundle {
    install_bundle: String,
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

pub(super) async fn list(
    _: AnyUser,
    Parameters(filter): Parameters<Filter>,
    State(state): State<AppState>,
) -> Result<Listed<DefenderView>, ApiError> {
    let page = filter.page()?;
    let defenders = filter.of(state.fleet.snapshot());
    Ok(page.of(defenders, |a, b| (&a.hostname, a.id).cmp(&(&b.hostname, b.id))))
}

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

pub(super) async fn one(
    _: AnyUser,
    Id(id): Id,
    State(state): State<AppState>,
) -> Result<Json<DefenderView>, ApiError> {
    state.fleet.get(id).map(Json).ok_or(UNKNOWN)
}

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
