//! Custom certificates: where they come from, and how a pod gets them. The mount is always the whole directory, read
//! only: a single file (subPath) would never change, and a mount that is there is watched.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, HostPathVolumeSource, KeyToPath, NFSVolumeSource, PersistentVolumeClaimVolumeSource,
    ProjectedVolumeSource, SecretProjection, SecretVolumeSource, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::fault::Judge;
use crate::flags::CertsFlags;
use crate::meta::Meta;
use crate::values::address::nfs;
use crate::values::{attribute, object_name, path};

/// Where custom certificates come from.
#[derive(Debug, Clone)]
pub(crate) enum CustomCerts {
    /// cert-manager's issuer.
    CertManager(Issuer),
    Claim(String),
    Csi {
        driver: String,
        attributes: BTreeMap<String, String>,
    },
    HostPath(String),
    Nfs {
        server: String,
        path: String,
    },
    Secret(String),
}

/// What signs cert-manager's Certificates.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Issuer {
    group: &'static str,
    kind: &'static str,
    name: String,
}

/// A pair that cert-manager keeps, and the names that its keys get as files.
pub(crate) struct Pair {
    /// Name of the Certificate and of its Secret.
    pub(crate) name: &'static str,
    pub(crate) common_name: &'static str,
    /// `server auth` or `client auth`.
    pub(crate) usage: &'static str,
    pub(crate) ca: Option<&'static str>,
    pub(crate) cert: &'static str,
    pub(crate) key: &'static str,
}

impl CustomCerts {
    /// The one source that was given.
    pub(crate) fn parse(flags: &CertsFlags, judge: &mut Judge) -> Option<Self> {
        let claim = "--custom-certs-claim";
        let csi = judge.text("--custom-certs-csi", flags.custom_certs_csi.as_deref(), object_name);
        let attributes =
            judge.texts("--custom-certs-csi-attribute", &flags.custom_certs_csi_attribute, attribute);
        if csi.is_none() && !attributes.is_empty() {
            judge.note(
                "--custom-certs-csi-attribute",
                "it belongs to --custom-certs-csi DRIVER, which is missing",
            );
        }
        let attributes = attributes.into_iter().collect();
        let sources = [
            (
                "--custom-certs-secret",
                judge
                    .text("--custom-certs-secret", flags.custom_certs_secret.as_deref(), object_name)
                    .map(Self::Secret),
            ),
            (claim, judge.text(claim, flags.custom_certs_claim.as_deref(), object_name).map(Self::Claim)),
            (
                "--custom-certs-nfs",
                judge
                    .text("--custom-certs-nfs", flags.custom_certs_nfs.as_deref(), nfs)
                    .map(|(server, path)| Self::Nfs { server, path }),
            ),
            (
                "--custom-certs-host-path",
                judge
                    .text("--custom-certs-host-path", flags.custom_certs_host_path.as_deref(), path)
                    .map(Self::HostPath),
            ),
            ("--custom-certs-csi", csi.map(|driver| Self::Csi { driver, attributes })),
            (
                "--cert-manager",
                judge.text("--cert-manager", flags.cert_manager.as_deref(), issuer).map(Self::CertManager),
            ),
        ];
        let mut given: Vec<_> =
            sources.into_iter().filter_map(|(flag, source)| Some((flag, source?))).collect();
        if given.len() > 1 {
            let flags: Vec<_> = given.iter().map(|(flag, _)| *flag).collect();
            judge.note(&flags.join(", "), "there is one directory of custom certificates; give one source");
        }
        given.pop().map(|(_, source)| source)
    }

    /// The volume, named [`VOLUME`]. Secrets are optional: programs start on what they have and watch for the rest.
    pub(crate) fn volume(&self, pairs: &[Pair]) -> Volume {
        let mut volume = Volume { name: VOLUME.to_owned(), ..Volume::default() };
        match self {
            Self::CertManager(_) => volume.projected = Some(projected(pairs)),
            Self::Claim(name) => {
                volume.persistent_volume_claim = Some(PersistentVolumeClaimVolumeSource {
                    claim_name: name.clone(),
                    read_only: Some(true),
                });
            }
            Self::Csi { driver, attributes } => {
                volume.csi = Some(CSIVolumeSource {
                    driver: driver.clone(),
                    read_only: Some(true),
                    volume_attributes: (!attributes.is_empty()).then(|| attributes.clone()),
                    ..CSIVolumeSource::default()
                });
            }
            Self::HostPath(path) => {
                volume.host_path = Some(HostPathVolumeSource {
                    path: path.clone(),
                    type_: Some("DirectoryOrCreate".to_owned()),
                });
            }
            Self::Nfs { server, path } => {
                volume.nfs = Some(NFSVolumeSource {
                    server: server.clone(),
                    path: path.clone(),
                    read_only: Some(true),
                });
            }
            Self::Secret(name) => {
                volume.secret = Some(SecretVolumeSource {
                    secret_name: Some(name.clone()),
                    default_mode: Some(CLOSED),
                    optional: Some(true),
                    ..SecretVolumeSource::default()
                });
            }
        }
        volume
    }

