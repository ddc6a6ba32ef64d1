//! Istio: Gateway, VirtualService, PeerAuthentication, ServiceEntry.

use std::collections::BTreeMap;

use serde::Serialize;

/// What an ingress gateway listens for.
#[derive(Debug, Serialize)]
pub(crate) struct GatewaySpec {
    pub(crate) selector: BTreeMap<String, String>,
    pub(crate) servers: Vec<Server>,
}

/// One port of it.
#[derive(Debug, Serialize)]
pub(crate) struct Server {
    pub(crate) hosts: Vec<String>,
    pub(crate) port: ServerPort,
    pub(crate) tls: ServerTls,
}

/// Number and protocol of a port.
#[derive(Debug, Serialize)]
pub(crate) struct ServerPort {
    pub(crate) name: &'static str,
    pub(crate) number: u16,
    pub(crate) protocol: &'static str,
}

/// Who ends TLS.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerTls {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credential_name: Option<String>,
    pub(crate) mode: &'static str,
}

/// Where what comes in goes.
#[derive(Debug, Serialize)]
pub(crate) struct VirtualServiceSpec {
    pub(crate) gateways: Vec<String>,
    pub(crate) hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) http: Vec<Route>,
    pub(crate) tls: Vec<Route>,
}

/// One way.
#[derive(Debug, Serialize)]
pub(crate) struct Route {
    #[serde(rename = "match")]
    pub(crate) matches: Vec<Match>,
    pub(crate) route: Vec<Way>,
}

/// What goes this way.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Match {
    pub(crate) port: u16,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sni_hosts: Vec<String>,
}

/// Its end.
#[derive(Debug, Serialize)]
pub(crate) struct Way {
    destination: Destination,
}

#[derive(Debug, Serialize)]
struct Destination {
    host: String,
    port: PortNumber,
}

#[derive(Debug, Serialize)]
struct PortNumber {
    number: u16,
}

/// Which ports the mesh secures.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeerAuthenticationSpec {
    pub(crate) mtls: Mtls,
    pub(crate) port_level_mtls: BTreeMap<String, Mtls>,
    pub(crate) selector: Selector,
}

/// How.
#[derive(Debug, Serialize)]
pub(crate) struct Mtls {
    pub(crate) mode: &'static str,
}

/// Whose.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Selector {
    pub(crate) match_labels: BTreeMap<String, String>,
}

/// Hosts outside the mesh that pods may call.
#[derive(Debug, Serialize)]
pub(crate) struct ServiceEntrySpec {
    pub(crate) hosts: Vec<String>,
    pub(crate) location: &'static str,
    pub(crate) ports: Vec<ServerPort>,
    pub(crate) resolution: &'static str,
}

impl Way {
    pub(crate) fn to(host: &str, number: u16) -> Self {
        Self { destination: Destination { host: host.to_owned(), port: PortNumber { number } } }
    }
}
