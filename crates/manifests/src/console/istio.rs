//! The Console behind Istio's ingress gateway, or one of the Gateway API: as on Kubernetes, with the gateway's objects.
//! The gateway hands 8084 on untouched: Defenders and Console know each other by their own certificates.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Console, DEFENDER_PORT, HTTPS_PORT, NAME, kubernetes};
use crate::chart;
use crate::custom::Custom;
use crate::custom::istio::{
    GatewaySpec, Match, Mtls, PeerAuthenticationSpec, Route, Selector, Server, ServerPort, ServerTls,
    ServiceEntrySpec, VirtualServiceSpec, Way,
};
use crate::fault::{Faults, Judge};
use crate::flags::IstioFlags;
use crate::meta::Meta;
use crate::values::address::{host, range};
use crate::values::{San, label, object_name};
use crate::yaml::{Documents, YamlError};

mod gateway;

/// A Console behind an ingress gateway. Only [`Istio::parse`] makes one.
#[derive(Debug)]
pub struct Istio {
    console: Console,
    hosts: Vec<String>,
    https: Https,
    selector: BTreeMap<String, String>,
    defender_port: u16,
    api: Api,
    /// Of the Gateway API.
    class: Option<String>,
    is_in_mesh: bool,
    feed_hosts: Vec<String>,
}

/// Who ends TLS of port 443.
#[derive(Debug)]
enum Https {
    /// The Console.
    Passthrough,
    /// The gateway, which hands on to this port.
    Terminate { credential: String, port: u16 },
}

/// Versions of Istio's two groups.
#[derive(Debug, Clone, Copy)]
struct Api {
    networking: &'static str,
    security: &'static str,
}

