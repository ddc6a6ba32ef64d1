//! The Defender's pod: the node's facts read only, a directory of its own on the node, no rights.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ExecAction, HostPathVolumeSource, ObjectFieldSelector,
    PodSecurityContext, PodSpec, Probe, SELinuxOptions, SecretVolumeSource, Toleration, Volume, VolumeMount,
};

use super::kubernetes::{ACCOUNT, SECRET};
use super::{Defender, PAIRS, Platform};
use crate::{certs, workload};

pub(super) fn spec(defender: &Defender, platform: Platform, ws_address: &str, has_bundle: bool) -> PodSpec {
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
            // Else the node's directories are closed to containers there.
            se_linux_options: (platform == Platform::Openshift)
                .then(|| SELinuxOptions { type_: Some("spc_t".to_owned()), ..SELinuxOptions::default() }),
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
    let cluster = defender.cluster.as_ref().map(|cluster| text("DEFENDER_CLUSTER", cluster));
    [text("WS_ADDRESS", ws_address), hostname].into_iter().chain(name).chain(cluster).collect()
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

const DATA_DIR: &str = "/var/lib/twistlock/defender";
const BUNDLE_DIR: &str = "/var/lib/twistlock/certificates";
const OS_RELEASE: &str = "/etc/os-release";
