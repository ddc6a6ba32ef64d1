//! The Defenders' deployment. What it is asked for is judged here; what is written is in one file a platform.

mod bundle;
mod kubernetes;
mod pod;

use zeroize::Zeroizing;

use crate::certs::{CLIENT, CustomCerts, Pair};
use crate::chart;
use crate::fault::{Faults, Judge};
use crate::flags::DefenderFlags;
use crate::meta::{CLUSTER_LABEL, Meta};
use crate::values::address::host;
use crate::values::{HostPort, cluster_name};
use crate::workload::{Defaults, Workload};
use crate::yaml::{Documents, YamlError};

pub use bundle::{Bundle, BundleError};

/// Defenders to be deployed. Only [`Defender::parse`] makes one.
#[derive(Debug)]
pub struct Defender {
    address: HostPort,
    server_name: Option<String>,
    /// Name of the cluster, shown beside its Defenders.
    cluster: Option<String>,
    workload: Workload,
    certs: Option<CustomCerts>,
    has_control_plane: bool,
    has_host_network: bool,
}

/// Where Defenders are deployed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Any Kubernetes.
    Kubernetes,
    /// OpenShift, with its SecurityContextConstraints.
    Openshift,
}

impl Defender {
    /// Judges what was asked for.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn parse(flags: &DefenderFlags) -> Result<Self, Faults> {
        let mut judge = Judge::default();
        for field in flags.rest.keys() {
            judge.note(field, "there is no such field");
        }
        let form = "write HOST or HOST:PORT, where Defenders reach the Console";
        let address =
            judge.required("--cluster-address", flags.cluster_address.as_deref(), form, |text| text.parse());
        let mut workload = Workload::parse(&flags.workload, &DEFAULTS, &mut judge);
        let cluster = judge.text("--cluster", flags.cluster.as_deref(), cluster_name);
        workload.labels.extend(cluster.iter().map(|name| (CLUSTER_LABEL.to_owned(), name.clone())));
        let server_name = judge.text("--console-server-name", flags.console_server_name.as_deref(), |text| {
            host(text)
                .ok_or_else(|| format!("{text:?} is no name or address; write a DNS name or an IP address"))
        });
        let certs = CustomCerts::parse(&flags.certs, &mut judge);
        let Some(address) = address else { return Err(judge.faults()) };
        judge.end(Self {
            address,
            server_name,
            cluster,
            workload,
            certs,
            has_control_plane: !flags.no_control_plane,
            has_host_network: flags.host_network,
        })
    }

    /// Whether Defenders get certificates from elsewhere, so that they need no install bundle.
    #[must_use]
    pub fn has_custom_certs(&self) -> bool {
        self.certs.is_some()
    }

    /// What Defenders dial; `port` where none was asked for.
    #[must_use]
    pub fn ws_address(&self, port: u16) -> String {
        format!("wss://{}", self.address.authority(port))
    }

    /// The file for a platform. It holds the bundle's key.
    ///
    /// # Errors
    /// When an object cannot be written.
    pub fn write(
        &self,
        platform: Platform,
        port: u16,
        bundle: Option<&Bundle>,
    ) -> Result<Zeroizing<String>, YamlError> {
        self.objects(platform, port, bundle)?.write(kubernetes::head(platform))
    }

    /// The Helm chart for a platform, a `.tar.gz`. It holds the bundle's key.
    ///
    /// # Errors
    /// When an object cannot be written.
    pub fn chart(
        &self,
        platform: Platform,
        port: u16,
        bundle: Option<&Bundle>,
    ) -> Result<Zeroizing<Vec<u8>>, YamlError> {
        chart::DEFENDER.write(&self.objects(platform, port, bundle)?)
    }

    /// As for Kubernetes, with a Secret that somebody else makes.
    pub(crate) fn base(&self) -> Result<Documents, YamlError> {
        kubernetes::objects(
            self,
            Platform::Kubernetes,
            &self.ws_address(DEFENDER_PORT),
            kubernetes::Secret::Elsewhere,
        )
    }

    fn objects(
        &self,
        platform: Platform,
        port: u16,
        bundle: Option<&Bundle>,
    ) -> Result<Documents, YamlError> {
        let secret = bundle.map_or(kubernetes::Secret::None, kubernetes::Secret::Here);
        kubernetes::objects(self, platform, &self.ws_address(port), secret)
    }

    fn meta(&self) -> Meta {
        Meta::new(NAME, "defender", &self.workload.namespace, &self.workload.labels)
    }
}

/// The pair of the contract that a Defender uses.
const PAIRS: [Pair; 1] = [Pair {
    name: "twistlock-defender-client",
    common_name: "twistlock-defender",
    usage: CLIENT,
    ca: Some("defender-ca.pem"),
    cert: "defender-client-cert.pem",
    key: "defender-client-key.pem",
}];

const DEFAULTS: Defaults =
    Defaults { program: "defender", cpu_request: "50m", memory_request: "64Mi", memory_limit: "256Mi" };

/// The Console's, unless it was changed.
const DEFENDER_PORT: u16 = 8084;

/// Name of the DaemonSet.
const NAME: &str = "twistlock-defender-ds";

#[cfg(test)]
mod tests;
