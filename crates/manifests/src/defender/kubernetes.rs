//! Defenders on Kubernetes: one on each node. No Namespace object: who deletes the file must not delete the Console.

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::api::core::v1::{self, PodSpec, PodTemplateSpec, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Bundle, Defender, NAME, PAIRS, Platform, pod};
use crate::certs::CustomCerts;
use crate::custom::openshift::Constraints;
use crate::meta::Meta;
use crate::yaml::{Documents, YamlError};

/// Where the install bundle is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Secret<'a> {
    /// In a Secret that somebody else makes.
    Elsewhere,
    /// In a Secret of the file.
    Here(&'a Bundle),
    /// Nowhere: Defenders have certificates from elsewhere.
    None,
}

pub(super) fn objects(
    defender: &Defender,
    platform: Platform,
    ws_address: &str,
    bundle: Secret<'_>,
) -> Result<Documents, YamlError> {
    let meta = defender.meta();
    let mut documents = Documents::default();
    documents.push(&ServiceAccount {
        automount_service_account_token: Some(false),
        metadata: meta.object(ACCOUNT),
        ..ServiceAccount::default()
    })?;
    let role = meta.cluster_name(ACCOUNT);
    documents.push(&cluster_role(&meta, platform, &role))?;
    documents.push(&role_binding(&meta, &role))?;
    if platform == Platform::Openshift {
        documents.push(&constraints(defender, &meta, &role))?;
    }
    if let Secret::Here(bundle) = bundle {
        documents.push(&secret(&meta, bundle))?;
    }
    if let Some(certs) = &defender.certs {
        for certificate in certs.certificates(&meta, &PAIRS, &[]) {
            documents.push(&certificate)?;
        }
    }
    let pod = pod::spec(defender, platform, ws_address, !matches!(bundle, Secret::None));
    documents.push(&daemon_set(&meta, pod))?;
    Ok(documents)
}

pub(super) fn head(platform: Platform) -> &'static str {
    match platform {
        Platform::Kubernetes => HEAD,
        Platform::Openshift => OPENSHIFT_HEAD,
    }
}

/// A Defender asks the cluster for nothing, so the role grants nothing: no Secret, no pod can be read with it. On
/// OpenShift it may use its own constraints.
fn cluster_role(meta: &Meta, platform: Platform, name: &str) -> ClusterRole {
    let rules = match platform {
        Platform::Kubernetes => Vec::new(),
        Platform::Openshift => vec![PolicyRule {
            api_groups: Some(vec!["security.openshift.io".to_owned()]),
            resource_names: Some(vec![name.to_owned()]),
            resources: Some(vec!["securitycontextconstraints".to_owned()]),
            verbs: vec!["use".to_owned()],
            ..PolicyRule::default()
        }],
    };
    ClusterRole { aggregation_rule: None, metadata: meta.cluster_object(name), rules: Some(rules) }
}

/// Directories of the node belong to root and carry labels of their own.
fn constraints(defender: &Defender, meta: &Meta, name: &str) -> Constraints {
    let account = format!("system:serviceaccount:{}:{ACCOUNT}", meta.namespace);
    let mut volumes = vec!["hostPath", "persistentVolumeClaim", "projected", "secret"];
    let unusual = defender.certs.as_ref().and_then(CustomCerts::unusual_volume);
    volumes.extend(unusual.filter(|volume| *volume != "hostPath"));
    let mut constraints =
        Constraints::new(meta.cluster_object(name), account, "RunAsAny", "RunAsAny", volumes);
    constraints.allow_host_network = defender.has_host_network;
    constraints
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

fn secret(meta: &Meta, bundle: &Bundle) -> v1::Secret {
    let file = |name: &str, content: &str| (name.to_owned(), ByteString(content.as_bytes().to_vec()));
    let files = [
        file("defender-ca.pem", &bundle.ca),
        file("defender-client-cert.pem", &bundle.cert),
        file("defender-client-key.pem", &bundle.key),
    ];
    v1::Secret {
        data: Some(files.into()),
        metadata: meta.object(SECRET),
        type_: Some("Opaque".to_owned()),
        ..v1::Secret::default()
    }
}

fn daemon_set(meta: &Meta, pod: PodSpec) -> DaemonSet {
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
                spec: Some(pod),
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

pub(super) const ACCOUNT: &str = "twistlock-defender";
pub(super) const SECRET: &str = "twistlock-secrets";

const OPENSHIFT_HEAD: &str = "Garrison Defenders on OpenShift, written by `defender export openshift`.
Apply with `oc apply -f FILE` once the Namespace is there. The Secret holds a private key: keep this file closed.";
const HEAD: &str = "Garrison Defenders on Kubernetes, written by `defender export kubernetes`.
Apply with `kubectl apply -f FILE` once the Namespace is there. The Secret holds a private key: keep this file closed.";
