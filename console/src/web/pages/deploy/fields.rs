//! The fields of the form: those of the API, which are the flags of the command line in camelCase.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::web::error::ApiError;

/// A field of the form.
pub(super) struct Field {
    pub(super) name: &'static str,
    label: &'static str,
    kind: Kind,
    /// Programs and platforms that have it: `console`, `istio`, …; empty: all.
    places: &'static [&'static str],
    pub(super) is_basic: bool,
    /// What is taken where it is left empty, or an example.
    hint: &'static str,
}

/// What is typed into it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Choice(&'static [&'static str]),
    List,
    Number,
    Switch,
    Text,
}

/// A field with what was typed.
pub(super) struct Choice {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) value: String,
    pub(super) kind: Kind,
}

impl Field {
    /// Whether the export of the program for the platform has such a flag.
    pub(super) fn is_for(&self, program: &str, platform: &str) -> bool {
        self.places.iter().any(|place| match place.split_once('/') {
            Some((wanted, "cluster")) => wanted == program && platform != "compose",
            Some((wanted, on)) => wanted == program && on == platform,
            None => *place == program || (*place == "cluster" && platform != "compose"),
        })
    }
}

impl Choice {
    pub(super) fn new(field: &Field, value: &str) -> Self {
        let Field { name, label, hint, kind, .. } = field;
        Self { name, label, hint, value: value.to_owned(), kind: *kind }
    }

    pub(super) fn options(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Choice(options) => options,
            _ => &[],
        }
    }

    pub(super) fn is(&self, kind: &str) -> bool {
        let own = match self.kind {
            Kind::Choice(_) => "choice",
            Kind::List => "list",
            Kind::Number => "number",
            Kind::Switch => "switch",
            Kind::Text => "text",
        };
        own == kind
    }
}

/// What the API is asked with.
///
/// # Errors
/// A number is none.
pub(super) fn body(fields: &[&Field], given: &BTreeMap<String, String>) -> Result<Value, ApiError> {
    let mut body = Map::new();
    for field in fields {
        let Some(text) = typed(field, given) else { continue };
        let value = match field.kind {
            Kind::List => json!(list(text).collect::<Vec<_>>()),
            Kind::Number => {
                let number = text.parse::<u16>();
                let form = format!("{}: {text:?} is no port; write 1 to 65535", field.name);
                json!(number.map_err(|_| ApiError::BadRequest(form))?)
            }
            Kind::Switch => json!(true),
            Kind::Choice(_) | Kind::Text => json!(text),
        };
        body.insert(field.name.to_owned(), value);
    }
    Ok(Value::Object(body))
}

/// The same as flags of the command line.
pub(super) fn flags(fields: &[&Field], given: &BTreeMap<String, String>) -> Vec<String> {
    let mut flags = Vec::new();
    for field in fields {
        let Some(text) = typed(field, given) else { continue };
        let flag = flag(field.name);
        match field.kind {
            Kind::List => flags.extend(list(text).map(|part| format!("{flag} {}", quoted(part)))),
            Kind::Switch => flags.push(flag),
            Kind::Choice(_) | Kind::Number | Kind::Text => flags.push(format!("{flag} {}", quoted(text))),
        }
    }
    flags
}

fn typed<'a>(field: &Field, given: &'a BTreeMap<String, String>) -> Option<&'a str> {
    given.get(field.name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty())
}

/// `serviceType` -> `--service-type`.
fn flag(name: &str) -> String {
    if name == "consoleAddr" {
        return "--cluster-address".to_owned();
    }
    let mut flag = "--".to_owned();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            flag.push('-');
        }
        flag.push(letter.to_ascii_lowercase());
    }
    flag
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

const fn field(
    name: &'static str,
    label: &'static str,
    kind: Kind,
    places: &'static [&'static str],
    is_basic: bool,
    hint: &'static str,
) -> Field {
    Field { name, label, kind, places, is_basic, hint }
}

