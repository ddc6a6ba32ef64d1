//! What Defenders are deployed with: the files that `defender export` asks for. What is in them is in
//! `crates/manifests`.

use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use manifests::flags::{DefenderComposeFlags, DefenderFlags};
use manifests::{Bundle, Defender, DefenderCompose, Faults, YamlError};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::AppState;
use super::auth::DefenderManagement;
use super::error::ApiError;
use super::input::Body;
use crate::enroll::{BundleOrder, EnrolError};
use crate::store::audits::Actor;

/// A file of YAML.
type Yaml = ([(HeaderName, &'static str); 1], String);

/// Writes what Defenders are deployed with on Kubernetes, for administrators and operators: what
/// `defender export kubernetes` writes.
///
/// The fields are the flags of that command; `consoleAddr` is its `--cluster-address`. The file holds a private key,
/// unless custom certificates secure the Defender listener: then a source of custom certificates is needed.
#[utoipa::path(post, path = "/defenders/daemonset.yaml", tag = "defenders", request_body = DefenderFlags,
    responses((status = 200, description = "The file", body = String, content_type = "application/yaml"),
        (status = 409, description = "Custom certificates secure the Defender listener, and Defenders get none")))]
pub(super) async fn daemon_set(
    DefenderManagement(actor): DefenderManagement,
    State(state): State<AppState>,
    Body(flags): Body<DefenderFlags>,
) -> Result<Yaml, ApiError> {
    let defender = Defender::parse(&flags)?;
    let bundle = bundle(&state, defender.has_custom_certs(), defender.ws_address(state.defender_port), actor);
    let bundle = read(bundle.await?)?;
    Ok(yaml(&defender.kubernetes(state.defender_port, bundle.as_ref())?))
}

/// Writes what Defenders are deployed with on OpenShift, for administrators and operators: what
/// `defender export openshift` writes.
#[utoipa::path(post, path = "/defenders/openshift.yaml", tag = "defenders", request_body = DefenderFlags,
    responses((status = 200, description = "The file", body = String, content_type = "application/yaml"),
        (status = 409, description = "Custom certificates secure the Defender listener, and Defenders get none")))]
pub(super) async fn openshift(
    DefenderManagement(actor): DefenderManagement,
    State(state): State<AppState>,
    Body(flags): Body<DefenderFlags>,
) -> Result<Yaml, ApiError> {
    let defender = Defender::parse(&flags)?;
    let bundle = bundle(&state, defender.has_custom_certs(), defender.ws_address(state.defender_port), actor);
    let bundle = read(bundle.await?)?;
    Ok(yaml(&defender.openshift(state.defender_port, bundle.as_ref())?))
}

/// Writes what a Defender is deployed with by docker-compose, for administrators and operators: what
/// `defender export compose` writes.
#[utoipa::path(post, path = "/defenders/docker-compose.yaml", tag = "defenders", request_body = DefenderComposeFlags,
    responses((status = 200, description = "The file", body = String, content_type = "application/yaml"),
        (status = 409, description = "Custom certificates secure the Defender listener, and the Defender gets none")))]
pub(super) async fn compose(
    DefenderManagement(actor): DefenderManagement,
    State(state): State<AppState>,
    Body(flags): Body<DefenderComposeFlags>,
) -> Result<Yaml, ApiError> {
    let defender = DefenderCompose::parse(&flags)?;
    let bundle = bundle(&state, defender.has_custom_certs(), defender.ws_address(state.defender_port), actor);
    let bundle = bundle.await?;
    Ok(yaml(&defender.write(state.defender_port, bundle.as_ref().map(|bundle| bundle.as_str()))?))
}

fn yaml(text: &str) -> Yaml {
    ([(CONTENT_TYPE, "application/yaml")], text.to_owned())
}

fn read(bundle: Option<Zeroizing<String>>) -> Result<Option<Bundle>, ApiError> {
    let read = bundle.map(|bundle| Bundle::from_base64(&bundle)).transpose();
    read.map_err(|error| ApiError::Internal(error.to_string()))
}

/// A bundle for Defenders that need one.
async fn bundle(
    state: &AppState,
    has_custom_certs: bool,
    ws_address: String,
    actor: Actor,
) -> Result<Option<Zeroizing<String>>, ApiError> {
    let order = BundleOrder { life: DAEMON_SET_LIFE, max_uses: None };
    let bundle =
        match state.enrolment.install_bundle(order, &actor, &ws_address, OffsetDateTime::now_utc()).await {
            Ok(bundle) => bundle,
            Err(EnrolError::CustomCertificates) if has_custom_certs => {
                state.meeting.exported(&ws_address, order.life).await;
                return Ok(None);
            }
            Err(EnrolError::CustomCertificates) => {
                return Err(ApiError::Conflict(NO_CERTIFICATES.to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
    state.meeting.exported(&ws_address, order.life).await;
    tracing::info!(user = actor.user, console = ws_address, "Install bundle issued");
    Ok(Some(bundle))
}

impl From<Faults> for ApiError {
    fn from(faults: Faults) -> Self {
        Self::BadRequest(faults.of_fields())
    }
}

impl From<YamlError> for ApiError {
    fn from(error: YamlError) -> Self {
        Self::Internal(lifecycle::logging::error_chain(&error))
    }
}

/// Nodes join a cluster for as long as it lives.
const DAEMON_SET_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const NO_CERTIFICATES: &str = "custom certificates secure the Defender listener, and only their CA is accepted: issue \
     defender-client-cert.pem and defender-client-key.pem from it, and say where Defenders find them, for example \
     with customCertsSecret (--custom-certs-secret)";
