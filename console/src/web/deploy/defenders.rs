//! Defenders' files: what `defender export` asks for. They hold an install bundle, and so a private key.

use std::time::Duration;

use axum::extract::State;
use manifests::flags::{DefenderComposeFlags, DefenderFlags};
use manifests::{Bundle, Defender, DefenderCompose, Platform};
use serde_json::Value;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{Chart, Yaml, chart, typed, yaml};
use crate::enroll::{BundleOrder, EnrolError};
use crate::store::audits::Actor;
use crate::web::AppState;
use crate::web::auth::DefenderManagement;
use crate::web::error::ApiError;
use crate::web::input::Body;

/// Writes what Defenders are deployed with on Kubernetes, for administrators and operators: what
/// `defender export kubernetes` writes.
///
/// The fields are the flags of that command; `consoleAddr` is its `--cluster-address`. The file holds a private key,
/// unless custom certificates secure the Defender listener: then a source of custom certificates is needed.
#[utoipa::path(post, path = "/defenders/daemonset.yaml", tag = "deploy", request_body = DefenderFlags,
    responses((status = 200, description = "The file", body = String, content_type = "application/yaml"),
        (status = 409, description = "Custom certificates secure the Defender listener, and Defenders get none")))]
pub(in crate::web) async fn daemon_set(
    DefenderManagement(actor): DefenderManagement,
    State(state): State<AppState>,
    Body(flags): Body<DefenderFlags>,
) -> Result<Yaml, ApiError> {
    let (defender, bundle) = judged(&state, actor, &flags).await?;
    Ok(yaml(&defender.write(Platform::Kubernetes, state.defender_port, bundle.as_ref())?))
}

/// Writes the Helm chart of Defenders, for administrators and operators: what `defender export kubernetes --helm`
/// writes. Its values hold a private key.
#[utoipa::path(post, path = "/defenders/daemonset-helm.tar.gz", tag = "deploy", request_body = DefenderFlags,
    responses((status = 200, description = "The chart", body = Vec<u8>, content_type = "application/gzip"),
        (status = 409, description = "Custom certificates secure the Defender listener, and Defenders get none")))]
pub(in crate::web) async fn daemon_set_chart(
    DefenderManagement(actor): DefenderManagement,
    State(state): State<AppState>,
    Body(flags): Body<DefenderFlags>,
) -> Result<Chart, ApiError> {
    let (defender, bundle) = judged(&state, actor, &flags).await?;
    Ok(chart(&defender.chart(Platform::Kubernetes, state.defender_port, bundle.as_ref())?))
}

/// Writes what Defenders are deployed with on OpenShift, for administrators and operators: what
/// `defender export openshift` writes.
#[utoipa::path(post, path = "/defenders/openshift.yaml", tag = "deploy", request_body = DefenderFlags,
    responses((status = 200, description = "The file", body = String, content_type = "application/yaml"),
        (status = 409, description = "Custom certificates secure the Defender listener, and Defenders get none")))]
pub(in crate::web) async fn openshift(
    DefenderManagement(actor): DefenderManagement,
    State(state): State<AppState>,
    Body(flags): Body<DefenderFlags>,
) -> Result<Yaml, ApiError> {
    let (defender, bundle) = judged(&state, actor, &flags).await?;
    Ok(yaml(&defender.write(Platform::Openshift, state.defender_port, bundle.as_ref())?))
}

/// Writes the Helm chart of Defenders on OpenShift, for administrators and operators: what
/// `defender export openshift --helm` writes. Its values hold a private key.
#[utoipa::path(post, path = "/defenders/openshift-helm.tar.gz", tag = "deploy", request_body = DefenderFlags,
    responses((status = 200, description = "The chart", body = Vec<u8>, content_type = "application/gzip"),
        (status = 409, description = "Custom certificates secure the Defender listener, and Defenders get none")))]
pub(in crate::web) async fn openshift_chart(
    DefenderManagement(actor): DefenderManagement,
    State(state): State<AppState>,
    Body(flags): Body<DefenderFlags>,
) -> Result<Chart, ApiError> {
    let (defender, bundle) = judged(&state, actor, &flags).await?;
    Ok(chart(&defender.chart(Platform::Openshift, state.defender_port, bundle.as_ref())?))
}

/// Writes what a Defender is deployed with by docker-compose, for administrators and operators: what
/// `defender export compose` writes.
#[utoipa::path(post, path = "/defenders/docker-compose.yaml", tag = "deploy", request_body = DefenderComposeFlags,
    responses((status = 200, description = "The file", body = String, content_type = "application/yaml"),
        (status = 409, description = "Custom certificates secure the Defender listener, and the Defender gets none")))]
pub(in crate::web) async fn compose(
    DefenderManagement(actor): DefenderManagement,
    State(state): State<AppState>,
    Body(flags): Body<DefenderComposeFlags>,
) -> Result<Yaml, ApiError> {
    let defender = DefenderCompose::parse(&flags)?;
    let bundle = bundle(&state, defender.has_custom_certs(), defender.ws_address(state.defender_port), actor);
    let bundle = bundle.await?;
    Ok(yaml(&defender.write(state.defender_port, bundle.as_ref().map(|bundle| bundle.as_str()))?))
}

/// What is wrong with the fields, for the page that asks for them.
///
/// # Errors
/// That.
pub(in crate::web) fn judge(platform: &str, body: Value) -> Result<(), ApiError> {
    match platform {
        "compose" => DefenderCompose::parse(&typed(body)?).map(|_| ())?,
        _ => Defender::parse(&typed(body)?).map(|_| ())?,
    }
    Ok(())
}

/// What is asked for, and what lets it in.
async fn judged(
    state: &AppState,
    actor: Actor,
    flags: &DefenderFlags,
) -> Result<(Defender, Option<Bundle>), ApiError> {
    let defender = Defender::parse(flags)?;
    let bundle = bundle(state, defender.has_custom_certs(), defender.ws_address(state.defender_port), actor);
    let bundle = bundle.await?.map(|bundle| Bundle::from_base64(&bundle)).transpose();
    Ok((defender, bundle.map_err(|error| ApiError::Internal(error.to_string()))?))
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

/// Nodes join a cluster for as long as it lives.
const DAEMON_SET_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const NO_CERTIFICATES: &str = "custom certificates secure the Defender listener, and only their CA is accepted: issue \
     defender-client-cert.pem and defender-client-key.pem from it, and say where Defenders find them, for example \
     with customCertsSecret (--custom-certs-secret)";
