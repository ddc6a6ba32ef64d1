//! A Console's files: what `console export` writes. Nothing of this Console is in them.

use manifests::flags::{ConsoleComposeFlags, ConsoleFlags, IstioFlags, OpenshiftFlags};
use manifests::{Console, ConsoleCompose, Istio, Openshift};

use serde_json::Value;
use zeroize::Zeroizing;

use super::{Chart, Yaml, chart, typed, yaml};
use crate::web::auth::AnyUser;
use crate::web::error::ApiError;
use crate::web::input::Body;

/// The file for a platform, for the page that shows it.
///
/// # Errors
/// What is wrong with the fields.
pub(in crate::web) fn file(platform: &str, body: Value) -> Result<Zeroizing<String>, ApiError> {
    Ok(match platform {
        "compose" => ConsoleCompose::parse(&typed(body)?)?.write()?,
        "istio" => Istio::parse(&typed(body)?)?.write()?,
        "openshift" => Openshift::parse(&typed(body)?)?.write()?,
        _ => Console::parse(&typed(body)?)?.write()?,
    })
}

/// Writes what a Console is deployed with on Kubernetes: what `console export kubernetes` writes.
#[utoipa::path(post, operation_id = "console_kubernetes", path = "/console/kubernetes.yaml", tag = "deploy", request_body = ConsoleFlags,
    responses((status = 200, description = "The file", body = String, content_type = "application/yaml")))]
pub(in crate::web) async fn kubernetes(
    _: AnyUser,
    Body(flags): Body<ConsoleFlags>,
) -> Result<Yaml, ApiError> {
    Ok(yaml(&Console::parse(&flags)?.write()?))
}

/// Writes the Helm chart of a Console: what `console export kubernetes --helm` writes.
#[utoipa::path(post, operation_id = "console_kubernetes_chart", path = "/console/kubernetes-helm.tar.gz", tag = "deploy", request_body = ConsoleFlags,
    responses((status = 200, description = "The chart", body = Vec<u8>, content_type = "application/gzip")))]
pub(in crate::web) async fn kubernetes_chart(
    _: AnyUser,
    Body(flags): Body<ConsoleFlags>,
) -> Result<Chart, ApiError> {
    Ok(chart(&Console::parse(&flags)?.chart()?))
}

/// Writes what a Console is deployed with on OpenShift: what `console export openshift` writes.
#[utoipa::path(post, operation_id = "console_openshift", path = "/console/openshift.yaml", tag = "deploy", request_body = OpenshiftFlags,
    responses((status = 200, description = "The file", body = String, content_type = "application/yaml")))]
pub(in crate::web) async fn openshift(
    _: AnyUser,
    Body(flags): Body<OpenshiftFlags>,
) -> Result<Yaml, ApiError> {
    Ok(yaml(&Openshift::parse(&flags)?.write()?))
}

/// Writes the Helm chart of a Console on OpenShift: what `console export openshift --helm` writes.
#[utoipa::path(post, operation_id = "console_openshift_chart", path = "/console/openshift-helm.tar.gz", tag = "deploy", request_body = OpenshiftFlags,
    responses((status = 200, description = "The chart", body = Vec<u8>, content_type = "application/gzip")))]
pub(in crate::web) async fn openshift_chart(
    _: AnyUser,
    Body(flags): Body<OpenshiftFlags>,
) -> Result<Chart, ApiError> {
    Ok(chart(&Openshift::parse(&flags)?.chart()?))
}

/// Writes what a Console is deployed with behind an ingress gateway: what `console export istio` writes.
#[utoipa::path(post, operation_id = "console_istio", path = "/console/istio.yaml", tag = "deploy", request_body = IstioFlags,
    responses((status = 200, description = "The file", body = String, content_type = "application/yaml")))]
pub(in crate::web) async fn istio(_: AnyUser, Body(flags): Body<IstioFlags>) -> Result<Yaml, ApiError> {
    Ok(yaml(&Istio::parse(&flags)?.write()?))
}

/// Writes the Helm chart of a Console behind an ingress gateway: what `console export istio --helm` writes.
#[utoipa::path(post, operation_id = "console_istio_chart", path = "/console/istio-helm.tar.gz", tag = "deploy", request_body = IstioFlags,
    responses((status = 200, description = "The chart", body = Vec<u8>, content_type = "application/gzip")))]
pub(in crate::web) async fn istio_chart(
    _: AnyUser,
    Body(flags): Body<IstioFlags>,
) -> Result<Chart, ApiError> {
    Ok(chart(&Istio::parse(&flags)?.chart()?))
}

/// Writes what a Console is deployed with by docker-compose: what `console export compose` writes.
#[utoipa::path(post, operation_id = "console_compose", path = "/console/docker-compose.yaml", tag = "deploy", request_body = ConsoleComposeFlags,
    responses((status = 200, description = "The file", body = String, content_type = "application/yaml")))]
pub(in crate::web) async fn compose(
    _: AnyUser,
    Body(flags): Body<ConsoleComposeFlags>,
) -> Result<Yaml, ApiError> {
    Ok(yaml(&ConsoleCompose::parse(&flags)?.write()?))
}
