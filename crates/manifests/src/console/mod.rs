//! The Console's deployment. What it is asked for is judged here; what is written is in one file a platform.

mod istio;
mod kubernetes;
mod openshift;
mod pod;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::certs::{CustomCerts, Pair, SERVER};
use crate::chart;
use crate::fault::{Faults, Judge};
use crate::flags::ConsoleFlags;
use crate::meta::{Labels, Meta};
use crate::values::address::network;
use crate::values::pods::amount;
use crate::values::{PublicUrl, San, annotation, label, object_name};
use crate::workload::{Defaults, Workload};
use crate::yaml::{Documents, YamlError};

pub use istio::Istio;
pub use openshift::Openshift;

/// A Console to be deployed. Only [`Console::parse`] makes one.
#[derive(Debug)]
pub struct Console {
    workload: Workload,
    certs: Option<CustomCerts>,
    has_namespace_object: bool,
    has_disruption_budget: bool,
    service_type: String,
    service_annotations: BTreeMap<String, String>,
    http_port: Option<u16>,
    public_url: Option<String>,
    /// Whom the Console believes about its clients, and in what way.
    proxies: Proxies,
    /// Of the Service and the user's.
    names: Vec<String>,
    storage_class: Option<String>,
    storage_size: String,
    /// Labels of a volume that was made by hand.
    volume_labels: Labels,
    database_secret: Option<String>,
    admin_password_secret: Option<String>,
    admin_user: Option<String>,
    /// Of the pods alone.
    pod_labels: Labels,
    pod_annotations: BTreeMap<String, String>,
    /// Of the Namespace alone.
    namespace_labels: Labels,
}

impl Console {
    /// Judges what was asked for.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn parse(flags: &ConsoleFlags) -> Result<Self, Faults> {
        let mut judge = Judge::default();
        let console = Self::judge(flags, &mut judge);
        judge.end(console)
    }

    /// A fault stands in `judge`, and what is made then is thrown away.
    fn judge(flags: &ConsoleFlags, judge: &mut Judge) -> Self {
        for field in flags.rest.keys() {
            judge.note(field, "there is no such field");
        }
        let workload = Workload::parse(&flags.workload, &DEFAULTS, judge);
        let url = judge.text("--public-url", flags.public_url.as_deref(), str::parse::<PublicUrl>);
        let host = url.as_ref().map(|url| url.host().to_owned());
        let sans = judge.texts("--san", &flags.san, str::parse::<San>);
        if let Some(port @ (HTTPS_PORT | DEFENDER_PORT | 0)) = flags.http_port {
            judge.note("--http-port", format!("{port} is taken or no port; write another, for example 8081"));
        }
        let console = Self {
            names: names(&workload.namespace, host.into_iter().chain(sans.iter().map(San::to_string))),
            workload,
            certs: CustomCerts::parse(&flags.certs, judge),
            has_namespace_object: !flags.no_namespace_object,
            has_disruption_budget: flags.disruption_budget,
            service_type: judge
                .text("--service-type", flags.service_type.as_deref(), service_type)
                .unwrap_or_else(|| "ClusterIP".to_owned()),
            service_annotations: judge
                .texts("--service-annotation", &flags.service_annotation, annotation)
                .into_iter()
                .collect(),
            http_port: flags.http_port,
            public_url: url.map(|url| url.as_str().to_owned()),
            proxies: Proxies::parse(flags, judge),
            storage_class: judge.text("--storage-class", flags.storage_class.as_deref(), object_name),
            storage_size: judge
                .text("--storage-size", flags.storage_size.as_deref(), amount)
                .map_or_else(|| STORAGE_SIZE.to_owned(), |size| size.text),
            volume_labels: judge
                .texts("--persistent-volume-label", &flags.persistent_volume_label, label)
                .into_iter()
                .collect(),
            database_secret: judge.text("--database-secret", flags.database_secret.as_deref(), object_name),
            admin_password_secret: judge.text(
                "--admin-password-secret",
                flags.admin_password_secret.as_deref(),
                object_name,
            ),
            admin_user: judge.text("--admin-user", flags.admin_user.as_deref(), user),
            pod_labels: Labels::new(),
            pod_annotations: BTreeMap::new(),
            // Defenders mount directories of the host, which the stricter levels of pod security forbid.
            namespace_labels: [("pod-security.kubernetes.io/enforce", "privileged")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        };
        if console.admin_user.is_some() && console.admin_password_secret.is_none() {
            judge.note("--admin-user", "it belongs to --admin-password-secret NAME, which is missing");
        }
        console
    }

    /// The file for Kubernetes.
    ///
    /// # Errors
    /// When an object cannot be written.
    pub fn write(&self) -> Result<Zeroizing<String>, YamlError> {
        self.objects()?.write(kubernetes::HEAD)
    }

    /// The Helm chart, a `.tar.gz`.
    ///
    /// # Errors
    /// When an object cannot be written.
    pub fn chart(&self) -> Result<Zeroizing<Vec<u8>>, YamlError> {
        chart::CONSOLE.write(&self.objects()?)
    }

    fn objects(&self) -> Result<Documents, YamlError> {
        let mut documents = Documents::default();
        kubernetes::write(self, &mut documents)?;
        Ok(documents)
    }

    /// Name of the Service from anywhere in the cluster.
    fn service_host(&self) -> String {
        format!("{NAME}.{}.svc.cluster.local", self.workload.namespace)
    }

    fn meta(&self) -> Meta {
        Meta::new(NAME, "console", &self.workload.namespace, &self.workload.labels)
    }
}

