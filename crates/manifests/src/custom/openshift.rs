//! OpenShift: Route, SecurityContextConstraints.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::Custom;

/// A route that leaves TLS alone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RouteSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    port: RoutePort,
    tls: RouteTls,
    to: RouteTarget,
    wildcard_policy: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RoutePort {
    target_port: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteTls {
    insecure_edge_termination_policy: &'static str,
    termination: &'static str,
}

#[derive(Debug, Serialize)]
struct RouteTarget {
    kind: &'static str,
    name: &'static str,
    weight: u8,
}

/// Which pods of an account are let in, beyond what everybody's are.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Constraints {
    pub(crate) allow_host_dir_volume_plugin: bool,
    #[serde(rename = "allowHostIPC")]
    allow_host_ipc: bool,
    pub(crate) allow_host_network: bool,
    #[serde(rename = "allowHostPID")]
    allow_host_pid: bool,
    allow_host_ports: bool,
    allow_privilege_escalation: bool,
    allow_privileged_container: bool,
    allowed_capabilities: Vec<String>,
    api_version: &'static str,
    default_add_capabilities: Vec<String>,
    fs_group: Strategy,
    kind: &'static str,
    metadata: ObjectMeta,
    priority: i32,
    read_only_root_filesystem: bool,
    required_drop_capabilities: Vec<&'static str>,
    run_as_user: Strategy,
    se_linux_context: Strategy,
    seccomp_profiles: Vec<&'static str>,
    supplemental_groups: Strategy,
    users: Vec<String>,
    volumes: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Strategy {
    #[serde(rename = "type")]
    kind: &'static str,
}

/// A route from the host to a port of a Service.
pub(crate) fn route(
    metadata: ObjectMeta,
    host: Option<String>,
    service: &'static str,
    port: &'static str,
    insecure: &'static str,
) -> Custom<RouteSpec> {
    Custom {
        api_version: "route.openshift.io/v1",
        kind: "Route",
        metadata,
        spec: RouteSpec {
            host,
            port: RoutePort { target_port: port },
            tls: RouteTls { insecure_edge_termination_policy: insecure, termination: "passthrough" },
            to: RouteTarget { kind: "Service", name: service, weight: 100 },
            wildcard_policy: "None",
        },
    }
}

impl Constraints {
    /// For one account, with no right but those volumes; `user` and `se_linux` are strategies.
    pub(crate) fn new(
        metadata: ObjectMeta,
        account: String,
        user: &'static str,
        se_linux: &'static str,
        volumes: Vec<&'static str>,
    ) -> Self {
        Self {
            allow_host_dir_volume_plugin: volumes.contains(&"hostPath"),
            allow_host_ipc: false,
            allow_host_network: false,
            allow_host_pid: false,
            allow_host_ports: false,
            allow_privilege_escalation: false,
            allow_privileged_container: false,
            allowed_capabilities: Vec::new(),
            api_version: "security.openshift.io/v1",
            default_add_capabilities: Vec::new(),
            fs_group: Strategy { kind: "RunAsAny" },
            kind: "SecurityContextConstraints",
            metadata,
            priority: 0,
            read_only_root_filesystem: true,
            required_drop_capabilities: vec!["ALL"],
            run_as_user: Strategy { kind: user },
            se_linux_context: Strategy { kind: se_linux },
            seccomp_profiles: vec!["runtime/default"],
            supplemental_groups: Strategy { kind: "RunAsAny" },
            users: vec![account],
            volumes,
        }
    }
}
