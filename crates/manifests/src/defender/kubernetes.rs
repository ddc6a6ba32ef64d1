//! Defenders on Kubernetes: one on each node. No Namespace object: who deletes the file must not delete the Console.

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ExecAction, HostPathVolumeSource, ObjectFieldSelector,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, Secret, SecretVolumeSource, ServiceAccount,
    Toleration, Volume, VolumeMount,
};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use zeroize::Zeroizing;

use super::{Bundle, Defender, NAME, PAIRS};
use crate::meta::Meta;
use crate::yaml::{Documents, YamlError};
use crate::{certs, workload};

pub(super) fn write(
    defender: &Defender,
    ws_address: &str,
    bundle: Option<&Bundle>,
) -> Result<Zeroizing<String>, YamlError> {
    let meta = defender.meta();
    let mut documents = Documents::default();
    documents.push(&ServiceAccount {
        automount_service_account_token: Some(false),
        metadata: meta.object(ACCOUNT),
        ..ServiceAccount::default()
    })?;
    let role = role_name(&meta);
    documents.push(&cluster_role(&meta, &role))?;
    documents.push(&role_binding(&meta, &role))?;
    if let Some(bundle) = bundle {
        documents.push(&secret(&meta, bundle))?;
    }
    if let Some(certs) = &defender.certs {
        for certificate in certs.certificates(&meta, &PAIRS, &[]) {
            documents.push(&certificate)?;
        }
    }
    documents.push(&daemon_set(defender, &meta, ws_address, bundle.is_some()))?;
    documents.write(HEAD)
}

/// Outside every Namespace, so that two of them do not share one.
fn role_name(meta: &Meta) -> String {
    match meta.namespace.as_str() {
        workload::NAMESPACE => ACCOUNT.to_owned(),
        other => format!("{ACCOUNT}-{other}"),
    }
}

/// A Defender asks the cluster for nothing, so the role grants nothing: no Secret, no pod can be read with it.
fn cluster_role(meta: &Meta, name: &str) -> ClusterRole {
    ClusterRole { aggregation_rule: None, metadata: meta.cluster_object(name), rules: Some(Vec::new()) }
}

fn role_binding(meta: &Meta, name: &str) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: meta.cluster_object(name),
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "ClusterRole".to_owned(),
            name: name.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: ACCOUNT.to_owned(),
            namespace: Some(meta.namespace.clone()),
            ..Subject::default()
        }]),
    }
}