impl Istio {
    /// Judges what was asked for.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn parse(flags: &IstioFlags) -> Result<Self, Faults> {
        let mut judge = Judge::default();
        let mut console = Console::judge(&flags.console, &mut judge);
        let hosts = hosts(flags, &mut judge);
        let https = https(flags, &mut console, &mut judge);
        let selector = judge.text("--gateway-selector", flags.gateway_selector.as_deref(), label);
        let defender_port = flags.defender_port.unwrap_or(DEFENDER_PORT);
        if matches!(defender_port, 0 | 443) {
            judge.note("--defender-port", "443 is the port of users; write another, for example 8084");
        }
        let api = judge.text("--istio-api-version", flags.istio_api_version.as_deref(), api);
        let class = judge.text("--gateway-class", flags.gateway_class.as_deref(), object_name);
        refuse_mixtures(flags, &mut judge);
        for host in hosts
            .iter()
            .filter(|host| *host != "*" && !console.names.contains(host))
            .cloned()
            .collect::<Vec<_>>()
        {
            console.names.push(host);
        }
        if console.public_url.is_none() {
            let named = hosts.iter().find(|host| !host.starts_with('*'));
            console.public_url = named.map(|host| format!("https://{host}"));
        }
        let inject = if flags.no_sidecar { "false" } else { "true" };
        console.pod_labels.insert("sidecar.istio.io/inject".to_owned(), inject.to_owned());
        let ranges = judge.texts("--exclude-outbound-range", &flags.exclude_outbound_range, range);
        if !ranges.is_empty() {
            let key = "traffic.sidecar.istio.io/excludeOutboundIPRanges";
            console.pod_annotations.insert(key.to_owned(), ranges.join(","));
        }
        let feed_hosts = judge.texts("--feed-host", &flags.feed_host, |text| {
            let found = host(text).filter(|host| host.parse::<std::net::IpAddr>().is_err());
            found.ok_or_else(|| format!("{text:?} is no host name; write a DNS name"))
        });
        judge.end(Self {
            console,
            hosts,
            https,
            selector: [selector.unwrap_or_else(|| ("istio".to_owned(), "ingressgateway".to_owned()))].into(),
            defender_port,
            api: api.unwrap_or(CURRENT),
            class: flags.gateway_api.then(|| class.unwrap_or_else(|| "istio".to_owned())),
            is_in_mesh: !flags.no_sidecar,
            feed_hosts,
        })
    }

    /// The file.
    ///
    /// # Errors
    /// When an object cannot be written.
    pub fn write(&self) -> Result<Zeroizing<String>, YamlError> {
        self.objects()?.write(HEAD)
    }

    /// The Helm chart, a `.tar.gz`.
    ///
    /// # Errors
    /// When an object cannot be written.
    pub fn chart(&self) -> Result<Zeroizing<Vec<u8>>, YamlError> {
        chart::CONSOLE.write(&self.objects()?)
    }

    fn objects(&self) -> Result<Documents, YamlError> {
        let meta = self.console.meta();
        let mut documents = Documents::default();
        kubernetes::write(&self.console, &mut documents)?;
        match &self.class {
            Some(class) => gateway::write(self, class, &meta, &mut documents)?,
            None => {
                documents.push(&self.gateway(&meta))?;
                documents.push(&self.virtual_service(&meta))?;
            }
        }
        if self.is_in_mesh {
            documents.push(&self.peer_authentication(&meta))?;
        }
        if !self.feed_hosts.is_empty() {
            documents.push(&self.service_entry(&meta))?;
        }
        Ok(documents)
    }

    fn gateway(&self, meta: &Meta) -> Custom<GatewaySpec> {
        let server = |name, number, protocol, tls| Server {
            hosts: self.hosts.clone(),
            port: ServerPort { name, number, protocol },
            tls,
        };
        let passthrough = || ServerTls { credential_name: None, mode: "PASSTHROUGH" };
        let users = match &self.https {
            Https::Passthrough => server("tls-console", USERS, "TLS", passthrough()),
            Https::Terminate { credential, .. } => {
                let tls = ServerTls { credential_name: Some(credential.clone()), mode: "SIMPLE" };
                server("https-console", USERS, "HTTPS", tls)
            }
        };
        let defenders = server("tls-defender", self.defender_port, "TLS", passthrough());
        Custom {
            api_version: self.api.networking,
            kind: "Gateway",
            metadata: meta.object(NAME),
            spec: GatewaySpec { selector: self.selector.clone(), servers: vec![users, defenders] },
        }
    }

    fn virtual_service(&self, meta: &Meta) -> Custom<VirtualServiceSpec> {
        let service = self.console.service_host();
        let way = |port, sni_hosts: &[String], to| Route {
            matches: vec![Match { port, sni_hosts: sni_hosts.to_vec() }],
            route: vec![Way::to(&service, to)],
        };
        let mut spec = VirtualServiceSpec {
            gateways: vec![NAME.to_owned()],
            hosts: self.hosts.clone(),
            http: Vec::new(),
            tls: Vec::new(),
        };
        match &self.https {
            Https::Passthrough => spec.tls.push(way(USERS, &self.hosts, HTTPS_PORT)),
            Https::Terminate { port, .. } => spec.http.push(way(USERS, &[], *port)),
        }
        spec.tls.push(way(self.defender_port, &self.hosts, DEFENDER_PORT));
        Custom { api_version: self.api.networking, kind: "VirtualService", metadata: meta.object(NAME), spec }
    }

    /// The mesh leaves the Console's own TLS alone, and lets nobody else at plain HTTP.
    fn peer_authentication(&self, meta: &Meta) -> Custom<PeerAuthenticationSpec> {
        let left_alone = |port: u16| (port.to_string(), Mtls { mode: "DISABLE" });
        Custom {
            api_version: self.api.security,
            kind: "PeerAuthentication",
            metadata: meta.object(NAME),
            spec: PeerAuthenticationSpec {
                mtls: Mtls { mode: "STRICT" },
                port_level_mtls: [left_alone(HTTPS_PORT), left_alone(DEFENDER_PORT)].into(),
                selector: Selector { match_labels: meta.selector_labels() },
            },
        }
    }

    fn service_entry(&self, meta: &Meta) -> Custom<ServiceEntrySpec> {
        Custom {
            api_version: self.api.networking,
            kind: "ServiceEntry",
            metadata: meta.object("twistlock-console-feeds"),
            spec: ServiceEntrySpec {
                hosts: self.feed_hosts.clone(),
                location: "MESH_EXTERNAL",
                ports: vec![ServerPort { name: "tls", number: 443, protocol: "TLS" }],
                resolution: "DNS",
            },
        }
    }
}

