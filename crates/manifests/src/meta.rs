//! Names and labels of objects. Selectors use the label `name` alone: it never changes, and it is what runbooks of the
//! product replaced ask for (`kubectl get pods -l name=twistlock-console`).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

/// Labels of all objects of one file.
pub(crate) type Labels = BTreeMap<String, String>;

/// What all objects of one file share.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// Value of the label `name`: also the workload's name.
    pub(crate) name: &'static str,
    pub(crate) namespace: String,
    pub(crate) labels: Labels,
}

impl Meta {
    /// Own labels, then the user's.
    pub(crate) fn new(name: &'static str, component: &str, namespace: &str, given: &Labels) -> Self {
        let own = [
            ("name", name),
            ("app.kubernetes.io/name", name),
            ("app.kubernetes.io/component", component),
            ("app.kubernetes.io/part-of", "garrison"),
            ("app.kubernetes.io/version", VERSION),
        ];
        let mut labels: Labels = own.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        labels.extend(given.clone());
        Self { name, namespace: namespace.to_owned(), labels }
    }

    /// Of an object in the Namespace.
    pub(crate) fn object(&self, name: &str) -> ObjectMeta {
        ObjectMeta { namespace: Some(self.namespace.clone()), ..self.cluster_object(name) }
    }

    /// Of an object outside every Namespace.
    pub(crate) fn cluster_object(&self, name: &str) -> ObjectMeta {
        ObjectMeta { name: Some(name.to_owned()), labels: Some(self.labels.clone()), ..ObjectMeta::default() }
    }

    /// Of pods.
    pub(crate) fn pod(&self, annotations: BTreeMap<String, String>) -> ObjectMeta {
        ObjectMeta {
            labels: Some(self.labels.clone()),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        }
    }

    /// Of an object outside every Namespace, so that two Namespaces do not share one.
    pub(crate) fn cluster_name(&self, name: &str) -> String {
        match self.namespace.as_str() {
            crate::workload::NAMESPACE => name.to_owned(),
            other => format!("{name}-{other}"),
        }
    }

    /// The labels that pods are found by.
    pub(crate) fn selector_labels(&self) -> Labels {
        Labels::from([("name".to_owned(), self.name.to_owned())])
    }

    /// The same as a selector.
    pub(crate) fn selector(&self) -> LabelSelector {
        LabelSelector { match_labels: Some(self.selector_labels()), match_expressions: None }
    }
}

/// Whether a label is set here, so that no user can.
pub(crate) fn is_own(key: &str) -> bool {
    key == "name" || key == CLUSTER_LABEL || OWN.contains(&key)
}

/// Keeps the name of the cluster.
pub(crate) const CLUSTER_LABEL: &str = "garrison.io/cluster";

/// Version of both programs: all crates of the workspace have one.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

const OWN: [&str; 4] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/version",
];
