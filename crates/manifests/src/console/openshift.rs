//! The Console on OpenShift: as on Kubernetes, with routes that leave TLS alone and the right to run as its own user.

use zeroize::Zeroizing;

use super::{Console, NAME, kubernetes};
use crate::certs::CustomCerts;
use crate::chart;
use crate::custom::openshift::{Constraints, route};
use crate::fault::{Faults, Judge};
use crate::flags::OpenshiftFlags;
use crate::values::address::host;
use crate::yaml::{Documents, YamlError};

/// A Console on OpenShift. Only [`Openshift::parse`] makes one.
#[derive(Debug)]
pub struct Openshift {
    console: Console,
    route_host: Option<String>,
    defender_route_host: Option<String>,
}

impl Openshift {
    /// Judges what was asked for.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn parse(flags: &OpenshiftFlags) -> Result<Self, Faults> {
        let mut judge = Judge::default();
        let mut console = Console::judge(&flags.console, &mut judge);
        let route_host = judge.text("--route-host", flags.route_host.as_deref(), name);
        let defender_route_host =
            judge.text("--defender-route-host", flags.defender_route_host.as_deref(), name);
        if route_host.is_some() && route_host == defender_route_host {
            judge.note("--defender-route-host", "it is that of the other Route; give each a host of its own");
        }
        for host in [&route_host, &defender_route_host].into_iter().flatten() {
            if !console.names.contains(host) {
                console.names.push(host.clone());
            }
        }
        if let (Some(host), None) = (&route_host, &console.public_url) {
            console.public_url = Some(format!("https://{host}"));
        }
        // OpenShift would set the label of pod security itself.
        let sync = "security.openshift.io/scc.podSecurityLabelSync";
        console.namespace_labels.insert(sync.to_owned(), "false".to_owned());
        judge.end(Self { console, route_host, defender_route_host })
    }

    /// The file.
    ///
    /// # Errors
    /// When an object cannot be written.
    pub fn write(&self) -> Result<Zeroizing<String>, YamlError> {
        self.objects()?.write(HEAD)
    }

    /// The Helm chart, a `.tar.gz`.
    ///
    /// # Errors
    /// When an object cannot be written.
    pub fn chart(&self) -> Result<Zeroizing<Vec<u8>>, YamlError> {
        chart::CONSOLE.write(&self.objects()?)
    }

    fn objects(&self) -> Result<Documents, YamlError> {
        let console = &self.console;
        let meta = console.meta();
        let mut documents = Documents::default();
        kubernetes::write(console, &mut documents)?;
        let mut volumes = vec!["configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"];
        volumes.extend(console.certs.as_ref().and_then(CustomCerts::unusual_volume));
        let account = format!("system:serviceaccount:{}:{NAME}", meta.namespace);
        let constraints = meta.cluster_object(&meta.cluster_name(NAME));
        documents.push(&Constraints::new(constraints, account, "MustRunAsNonRoot", "MustRunAs", volumes))?;
        let route_host = self.route_host.clone().or_else(|| public_host(console));
        documents.push(&route(meta.object(NAME), route_host, NAME, "https", "Redirect"))?;
        let defenders = meta.object("twistlock-console-defender");
        documents.push(&route(defenders, self.defender_route_host.clone(), NAME, "tls-defender", "None"))?;
        Ok(documents)
    }
}

/// A Route's host is a name.
fn name(text: &str) -> Result<String, String> {
    host(text)
        .filter(|host| host.parse::<std::net::IpAddr>().is_err())
        .ok_or_else(|| format!("{text:?} is no host name; write a DNS name without scheme, port and path"))
}

fn public_host(console: &Console) -> Option<String> {
    let authority = console.public_url.as_deref()?.split_once("://")?.1;
    let (text, _) = authority.split_once(['/', ':']).unwrap_or((authority, ""));
    name(text).ok()
}

const HEAD: &str = "A Garrison Console on OpenShift, written by `console export openshift`.
Apply with `oc apply -f FILE`, then see `oc get routes -n NAMESPACE`. Defenders dial their Route on port 443.";
