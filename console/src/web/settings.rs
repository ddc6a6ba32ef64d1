//! Settings: the names in self-signed server certificates, the URL that users reach the Console by.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::AppState;
use super::auth::{Administrator, AnyUser};
use super::error::ApiError;
use super::input::Body;
use crate::config::{PublicUrl, San};

/// `GET settings/certs`.
#[derive(Serialize, ToSchema)]
pub(super) struct CertificateSettings {
    /// Names and addresses beside those of `--san` and the default ones.
    #[serde(rename = "consoleSAN")]
    console_san: Vec<String>,
    /// When the Console's own CA expires.
    #[serde(rename = "caExpiration", with = "time::serde::rfc3339")]
    ca_expiration: OffsetDateTime,
}

/// `POST settings/certs`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCertificateSettings {
    /// Names and addresses, in place of those that there are.
    #[serde(rename = "consoleSAN")]
    #[schema(max_items = 100)]
    console_san: Vec<String>,
    /// As it is, for callers that send back all of what they have read: it cannot be changed here.
    #[serde(rename = "caExpiration", default, with = "time::serde::rfc3339::option")]
    ca_expiration: Option<OffsetDateTime>,
}

/// Shows names and addresses in self-signed certificates beside those of `--san` and the default ones.
#[utoipa::path(get, path = "/settings/certs", tag = "settings",
    responses((status = 200, description = "The settings", body = CertificateSettings)))]
pub(super) async fn certs(
    _: AnyUser,
    State(state): State<AppState>,
) -> Result<Json<CertificateSettings>, ApiError> {
    shown(&state).await
}

/// Puts other names in place, for administrators: self-signed certificates are issued anew at once.
#[utoipa::path(post, path = "/settings/certs", tag = "settings", request_body = NewCertificateSettings,
    responses((status = 200, description = "The settings", body = CertificateSettings)))]
pub(super) async fn change_certs(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
    Body(body): Body<NewCertificateSettings>,
) -> Result<Json<CertificateSettings>, ApiError> {
    let names = names(&body.console_san)?;
    if body.ca_expiration.is_some_and(|date| date != state.names.ca_expiration()) {
        return Err(ApiError::BadRequest(
            "caExpiration says when the CA expires; it cannot be changed here".to_owned(),
        ));
    }
    state.names.replace(&names, &actor).await?;
    tracing::info!(
        user = actor.user,
        names = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        "Names of self-signed certificates changed"
    );
    shown(&state).await
}

/// `GET settings/general`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GeneralSettings {
    /// The URL that users reach the Console by; `null`: whatever their browser calls.
    #[schema(example = "https://console.example.com")]
    public_url: Option<String>,
    /// Whether `--public-url` sets it; then it cannot be changed here.
    set_by_flag: bool,
}

/// `POST settings/general`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewGeneralSettings {
    /// The URL that users reach the Console by; `null` or empty: whatever their browser calls.
    #[schema(example = "https://console.example.com")]
    public_url: Option<String>,
}

/// Shows the URL that users reach the Console by.
#[utoipa::path(get, path = "/settings/general", tag = "settings",
    responses((status = 200, description = "The settings", body = GeneralSettings)))]
pub(super) async fn general(_: AnyUser, State(state): State<AppState>) -> Json<GeneralSettings> {
    shown_general(&state)
}

/// Changes the URL that users reach the Console by, for administrators.
#[utoipa::path(post, path = "/settings/general", tag = "settings", request_body = NewGeneralSettings,
    responses((status = 200, description = "The settings", body = GeneralSettings),
        (status = 409, description = "`--public-url` sets it")))]
pub(super) async fn change_general(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
    Body(body): Body<NewGeneralSettings>,
) -> Result<Json<GeneralSettings>, ApiError> {
    let url = body.public_url.as_deref().map(str::trim).filter(|url| !url.is_empty());
    let url = url.map(|url| match url.len() {
        0..=LONGEST_URL => url.parse::<PublicUrl>(),
        _ => Err(format!("a URL has at most {LONGEST_URL} characters")),
    });
    let url = url.transpose().map_err(|fault| ApiError::BadRequest(format!("publicUrl: {fault}")))?;
    state.public_url.change(url, &actor).await?;
    tracing::info!(user = actor.user, "Public URL changed");
    Ok(shown_general(&state))
}

fn shown_general(state: &AppState) -> Json<GeneralSettings> {
    let public_url = state.public_url.current().map(|url| url.as_str().to_owned());
    Json(GeneralSettings { public_url, set_by_flag: state.public_url.is_flag() })
}

async fn shown(state: &AppState) -> Result<Json<CertificateSettings>, ApiError> {
    let (console_san, ca_expiration) = (state.names.list().await?, state.names.ca_expiration());
    Ok(Json(CertificateSettings { console_san, ca_expiration }))
}

fn names(texts: &[String]) -> Result<Vec<San>, ApiError> {
    if texts.len() > MOST_NAMES {
        return Err(ApiError::BadRequest(format!("consoleSAN has at most {MOST_NAMES} names and addresses")));
    }
    let name = |text: &String| {
        text.trim().parse::<San>().map_err(|fault| {
            // No longer than a name can be: the fault repeats it.
            let fault = if text.len() <= LONGEST_NAME {
                fault
            } else {
                "a name has at most 253 characters".to_owned()
            };
            ApiError::BadRequest(format!("consoleSAN: {fault}"))
        })
    };
    texts.iter().map(name).collect()
}

/// More would make a certificate that clients may not take.
const MOST_NAMES: usize = 100;
const LONGEST_NAME: usize = 253;
const LONGEST_URL: usize = 2048;
