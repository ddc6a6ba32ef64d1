//! The Console's pod: security context `restricted`, settings from a ConfigMap, one volume of its own.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use k8s_openapi::api::core::v1::{
    ConfigMapEnvSource, Container, ContainerPort, EmptyDirVolumeSource, EnvFromSource, EnvVar, EnvVarSource,
    HTTPGetAction, KeyToPath, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, Probe,
    SecretKeySelector, SecretVolumeSource, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Console, DEFENDER_PORT, HTTPS_PORT, NAME, PAIRS};
use crate::{certs, workload};

/// What the ConfigMap holds: settings that users may change there.
pub(super) fn settings(console: &Console) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::from([("CONSOLE_SANS".to_owned(), console.names.join(","))]);
    if let Some(url) = &console.public_url {
        settings.insert("CONSOLE_PUBLIC_URL".to_owned(), url.clone());
    }
    let proxies = &console.proxies;
    if !proxies.trusted.is_empty() {
        settings.insert("CONSOLE_TRUSTED_PROXIES".to_owned(), proxies.trusted.join(","));
    }
    for (variable, is_on) in [
        ("CONSOLE_HTTPS_PROXY_PROTOCOL", proxies.speak_to_https),
        ("CONSOLE_DEFENDER_PROXY_PROTOCOL", proxies.speak_to_defenders),
    ] {
        if is_on {
            settings.insert(variable.to_owned(), "true".to_owned());
        }
    }
    settings
}

/// So that the pod starts anew when a setting changes.
pub(super) fn annotations(console: &Console) -> BTreeMap<String, String> {
    let mut context = digest::Context::new(&digest::SHA256);
    for (key, value) in settings(console) {
        context.update(format!("{key}={value}\n").as_bytes());
    }
    let sum: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut annotations = console.pod_annotations.clone();
    annotations.insert("garrison.io/settings-sha256".to_owned(), sum);
    annotations
}

/// Name and number of each port, of the pod and of the Service. Istio reads the protocol from the name.
pub(super) fn ports(console: &Console) -> Vec<(&'static str, u16)> {
    let http = console.http_port.map(|port| ("http", port));
    [("https", HTTPS_PORT), ("tls-defender", DEFENDER_PORT)].into_iter().chain(http).collect()
}

pub(super) fn spec(console: &Console) -> PodSpec {
    PodSpec {
        containers: vec![container(console)],
        security_context: Some(PodSecurityContext {
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            run_as_group: Some(USER),
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            seccomp_profile: Some(workload::runtime_seccomp()),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(60),
        volumes: Some(volumes(console)),
        ..console.workload.pod(NAME, Vec::new())
    }
}

fn container(console: &Console) -> Container {
    let port = |(name, port): (&str, u16)| ContainerPort {
        container_port: i32::from(port),
        name: Some(name.to_owned()),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let config = ConfigMapEnvSource { name: NAME.to_owned(), optional: None };
    let variables = variables(console);
    Container {
        args: Some(arguments(console)),
        env: (!variables.is_empty()).then_some(variables),
        env_from: Some(vec![EnvFromSource { config_map_ref: Some(config), ..EnvFromSource::default() }]),
        image: Some(console.workload.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        liveness_probe: Some(probe(20, 6)),
        name: "console".to_owned(),
        ports: Some(ports(console).into_iter().map(port).collect()),
        readiness_probe: Some(probe(5, 2)),
        resources: Some(console.workload.resources()),
        security_context: Some(workload::confined()),
        // Two minutes: a large store may be brought up to date first.
        startup_probe: Some(probe(2, 60)),
        volume_mounts: Some(mounts(console)),
        ..Container::default()
    }
}

/// What other objects of the file rely on stands here, not among the settings that users change.
fn arguments(console: &Console) -> Vec<String> {
    let mut arguments = vec!["serve".to_owned(), format!("--data-dir={DATA_DIR}")];
    if console.certs.is_some() {
        arguments.push(format!("--custom-certs-dir={}", certs::DIR));
    }
    arguments.extend(console.http_port.map(|port| format!("--http-listen=[::]:{port}")));
    arguments.extend(console.admin_user.as_ref().map(|user| format!("--admin-user={user}")));
    if console.admin_password_secret.is_some() {
        arguments.push(format!("--admin-password-file={ADMIN_DIR}/password"));
    }
    arguments
}

fn variables(console: &Console) -> Vec<EnvVar> {
    let database = console.database_secret.as_ref().map(|name| EnvVar {
        name: "CONSOLE_DATABASE_URL".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                key: "url".to_owned(),
                name: name.clone(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    });
    database.into_iter().collect()
}

/// The kubelet verifies no certificate.
fn probe(period: i32, failures: i32) -> Probe {
    Probe {
        failure_threshold: Some(failures),
        http_get: Some(HTTPGetAction {
            path: Some("/api/v1/_ping".to_owned()),
            port: IntOrString::String("https".to_owned()),
            scheme: Some("HTTPS".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn mounts(console: &Console) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount("data", DATA_DIR), mount("tmp", "/tmp")];
    if console.admin_password_secret.is_some() {
        mounts.push(VolumeMount { read_only: Some(true), ..mount("admin", ADMIN_DIR) });
    }
    mounts.extend(console.certs.as_ref().map(|_| certs::mount()));
    mounts
}

fn volumes(console: &Console) -> Vec<Volume> {
    let volume = |name: &str| Volume { name: name.to_owned(), ..Volume::default() };
    let claim = PersistentVolumeClaimVolumeSource { claim_name: NAME.to_owned(), read_only: None };
    // What the store sorts and does not keep.
    let temporary = EmptyDirVolumeSource {
        size_limit: Some(Quantity("1Gi".to_owned())),
        ..EmptyDirVolumeSource::default()
    };
    let mut volumes = vec![
        Volume { persistent_volume_claim: Some(claim), ..volume("data") },
        Volume { empty_dir: Some(temporary), ..volume("tmp") },
    ];
    if let Some(name) = &console.admin_password_secret {
        let file =
            KeyToPath { key: "password".to_owned(), path: "password".to_owned(), ..KeyToPath::default() };
        let secret = SecretVolumeSource {
            default_mode: Some(0o440),
            items: Some(vec![file]),
            secret_name: Some(name.clone()),
            ..SecretVolumeSource::default()
        };
        volumes.push(Volume { secret: Some(secret), ..volume("admin") });
    }
    volumes.extend(console.certs.as_ref().map(|certs| certs.volume(&PAIRS)));
    volumes
}

/// Nobody's in particular: the image runs as the same.
const USER: i64 = 2674;
const DATA_DIR: &str = "/var/lib/twistlock/console";
const ADMIN_DIR: &str = "/var/lib/twistlock/admin";
