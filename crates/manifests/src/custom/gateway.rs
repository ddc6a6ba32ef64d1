//! Gateway API: Gateway, HTTPRoute, TLSRoute.

use serde::Serialize;

/// What a gateway listens for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewaySpec {
    pub(crate) gateway_class_name: String,
    pub(crate) listeners: Vec<Listener>,
}

/// One port and host of it.
#[derive(Debug, Serialize)]
pub(crate) struct Listener {
    pub(crate) hostname: String,
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) protocol: &'static str,
    pub(crate) tls: Tls,
}

/// Who ends TLS.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tls {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) certificate_refs: Vec<Certificate>,
    pub(crate) mode: &'static str,
}

/// A Secret beside the gateway.
#[derive(Debug, Serialize)]
pub(crate) struct Certificate {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
}

/// Where what comes in goes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RouteSpec {
    pub(crate) hostnames: Vec<String>,
    pub(crate) parent_refs: Vec<Parent>,
    pub(crate) rules: Vec<Rule>,
}

/// A listener.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parent {
    pub(crate) name: &'static str,
    pub(crate) section_name: String,
}

/// One way.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rule {
    pub(crate) backend_refs: Vec<Backend>,
}

/// Its end.
#[derive(Debug, Serialize)]
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
}