/// In the order of the page.
pub(super) const FIELDS: &[Field] = &[
    field("consoleAddr", "Name of the Console", Kind::Text, &["defender"], true, "twistlock-console"),
    field("host", "Hosts of the gateway", Kind::List, &["console/istio"], true, "console.example.com"),
    field(
        "https",
        "TLS of port 443",
        Kind::Choice(&["terminate", "passthrough"]),
        &["console/istio"],
        true,
        "the gateway ends it",
    ),
    field(
        "routeHost",
        "Host of the users' Route",
        Kind::Text,
        &["console/openshift"],
        true,
        "chosen by OpenShift",
    ),
    field(
        "defenderRouteHost",
        "Host of the Defenders' Route",
        Kind::Text,
        &["console/openshift"],
        true,
        "chosen by OpenShift",
    ),
    field("onebox", "A Defender of the same host too", Kind::Switch, &["console/compose"], true, ""),
    field("hostname", "Name of the host", Kind::Text, &["defender/compose"], true, "the host's own"),
    field("cluster", "Name of the cluster", Kind::Text, &["defender/cluster"], true, "none"),
    field("namespace", "Namespace", Kind::Text, &["cluster"], true, "twistlock"),
    field(
        "serviceType",
        "Service",
        Kind::Choice(&["ClusterIP", "NodePort", "LoadBalancer"]),
        &["console/cluster"],
        true,
        "ClusterIP",
    ),
    field("publicUrl", "Public URL", Kind::Text, &["console"], true, "https://console.example.com"),
    field("san", "More certificate names", Kind::List, &["console"], true, "names or addresses, with commas"),
    field("storageClass", "Storage class", Kind::Text, &["console/cluster"], true, "the cluster's default"),
    field("storageSize", "Storage size", Kind::Text, &["console/cluster"], true, "10Gi"),
    field("registry", "Registry", Kind::Text, &[ALL_CONSOLE, ALL_DEFENDER], false, "registry.example.com"),
    field("imagePullSecret", "Image pull secrets", Kind::List, &["cluster"], false, "none"),
    field("nodeSelector", "Node selector", Kind::List, &["cluster"], false, "KEY=VALUE"),
    field("toleration", "Tolerations", Kind::List, &["cluster"], false, "KEY=VALUE:EFFECT"),
    field("priorityClass", "Priority class", Kind::Text, &["cluster"], false, "none"),
    field("httpPort", "Plain HTTP port for an ingress", Kind::Number, &["console/cluster"], false, "off"),
    field(
        "trustedProxy",
        "Trusted proxies",
        Kind::List,
        &["console/cluster"],
        false,
        "ADDRESS or ADDRESS/BITS",
    ),
    field("httpsProxyProtocol", "PROXY protocol on 8083", Kind::Switch, &["console/cluster"], false, ""),
    field("defenderProxyProtocol", "PROXY protocol on 8084", Kind::Switch, &["console/cluster"], false, ""),
    field(
        "adminPasswordSecret",
        "Secret of the first password",
        Kind::Text,
        &["console/cluster"],
        false,
        "a setup token in the log",
    ),
    field(
        "databaseSecret",
        "Secret of the PostgreSQL URL",
        Kind::Text,
        &["console/cluster"],
        false,
        "SQLite on the volume",
    ),
    field(
        "credential",
        "Credential of the gateway",
        Kind::Text,
        &["console/istio"],
        false,
        "twistlock-console-tls",
    ),
    field(
        "customCertsSecret",
        "Custom certificates: Secret",
        Kind::Text,
        &["cluster"],
        false,
        "keys are the file names",
    ),
    field("customCertsClaim", "… volume claim", Kind::Text, &["cluster"], false, "name of the claim"),
    field("customCertsNfs", "… file server", Kind::Text, &["cluster"], false, "SERVER:PATH"),
    field(
        "customCertsHostPath",
        "… directory of the host",
        Kind::Text,
        &[ALL_CONSOLE, ALL_DEFENDER],
        false,
        "absolute path",
    ),
    field("customCertsCsi", "… CSI driver", Kind::Text, &["cluster"], false, "secrets-store.csi.k8s.io"),
    field("customCertsCsiAttribute", "… its attributes", Kind::List, &["cluster"], false, "KEY=VALUE"),
    field("certManager", "… issuer of cert-manager", Kind::Text, &["cluster"], false, "ClusterIssuer/NAME"),
    field("noControlPlane", "Not on control-plane nodes", Kind::Switch, &["defender/cluster"], false, ""),
    field("hostNetwork", "Network of the node", Kind::Switch, &["defender/cluster"], false, ""),
    field("noNamespaceObject", "Without the Namespace", Kind::Switch, &["console/cluster"], false, ""),
    field("disruptionBudget", "With a disruption budget", Kind::Switch, &["console/cluster"], false, ""),
];

const ALL_CONSOLE: &str = "console";
const ALL_DEFENDER: &str = "defender";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_one_of_the_api_and_a_flag_of_the_command_line() {
        let programs = [
            ("console", ["kubernetes", "openshift", "istio", "compose"].as_slice()),
            ("defender", ["kubernetes", "openshift", "compose"].as_slice()),
        ];
        for (program, platforms) in programs {
            for platform in platforms {
                let fields: Vec<_> = FIELDS.iter().filter(|field| field.is_for(program, platform)).collect();
                assert!(fields.len() > 3, "{program} {platform}");
                for field in fields {
                    let given = BTreeMap::from([(field.name.to_owned(), "1".to_owned())]);
                    let body = body(&[field], &given).expect("a number");
                    let judged = match program {
                        "console" => crate::web::deploy::console::file(platform, body).map(|_| ()),
                        _ => crate::web::deploy::defenders::judge(platform, body),
                    };
                    let told = format!("{:?}", judged.err());
                    assert!(!told.contains("no such field"), "{program} {platform} {}: {told}", field.name);
                }
            }
        }
        assert_eq!(flag("customCertsHostPath"), "--custom-certs-host-path");
        assert_eq!(quoted("a b'c"), "'a b'\\''c'");
    }
}