/// Proxies before the Console.
#[derive(Debug)]
struct Proxies {
    trusted: Vec<String>,
    speak_to_https: bool,
    speak_to_defenders: bool,
}

impl Proxies {
    fn parse(flags: &ConsoleFlags, judge: &mut Judge) -> Self {
        let trusted = judge.texts("--trusted-proxy", &flags.trusted_proxy, network);
        for (flag, is_on) in [
            ("--https-proxy-protocol", flags.https_proxy_protocol),
            ("--defender-proxy-protocol", flags.defender_proxy_protocol),
        ] {
            if is_on && trusted.is_empty() {
                judge.note(flag, "it belongs to --trusted-proxy NETWORK, which is missing");
            }
        }
        Self {
            trusted,
            speak_to_https: flags.https_proxy_protocol,
            speak_to_defenders: flags.defender_proxy_protocol,
        }
    }
}

/// Names by which the Service is reached, then the others, each once.
fn names(namespace: &str, others: impl Iterator<Item = String>) -> Vec<String> {
    let service = ["", ".svc", ".svc.cluster.local"].map(|end| format!("{NAME}.{namespace}{end}"));
    let mut names = vec![NAME.to_owned()];
    for name in service.into_iter().chain(others) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn service_type(text: &str) -> Result<String, String> {
    let known = ["ClusterIP", "NodePort", "LoadBalancer"];
    let found = known.into_iter().find(|kind| kind.eq_ignore_ascii_case(text));
    found.map(str::to_owned).ok_or_else(|| format!("{text:?} is not known; write {}", known.join(", ")))
}

/// As the Console itself judges it.
fn user(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(plain) && !text.starts_with(['-', '.']) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no user name; write 1 to 64 letters, digits and . _ - @ +, not - or . first"
        ))
    }
}

/// The pairs of the contract that a Console uses.
const PAIRS: [Pair; 2] = [
    Pair {
        name: "twistlock-console-https",
        common_name: NAME,
        usage: SERVER,
        ca: None,
        cert: "console-cert.pem",
        key: "console-key.pem",
    },
    Pair {
        name: "twistlock-console-defender",
        common_name: NAME,
        usage: SERVER,
        ca: Some("defender-ca.pem"),
        cert: "defender-server-cert.pem",
        key: "defender-server-key.pem",
    },
];

const DEFAULTS: Defaults =
    Defaults { program: "console", cpu_request: "100m", memory_request: "256Mi", memory_limit: "1Gi" };

/// Name of the Deployment, its Service, ServiceAccount, ConfigMap and volume.
const NAME: &str = "twistlock-console";
const STORAGE_SIZE: &str = "10Gi";
const HTTPS_PORT: u16 = 8083;
const DEFENDER_PORT: u16 = 8084;

#[cfg(test)]
mod tests;
