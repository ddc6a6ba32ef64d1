//! The Console on Kubernetes: a Deployment on one volume, and what it needs.

use super::{Console, NAME, PAIRS, pod};
use crate::meta::{Labels, Meta};
use crate::yaml::{Documents, YamlError};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, Service,
    ServiceAccount, ServicePort, ServiceSpec, VolumeResourceRequirements,
};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub(super) fn write(console: &Console, documents: &mut Documents) -> Result<(), YamlError> {
    let meta = console.meta();
    if console.has_namespace_object {
        documents.push(&namespace(console, &meta))?;
    }
    documents.push(&ServiceAccount {
        automount_service_account_token: Some(false),
        metadata: meta.object(NAME),
        ..ServiceAccount::default()
    })?;
    documents.push(&ConfigMap {
        data: Some(pod::settings(console)),
        metadata: meta.object(NAME),
        ..ConfigMap::default()
    })?;
    if let Some(certs) = &console.certs {
        for certificate in certs.certificates(&meta, &PAIRS, &console.names) {
            documents.push(&certificate)?;
        }
    }
    documents.push(&claim(console, &meta))?;
    documents.push(&deployment(console, &meta))?;
    documents.push(&service(console, &meta))?;
    documents.push(&network_policy(console, &meta))?;
    if console.has_disruption_budget {
        documents.push(&disruption_budget(&meta))?;
    }
    Ok(())
}

fn namespace(console: &Console, meta: &Meta) -> Namespace {
    let mut object = Namespace { metadata: meta.cluster_object(&meta.namespace), ..Namespace::default() };
    let mut labels: Labels = meta.labels.clone();
    labels.remove("name");
    labels.extend(console.namespace_labels.clone());
    object.metadata.labels = Some(labels);
    object
}

fn claim(console: &Console, meta: &Meta) -> PersistentVolumeClaim {
    let size = [("storage".to_owned(), Quantity(console.storage_size.clone()))];
    PersistentVolumeClaim {
        metadata: meta.object(NAME),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements { limits: None, requests: Some(size.into()) }),
            selector: (!console.volume_labels.is_empty()).then(|| LabelSelector {
                match_labels: Some(console.volume_labels.clone()),
                match_expressions: None,
            }),
            storage_class_name: console.storage_class.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

fn deployment(console: &Console, meta: &Meta) -> Deployment {
    Deployment {
        metadata: meta.object(NAME),
        spec: DeploymentSpec {
            replicas: Some(1),
            revision_history_limit: Some(3),
            selector: meta.selector(),
            // The embedded store has one owner: the old pod ends before the new one starts.
            strategy: Some(DeploymentStrategy { rolling_update: None, type_: Some("Recreate".to_owned()) }),
            template: PodTemplateSpec {
                metadata: Some(pod_meta(console, meta)),
                spec: Some(pod::spec(console)),
            },
            ..DeploymentSpec::default()
        },
        status: None,
    }
}

fn pod_meta(console: &Console, meta: &Meta) -> ObjectMeta {
    let mut metadata = meta.pod(pod::annotations(console));
    metadata.labels.get_or_insert_default().extend(console.pod_labels.clone());
    metadata
}

fn service(console: &Console, meta: &Meta) -> Service {
    let port = |(name, port): (&str, u16)| ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    };
    let mut metadata = meta.object(NAME);
    metadata.annotations =
        (!console.service_annotations.is_empty()).then(|| console.service_annotations.clone());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            ports: Some(pod::ports(console).into_iter().map(port).collect()),
            selector: Some(meta.selector_labels()),
            type_: Some(console.service_type.clone()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// From anywhere, but to the Console's ports only.
fn network_policy(console: &Console, meta: &Meta) -> NetworkPolicy {
    let port = |(name, _): (&str, u16)| NetworkPolicyPort {
        end_port: None,
        port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
    };
    let ports = pod::ports(console).into_iter().map(port).collect();
    NetworkPolicy {
        metadata: meta.object(NAME),
        spec: Some(NetworkPolicySpec {
            egress: None,
            ingress: Some(vec![NetworkPolicyIngressRule { from: None, ports: Some(ports) }]),
            pod_selector: Some(meta.selector()),
            policy_types: Some(vec!["Ingress".to_owned()]),
        }),
    }
}

fn disruption_budget(meta: &Meta) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: meta.object(NAME),
        spec: Some(PodDisruptionBudgetSpec {
            min_available: Some(IntOrString::Int(1)),
            selector: Some(meta.selector()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

pub(super) const HEAD: &str = "A Garrison Console on Kubernetes, written by `console export kubernetes`.
Apply with `kubectl apply -f FILE`, then see `kubectl logs -n NAMESPACE deployment/twistlock-console`.";