fn hosts(flags: &IstioFlags, judge: &mut Judge) -> Vec<String> {
    let hosts = judge.texts("--host", &flags.host, |text| match text {
        "*" => Ok("*".to_owned()),
        _ => match text.parse::<San>().map(|name| name.to_string()) {
            Ok(name) if name.parse::<std::net::IpAddr>().is_err() => Ok(name),
            _ => Err(format!(
                "{text:?} is no host; write a DNS name, *.SUFFIX or *, without scheme, port and path"
            )),
        },
    });
    if flags.host.iter().all(|text| text.trim().is_empty()) {
        judge.note(
            "--host",
            "it is missing; write the host by which the Console is reached, for example console.example.com",
        );
    }
    if hosts.len() > 1 && hosts.iter().any(|host| host == "*") {
        judge.note("--host", "* is every host; write it alone, or name the hosts");
    }
    if flags.gateway_api && hosts.iter().any(|host| host == "*") {
        judge.note("--host", "the Gateway API hands TLS on by name; write a DNS name or *.SUFFIX");
    }
    hosts
}

/// Switches plain HTTP on where the gateway ends TLS.
fn https(flags: &IstioFlags, console: &mut Console, judge: &mut Judge) -> Https {
    let way = judge.text("--https", flags.https.as_deref(), |text| match text {
        "terminate" => Ok(false),
        "passthrough" => Ok(true),
        _ => Err(format!("{text:?} is not known; write terminate or passthrough")),
    });
    let credential = judge.text("--credential", flags.credential.as_deref(), object_name);
    if way == Some(true) {
        if credential.is_some() {
            judge.note(
                "--credential",
                "with --https passthrough the gateway needs no certificate; leave it out",
            );
        }
        return Https::Passthrough;
    }
    let port = *console.http_port.get_or_insert(HTTP_PORT);
    Https::Terminate { credential: credential.unwrap_or_else(|| "twistlock-console-tls".to_owned()), port }
}

fn refuse_mixtures(flags: &IstioFlags, judge: &mut Judge) {
    if flags.gateway_api && flags.gateway_selector.is_some() {
        judge.note(
            "--gateway-selector",
            "with --gateway-api the class names the gateway; write --gateway-class",
        );
    }
    if !flags.gateway_api && flags.gateway_class.is_some() {
        judge.note("--gateway-class", "it belongs to --gateway-api, which is missing");
    }
    if flags.no_sidecar && !flags.exclude_outbound_range.is_empty() {
        judge.note("--exclude-outbound-range", "with --no-sidecar nothing stands in the way; leave it out");
    }
}

fn api(text: &str) -> Result<Api, String> {
    match text {
        "v1" => Ok(CURRENT),
        "v1beta1" => Ok(Api { networking: "networking.istio.io/v1beta1", ..OLDER }),
        "v1alpha3" => Ok(OLDER),
        _ => Err(format!("{text:?} is not known; write v1, v1beta1 or v1alpha3")),
    }
}

const CURRENT: Api = Api { networking: "networking.istio.io/v1", security: "security.istio.io/v1" };
const OLDER: Api = Api { networking: "networking.istio.io/v1alpha3", security: "security.istio.io/v1beta1" };

/// The gateway's port for users.
const USERS: u16 = 443;
const HTTP_PORT: u16 = 8081;

const HEAD: &str = "A Garrison Console behind an ingress gateway, written by `console export istio`.
Apply with `kubectl apply -f FILE`. The gateway's Service must open port 443 and the port of Defenders.";