    /// The kind of volume, where pods may not mount it by themselves.
    pub(crate) fn unusual_volume(&self) -> Option<&'static str> {
        match self {
            Self::Csi { .. } => Some("csi"),
            Self::HostPath(_) => Some("hostPath"),
            Self::Nfs { .. } => Some("nfs"),
            Self::CertManager(_) | Self::Claim(_) | Self::Secret(_) => None,
        }
    }

    /// The Certificate objects of cert-manager; none for the other sources. `names` are those of servers.
    pub(crate) fn certificates(&self, meta: &Meta, pairs: &[Pair], names: &[String]) -> Vec<Certificate> {
        match self {
            Self::CertManager(issuer) => {
                pairs.iter().map(|pair| Certificate::new(meta, pair, issuer, names)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The mount of the watched directory.
pub(crate) fn mount() -> VolumeMount {
    VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: DIR.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

fn projected(pairs: &[Pair]) -> ProjectedVolumeSource {
    let item = |key: &str, path: &str| KeyToPath {
        key: key.to_owned(),
        path: path.to_owned(),
        ..KeyToPath::default()
    };
    let source = |pair: &Pair| {
        let files = [
            pair.ca.map(|ca| item("ca.crt", ca)),
            Some(item("tls.crt", pair.cert)),
            Some(item("tls.key", pair.key)),
        ];
        let secret = SecretProjection {
            name: pair.name.to_owned(),
            optional: Some(true),
            items: Some(files.into_iter().flatten().collect()),
        };
        VolumeProjection { secret: Some(secret), ..VolumeProjection::default() }
    };
    ProjectedVolumeSource {
        default_mode: Some(CLOSED),
        sources: Some(pairs.iter().map(source).collect()),
        ..ProjectedVolumeSource::default()
    }
}

/// cert-manager's object, as far as it is used here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Certificate {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    spec: CertificateSpec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CertificateSpec {
    common_name: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dns_names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ip_addresses: Vec<String>,
    issuer_ref: Issuer,
    private_key: PrivateKey,
    secret_name: &'static str,
    usages: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PrivateKey {
    algorithm: &'static str,
    encoding: &'static str,
    rotation_policy: &'static str,
    size: u16,
}

impl Certificate {
    fn new(meta: &Meta, pair: &Pair, issuer: &Issuer, names: &[String]) -> Self {
        let is_server = pair.usage == SERVER;
        // A name is always asked for: issuers refuse certificates without one.
        let own = [pair.common_name.to_owned()];
        let names = if is_server { names } else { &own };
        let is_address = |name: &String| name.parse::<std::net::IpAddr>().is_ok();
        let (addresses, dns): (Vec<String>, Vec<String>) = names.iter().cloned().partition(is_address);
        Self {
            api_version: "cert-manager.io/v1",
            kind: "Certificate",
            metadata: meta.object(pair.name),
            spec: CertificateSpec {
                common_name: pair.common_name,
                dns_names: dns,
                ip_addresses: addresses,
                issuer_ref: issuer.clone(),
                private_key: PrivateKey {
                    algorithm: "ECDSA",
                    encoding: "PKCS8",
                    rotation_policy: "Always",
                    size: 256,
                },
                secret_name: pair.name,
                usages: vec!["digital signature", pair.usage],
            },
        }
    }
}

/// `NAME`, `Issuer/NAME` or `ClusterIssuer/NAME`.
fn issuer(text: &str) -> Result<Issuer, String> {
    let (kind, name) = match text.split_once('/') {
        None => ("Issuer", text),
        Some(("Issuer", name)) => ("Issuer", name),
        Some(("ClusterIssuer", name)) => ("ClusterIssuer", name),
        Some(_) => {
            return Err(format!("{text:?} is no issuer; write NAME, Issuer/NAME or ClusterIssuer/NAME"));
        }
    };
    Ok(Issuer { group: "cert-manager.io", kind, name: object_name(name)? })
}

/// Usage of a server's certificate.
pub(crate) const SERVER: &str = "server auth";
/// Usage of a client's certificate.
pub(crate) const CLIENT: &str = "client auth";
/// The watched directory.
pub(crate) const DIR: &str = "/var/lib/twistlock/custom-certificates";

const VOLUME: &str = "custom-certificates";

/// Readable by the owner and the pod's group, by nobody else.
const CLOSED: i32 = 0o440;