fn secret(meta: &Meta, bundle: &Bundle) -> Secret {
    let file = |name: &str, content: &str| (name.to_owned(), ByteString(content.as_bytes().to_vec()));
    let files = [
        file("defender-ca.pem", &bundle.ca),
        file("defender-client-cert.pem", &bundle.cert),
        file("defender-client-key.pem", &bundle.key),
    ];
    Secret {
        data: Some(files.into()),
        metadata: meta.object(SECRET),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

fn daemon_set(defender: &Defender, meta: &Meta, ws_address: &str, has_bundle: bool) -> DaemonSet {
    let rolling = RollingUpdateDaemonSet {
        max_surge: None,
        max_unavailable: Some(IntOrString::String("10%".to_owned())),
    };
    DaemonSet {
        metadata: meta.object(NAME),
        spec: DaemonSetSpec {
            revision_history_limit: Some(3),
            selector: meta.selector(),
            template: PodTemplateSpec {
                metadata: Some(meta.pod(std::collections::BTreeMap::new())),
                spec: Some(pod(defender, ws_address, has_bundle)),
            },
            update_strategy: Some(DaemonSetUpdateStrategy {
                rolling_update: Some(rolling),
                type_: Some("RollingUpdate".to_owned()),
            }),
            ..DaemonSetSpec::default()
        },
        status: None,
    }
}

fn pod(defender: &Defender, ws_address: &str, has_bundle: bool) -> PodSpec {
    let tolerations = if defender.has_control_plane { control_plane() } else { Vec::new() };
    let has_host_network = defender.has_host_network;
    PodSpec {
        containers: vec![container(defender, ws_address, has_bundle)],
        dns_policy: has_host_network.then(|| "ClusterFirstWithHostNet".to_owned()),
        host_network: has_host_network.then_some(true),
        security_context: Some(PodSecurityContext {
            // Directories of the host belong to root. Without capabilities root is no more than their owner.
            run_as_group: Some(0),
            run_as_user: Some(0),
            seccomp_profile: Some(workload::runtime_seccomp()),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(30),
        volumes: Some(volumes(defender, has_bundle)),
        ..defender.workload.pod(ACCOUNT, tolerations)
    }
}

fn control_plane() -> Vec<Toleration> {
    let taint = |key: &str| Toleration {
        effect: Some("NoSchedule".to_owned()),
        key: Some(format!("node-role.kubernetes.io/{key}")),
        operator: Some("Exists".to_owned()),
        ..Toleration::default()
    };
    // The second is the first's name of older clusters.
    vec![taint("control-plane"), taint("master")]
}

fn container(defender: &Defender, ws_address: &str, has_bundle: bool) -> Container {
    Container {
        args: Some(arguments(defender, has_bundle)),
        env: Some(variables(defender, ws_address)),
        image: Some(defender.workload.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        // An hour: a Console that is away is no fault of the Defender's, whose reports wait on the disk.
        liveness_probe: Some(probe(60, 60)),
        name: "defender".to_owned(),
        readiness_probe: Some(probe(10, 3)),
        resources: Some(defender.workload.resources()),
        security_context: Some(workload::confined()),
        volume_mounts: Some(mounts(defender, has_bundle)),
        ..Container::default()
    }
}

fn arguments(defender: &Defender, has_bundle: bool) -> Vec<String> {
    let mut arguments = vec!["run".to_owned(), format!("--data-dir={DATA_DIR}")];
    if has_bundle {
        arguments.push(format!("--install-bundle-dir={BUNDLE_DIR}"));
    }
    if defender.certs.is_some() {
        arguments.push(format!("--custom-certs-dir={}", certs::DIR));
    }
    arguments
}

fn variables(defender: &Defender, ws_address: &str) -> Vec<EnvVar> {
    let text = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    };
    let node = ObjectFieldSelector { api_version: None, field_path: "spec.nodeName".to_owned() };
    let hostname = EnvVar {
        name: "DEFENDER_HOSTNAME".to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(node), ..EnvVarSource::default() }),
    };
    let name = defender.server_name.as_ref().map(|name| text("DEFENDER_CONSOLE_SERVER_NAME", name));
    [text("WS_ADDRESS", ws_address), hostname].into_iter().chain(name).collect()
}

fn probe(period: i32, failures: i32) -> Probe {
    Probe {
        exec: Some(ExecAction { command: Some(vec!["defender".to_owned(), "status".to_owned()]) }),
        failure_threshold: Some(failures),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn mounts(defender: &Defender, has_bundle: bool) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount("data", DATA_DIR, false), mount("os-release", OS_RELEASE, true)];
    if has_bundle {
        mounts.push(mount("certificates", BUNDLE_DIR, true));
    }
    mounts.extend(defender.certs.as_ref().map(|_| certs::mount()));
    mounts
}

fn volumes(defender: &Defender, has_bundle: bool) -> Vec<Volume> {
    let host = |name: &str, path: &str, kind: &str| Volume {
        name: name.to_owned(),
        host_path: Some(HostPathVolumeSource { path: path.to_owned(), type_: Some(kind.to_owned()) }),
        ..Volume::default()
    };
    let mut volumes = vec![
        // The identity and unsent reports outlive the pod.
        host("data", DATA_DIR, "DirectoryOrCreate"),
        // Name and version of the node's system, which are reported.
        host("os-release", OS_RELEASE, "File"),
    ];
    if has_bundle {
        let secret = SecretVolumeSource {
            default_mode: Some(0o400),
            secret_name: Some(SECRET.to_owned()),
            ..SecretVolumeSource::default()
        };
        volumes.push(Volume { name: "certificates".to_owned(), secret: Some(secret), ..Volume::default() });
    }
    volumes.extend(defender.certs.as_ref().map(|certs| certs.volume(&PAIRS)));
    volumes
}

const ACCOUNT: &str = "twistlock-defender";
const SECRET: &str = "twistlock-secrets";
const DATA_DIR: &str = "/var/lib/twistlock/defender";
const BUNDLE_DIR: &str = "/var/lib/twistlock/certificates";
const OS_RELEASE: &str = "/etc/os-release";

const HEAD: &str = "Garrison Defenders on Kubernetes, written by `defender export kubernetes`.
Apply with `kubectl apply -f FILE` once the Namespace is there. The Secret holds a private key: keep this file closed.";
