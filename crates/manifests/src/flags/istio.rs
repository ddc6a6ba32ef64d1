//! What can be set of a Console's deployment behind Istio's ingress gateway alone.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ConsoleFlags;

/// Settings of a Console's deployment behind an ingress gateway.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IstioFlags {
    /// Host by which users and Defenders reach the Console, a name or *.SUFFIX or *; repeatable. Required
    #[arg(long, value_name = "HOST", help_heading = GATEWAY)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub host: Vec<String>,
    /// Who ends TLS of port 443: `terminate` the gateway, which hands on plain HTTP; `passthrough` the Console, as
    /// Supervisor Consoles need it [default: terminate]
    #[arg(long, value_name = "WAY", help_heading = GATEWAY)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<String>,
    /// Secret with the gateway's certificate for `terminate`, in the gateway's Namespace
    /// [default: twistlock-console-tls]
    #[arg(long, value_name = "NAME", help_heading = GATEWAY)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Label of the ingress gateway's pods [default: istio=ingressgateway]
    #[arg(long, value_name = "KEY=VALUE", help_heading = GATEWAY)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_selector: Option<String>,
    /// Port of the gateway for Defenders [default: 8084]
    #[arg(long, value_name = "PORT", help_heading = GATEWAY, value_parser = clap::value_parser!(u16).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defender_port: Option<u16>,
    /// Version of Istio's API: v1, v1beta1 or v1alpha3 [default: v1]
    #[arg(long, value_name = "VERSION", help_heading = GATEWAY)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub istio_api_version: Option<String>,
    /// Write objects of the Gateway API instead of Istio's Gateway and VirtualService
    #[arg(long, help_heading = GATEWAY)]
    #[serde(skip_serializing_if = "super::is_off")]
    pub gateway_api: bool,
    /// GatewayClass of --gateway-api [default: istio]
    #[arg(long, value_name = "NAME", help_heading = GATEWAY)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_class: Option<String>,

    /// Keep the Console's pod out of the mesh
    #[arg(long, help_heading = MESH)]
    #[serde(skip_serializing_if = "super::is_off")]
    pub no_sidecar: bool,
    /// Host outside the mesh that the Console calls, port 443; repeatable
    #[arg(long, value_name = "HOST", help_heading = MESH)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub feed_host: Vec<String>,
    /// Addresses outside the mesh that the Console calls past its sidecar, ADDRESS/BITS; repeatable
    #[arg(long, value_name = "RANGE", help_heading = MESH)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub exclude_outbound_range: Vec<String>,
    /// What a Console has on Kubernetes.
    #[command(flatten)]
    #[serde(flatten)]
    pub console: ConsoleFlags,
}

const GATEWAY: &str = "Ingress gateway";
const MESH: &str = "Mesh";
