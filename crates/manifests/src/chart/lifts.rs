//! Which fields of the objects are values of the chart.

use serde_json::{Map, Value, json};

/// A field that is a value.
#[derive(Debug)]
pub(super) struct Lift {
    /// Of the object.
    pub(super) kind: &'static str,
    /// The way to the field; `name=x` is the item of a list that has this name.
    pub(super) path: &'static [&'static str],
    /// Dotted name of the value; none where the field is worked out.
    pub(super) value: Option<&'static str>,
    pub(super) how: How,
}

/// How a field gets its value.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    /// It is always there.
    Always,
    /// The value is text, the field its base64.
    Base64,
    /// An expression of Helm's.
    Expression(&'static str),
    /// It is left out where the value is empty.
    Optional(Empty),
}

/// What stands for nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Empty {
    List,
    Map,
    Text,
}

impl Empty {
    pub(super) fn value(self) -> Value {
        match self {
            Self::List => json!([]),
            Self::Map => json!({}),
            Self::Text => json!(""),
        }
    }
}

const fn lift(kind: &'static str, path: &'static [&'static str], value: &'static str, how: How) -> Lift {
    Lift { kind, path, value: Some(value), how }
}

/// Fields of the Console's objects.
pub(super) const CONSOLE: &[Lift] = &[
    lift("ConfigMap", &["data"], "settings", How::Always),
    lift(
        "Deployment",
        &["spec", "template", "spec", "containers", "name=console", "image"],
        "image",
        How::Always,
    ),
    lift(
        "Deployment",
        &["spec", "template", "spec", "containers", "name=console", "resources"],
        "resources",
        How::Always,
    ),
    lift(
        "Deployment",
        &["spec", "template", "spec", "imagePullSecrets"],
        "imagePullSecrets",
        How::Optional(Empty::List),
    ),
    lift("Deployment", &["spec", "template", "spec", "nodeSelector"], "nodeSelector", How::Always),
    lift(
        "Deployment",
        &["spec", "template", "spec", "priorityClassName"],
        "priorityClassName",
        How::Optional(Empty::Text),
    ),
    lift(
        "Deployment",
        &["spec", "template", "spec", "tolerations"],
        "tolerations",
        How::Optional(Empty::List),
    ),
    Lift {
        kind: "Deployment",
        path: &["spec", "template", "metadata", "annotations", "garrison.io/settings-sha256"],
        value: None,
        how: How::Expression("include \"garrison.settings\" . | sha256sum | toJson"),
    },
    lift("PersistentVolumeClaim", &["spec", "resources", "requests", "storage"], "storage.size", How::Always),
    lift("PersistentVolumeClaim", &["spec", "selector"], "storage.selector", How::Optional(Empty::Map)),
    lift("PersistentVolumeClaim", &["spec", "storageClassName"], "storage.class", How::Optional(Empty::Text)),
    lift("Service", &["metadata", "annotations"], "service.annotations", How::Optional(Empty::Map)),
    lift("Service", &["spec", "type"], "service.type", How::Always),
];

/// Fields of the Defenders' objects.
pub(super) const DEFENDER: &[Lift] = &[
    lift(
        "DaemonSet",
        &["spec", "template", "spec", "containers", "name=defender", "env", "name=WS_ADDRESS", "value"],
        "consoleAddress",
        How::Always,
    ),
    lift(
        "DaemonSet",
        &["spec", "template", "spec", "containers", "name=defender", "image"],
        "image",
        How::Always,
    ),
    lift(
        "DaemonSet",
        &["spec", "template", "spec", "containers", "name=defender", "resources"],
        "resources",
        How::Always,
    ),
    lift(
        "DaemonSet",
        &["spec", "template", "spec", "imagePullSecrets"],
        "imagePullSecrets",
        How::Optional(Empty::List),
    ),
    lift("DaemonSet", &["spec", "template", "spec", "nodeSelector"], "nodeSelector", How::Always),
    lift(
        "DaemonSet",
        &["spec", "template", "spec", "priorityClassName"],
        "priorityClassName",
        How::Optional(Empty::Text),
    ),
    lift(
        "DaemonSet",
        &["spec", "template", "spec", "tolerations"],
        "tolerations",
        How::Optional(Empty::List),
    ),
    lift("Secret", &["data", "defender-ca.pem"], "installBundle.ca", How::Base64),
    lift("Secret", &["data", "defender-client-cert.pem"], "installBundle.certificate", How::Base64),
    lift("Secret", &["data", "defender-client-key.pem"], "installBundle.key", How::Base64),
];

/// What a value is for.
pub(super) fn description(name: &str) -> &'static str {
    match name {
        "consoleAddress" => "Where Defenders reach the Console: wss://HOST:PORT",
        "image" => "Image with tag or digest",
        "imagePullSecrets" => "Secrets that the image is pulled with: - name: NAME",
        "installBundle" => {
            "What lets Defenders in: certificates and a private key of the Console's. Keep it closed"
        }
        "namespace" => {
            "create: whether `helm template` writes the Namespace too; `helm install` wants --create-namespace instead"
        }
        "nodeSelector" => "Labels of the nodes that it may run on",
        "priorityClassName" => "PriorityClass of the pods; empty: none",
        "resources" => "Processors and memory, requested and at most",
        "service" => "annotations and type (ClusterIP, NodePort, LoadBalancer) of the Service",
        "settings" => "Environment variables of the Console; its pod starts anew when one changes",
        "storage" => {
            "Of the Console's volume: class (empty: the cluster's default), selector (of a volume made by hand), size"
        }
        "tolerations" => "Taints that pods put up with",
        _ => "",
    }
}

/// The schema of the values, so that a misspelt one is an error.
pub(super) fn schema(values: &Map<String, Value>) -> Value {
    let mut properties: Map<String, Value> =
        values.keys().map(|name| (name.clone(), schema_of(name))).collect();
    // Helm hands it to every chart.
    properties.insert("global".to_owned(), json!({ "type": "object" }));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "additionalProperties": false,
        "properties": properties,
        "type": "object",
    })
}

fn schema_of(name: &str) -> Value {
    let texts = json!({ "additionalProperties": { "type": "string" }, "type": "object" });
    let object = |properties: Value| json!({ "additionalProperties": false, "properties": properties, "type": "object" });
    match name {
        "consoleAddress" => json!({ "pattern": "^wss://.+:[0-9]+$", "type": "string" }),
        "image" => json!({ "minLength": 1, "type": "string" }),
        "imagePullSecrets" => {
            let mut item = object(json!({ "name": { "type": "string" } }));
            if let Some(item) = item.as_object_mut() {
                item.insert("required".to_owned(), json!(["name"]));
            }
            json!({ "items": item, "type": "array" })
        }
        "installBundle" => {
            let file = json!({ "pattern": "^-----BEGIN ", "type": "string" });
            object(json!({ "ca": file, "certificate": file, "key": file }))
        }
        "namespace" => object(json!({ "create": { "type": "boolean" } })),
        "nodeSelector" | "settings" => texts,
        "priorityClassName" => json!({ "type": "string" }),
        "resources" => json!({ "type": "object" }),
        "service" => object(json!({
            "annotations": texts,
            "type": { "enum": ["ClusterIP", "NodePort", "LoadBalancer"] },
        })),
        "storage" => object(json!({
            "class": { "type": "string" },
            "selector": { "type": "object" },
            "size": { "type": ["string", "integer"] },
        })),
        "tolerations" => json!({ "items": { "type": "object" }, "type": "array" }),
        _ => json!({}),
    }
}
