//! The same with objects of the Gateway API: one listener for each host and port.

use super::{Https, Istio, USERS};
use crate::console::{DEFENDER_PORT, HTTPS_PORT, NAME};
use crate::custom::Custom;
use crate::custom::gateway::{Backend, Certificate, GatewaySpec, Listener, Parent, RouteSpec, Rule, Tls};
use crate::meta::Meta;
use crate::yaml::{Documents, YamlError};

pub(super) fn write(
    istio: &Istio,
    class: &str,
    meta: &Meta,
    documents: &mut Documents,
) -> Result<(), YamlError> {
    let mut listeners = Vec::new();
    for (at, host) in istio.hosts.iter().enumerate() {
        listeners.push(users(istio, at, host));
        listeners.push(passthrough(section("defender", at), istio.defender_port, host));
    }
    documents.push(&Custom {
        api_version: API,
        kind: "Gateway",
        metadata: meta.object(NAME),
        spec: GatewaySpec { gateway_class_name: class.to_owned(), listeners },
    })?;
    let (kind, port) = match &istio.https {
        Https::Passthrough => ("TLSRoute", HTTPS_PORT),
        Https::Terminate { port, .. } => ("HTTPRoute", *port),
    };
    documents.push(&route(istio, meta, kind, NAME, "https", port))?;
    documents.push(&route(istio, meta, "TLSRoute", "twistlock-console-defender", "defender", DEFENDER_PORT))
}

fn users(istio: &Istio, at: usize, host: &str) -> Listener {
    match &istio.https {
        Https::Passthrough => passthrough(section("https", at), USERS, host),
        Https::Terminate { credential, .. } => {
            let certificate = Certificate { kind: "Secret", name: credential.clone() };
            Listener {
                hostname: host.to_owned(),
                name: section("https", at),
                port: USERS,
                protocol: "HTTPS",
                tls: Tls { certificate_refs: vec![certificate], mode: "Terminate" },
            }
        }
    }
}

fn passthrough(name: String, port: u16, host: &str) -> Listener {
    let tls = Tls { certificate_refs: Vec::new(), mode: "Passthrough" };
    Listener { hostname: host.to_owned(), name, port, protocol: "TLS", tls }
}

fn route(
    istio: &Istio,
    meta: &Meta,
    kind: &'static str,
    name: &str,
    listener: &str,
    port: u16,
) -> Custom<RouteSpec> {
    let parent = |at| Parent { name: NAME, section_name: section(listener, at) };
    Custom {
        api_version: API,
        kind,
        metadata: meta.object(name),
        spec: RouteSpec {
            hostnames: istio.hosts.clone(),
            parent_refs: (0..istio.hosts.len()).map(parent).collect(),
            rules: vec![Rule { backend_refs: vec![Backend { name: NAME, port }] }],
        },
    }
}

/// Name of a listener.
fn section(name: &str, at: usize) -> String {
    if at == 0 { name.to_owned() } else { format!("{name}-{}", at + 1) }
}

const API: &str = "gateway.networking.k8s.io/v1";
