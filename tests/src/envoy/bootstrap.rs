//! Gateway and VirtualService -> the configuration of an Envoy, in the way that Istio's control plane does it: a listener
//! for each server, a filter chain for each set of names, a cluster for each end.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Value, json};

use super::istio::{Export, Route, Server};
use super::{Announce, Ends};

/// How an export becomes a configuration.
pub(super) struct Translation<'a> {
    pub(super) export: &'a Export,
    /// Where Envoy listens, and calls the Console from.
    pub(super) own: Ipv4Addr,
    pub(super) ends: Ends,
    pub(super) announce: Announce,
    /// Folder with `tls.crt` and `tls.key` of each credential.
    pub(super) credentials: &'a Path,
}

impl Translation<'_> {
    pub(super) fn bootstrap(&self) -> Value {
        let listeners: Vec<_> = self.export.gateway.servers.iter().map(|s| self.listener(s)).collect();
        let routes = self.export.ways.http.iter().chain(&self.export.ways.tls);
        let clusters: Vec<_> = routes.map(|route| self.cluster(self.export.end(route))).collect();
        json!({ "static_resources": { "listeners": listeners, "clusters": clusters } })
    }

    fn listener(&self, server: &Server) -> Value {
        let chains: Vec<_> = match (server.tls.mode.as_str(), server.port.protocol.as_str()) {
            ("PASSTHROUGH", "TLS") => {
                let ways = self.ways(&self.export.ways.tls, server);
                ways.map(|(way, names)| self.passthrough(server, way, names)).collect()
            }
            ("SIMPLE", "HTTPS") => {
                let ways = self.ways(&self.export.ways.http, server);
                ways.map(|(way, _)| self.terminate(server, way)).collect()
            }
            other => panic!("{other:?} is not what Istio knows"),
        };
        assert!(!chains.is_empty(), "nothing leads on from {server:?}");
        json!({
            "name": server.port.name,
            "address": address(self.own, outer_port(server.port.number)),
            "listener_filters": [{
                "name": "tls_inspector",
                "typed_config": {
                    "@type": format!("{TYPES}.filters.listener.tls_inspector.v3.TlsInspector"),
                },
            }],
            "filter_chains": chains,
        })
    }

    /// The ways that begin at this server, each with the names that go it.
    fn ways<'b>(
        &self,
        all: &'b [Route],
        server: &Server,
    ) -> impl Iterator<Item = (&'b Route, &'b [String])> + use<'b> {
        let port = server.port.number;
        let of_port = move |route: &'b Route| {
            let one = route.matches.iter().find(move |one| one.port == port);
            one.map(|one| (route, one.sni_hosts.as_slice()))
        };
        all.iter().filter_map(of_port)
    }

    fn passthrough(&self, server: &Server, way: &Route, names: &[String]) -> Value {
        assert!(!names.is_empty(), "Istio wants sniHosts: {way:?}");
        let are_served = names.iter().all(|name| server.hosts.contains(name));
        assert!(are_served, "{names:?} are not all of {:?}", server.hosts);
        json!({
            "filter_chain_match": server_names(names),
            "filters": [{
                "name": "tcp_proxy",
                "typed_config": {
                    "@type": format!("{TYPES}.filters.network.tcp_proxy.v3.TcpProxy"),
                    "stat_prefix": server.port.name,
                    "cluster": cluster_name(self.export.end(way)),
                },
            }],
        })
    }

    fn terminate(&self, server: &Server, way: &Route) -> Value {
        let credential = server.tls.credential_name.as_deref().expect("a credential");
        let file = |name: &str| json!({ "filename": self.credentials.join(credential).join(name) });
        let context = json!({
            "@type": format!("{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{ "certificate_chain": file("tls.crt"), "private_key": file("tls.key") }],
            },
        });
        json!({
            "filter_chain_match": server_names(&server.hosts),
            "transport_socket": { "name": "tls", "typed_config": context },
            "filters": [{ "name": "http", "typed_config": self.http(server, way) }],
        })
    }

    /// As an ingress gateway of Istio's does it unless told otherwise.
    fn http(&self, server: &Server, way: &Route) -> Value {
        let with_ports = |host: &String| match host.as_str() {
            "*" => vec!["*".to_owned()],
            host => vec![host.to_owned(), format!("{host}:*")],
        };
        let domains: Vec<_> = self.export.ways.hosts.iter().flat_map(with_ports).collect();
        let route = json!({
            "match": { "prefix": "/" },
            "route": { "cluster": cluster_name(self.export.end(way)), "timeout": "0s" },
        });
        json!({
            "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": server.port.name,
            "use_remote_address": true,
            "normalize_path": true,
            "forward_client_cert_details": "SANITIZE",
            "route_config": {
                "name": server.port.name,
                "virtual_hosts": [{ "name": "console", "domains": domains, "routes": [route] }],
            },
            "http_filters": [{
                "name": "router",
                "typed_config": { "@type": format!("{TYPES}.filters.http.router.v3.Router") },
            }],
        })
    }

    fn cluster(&self, end: u16) -> Value {
        let port = match end {
            8081 => self.ends.http,
            8083 => self.ends.https,
            8084 => self.ends.defenders,
            other => panic!("the Console has no port {other}"),
        };
        let endpoint = json!({ "endpoint": { "address": address(Ipv4Addr::LOCALHOST, port) } });
        let mut cluster = json!({
            "name": cluster_name(end),
            "type": "STATIC",
            "connect_timeout": "10s",
            "load_assignment": { "cluster_name": cluster_name(end), "endpoints": [{ "lb_endpoints": [endpoint] }] },
            "upstream_bind_config": { "source_address": { "address": self.own, "port_value": 0 } },
        });
        if self.announce == Announce::Clients && end != 8081 {
            let raw = format!("{TYPES}.transport_sockets.raw_buffer.v3.RawBuffer");
            let upstream = "proxy_protocol.v3.ProxyProtocolUpstreamTransport";
            cluster["transport_socket"] = json!({
                "name": "envoy.transport_sockets.upstream_proxy_protocol",
                "typed_config": {
                    "@type": format!("{TYPES}.transport_sockets.{upstream}"),
                    "config": { "version": "V2" },
                    "transport_socket": { "name": "raw", "typed_config": { "@type": raw } },
                },
            });
        }
        cluster
    }
}

/// Where the gateway's pod listens for a port of its Service: Istio's opens no privileged ones either.
pub(super) fn outer_port(number: u16) -> u16 {
    if number < 1024 { number + 8000 } else { number }
}

fn cluster_name(end: u16) -> String {
    format!("console-{end}")
}

fn address(address: Ipv4Addr, port: u16) -> Value {
    json!({ "socket_address": { "address": address, "port_value": port } })
}

/// Every name, where one of them is `*`.
fn server_names(names: &[String]) -> Value {
    if names.iter().any(|name| name == "*") { json!({}) } else { json!({ "server_names": names }) }
}

const TYPES: &str = "type.googleapis.com/envoy.extensions";
