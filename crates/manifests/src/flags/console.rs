//! What can be set of a Console's deployment.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::workload::OBJECTS;
use super::{CertsFlags, Rest, WorkloadFlags};

/// Settings of a Console's deployment.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsoleFlags {
    /// What any workload has.
    #[command(flatten)]
    #[serde(flatten)]
    pub workload: WorkloadFlags,
    /// Custom certificates.
    #[command(flatten)]
    #[serde(flatten)]
    pub certs: CertsFlags,

    /// Leave the Namespace object out: the Namespace is made elsewhere
    #[arg(long, help_heading = OBJECTS)]
    #[serde(skip_serializing_if = "super::is_off")]
    pub no_namespace_object: bool,
    /// Write a PodDisruptionBudget too, so that draining the node waits until the Console was moved by hand
    #[arg(long, help_heading = OBJECTS)]
    #[serde(skip_serializing_if = "super::is_off")]
    pub disruption_budget: bool,

    /// Type of the Service: ClusterIP, NodePort or LoadBalancer [default: ClusterIP]
    #[arg(long, value_name = "TYPE", help_heading = SERVICE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_type: Option<String>,
    /// Annotation of the Service; repeatable
    #[arg(long, value_name = "KEY=VALUE", help_heading = SERVICE)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub service_annotation: Vec<String>,
    /// Also serve plain HTTP on this port, only for an ingress that terminates TLS [default without PORT: 8081]
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "8081", help_heading = SERVICE,
        value_parser = clap::value_parser!(u16).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_port: Option<u16>,
    #[expect(
        rustdoc::broken_intra_doc_links,
        reason = "the text of --help: brackets are what may be left out"
    )]
    /// URL that users reach the Console by, https://HOST[:PORT]; its host joins the names in the certificates
    #[arg(long, help = PUBLIC_URL_HELP, value_name = "URL", help_heading = SERVICE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Name or IP address in the Console's own certificates beside its Service's; repeatable, commas as well
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = SERVICE)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub san: Vec<String>,

    /// Address or network (ADDRESS/BITS) of a proxy that the Console believes about its clients, for example the network
    /// of an ingress gateway's pods; repeatable, commas as well
    #[arg(long, value_name = "NETWORK", value_delimiter = ',', help_heading = SERVICE)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub trusted_proxy: Vec<String>,
    /// Those proxies begin connections of users with PROXY protocol v2
    #[arg(long, help_heading = SERVICE)]
    #[serde(skip_serializing_if = "super::is_off")]
    pub https_proxy_protocol: bool,
    /// Those proxies begin connections of Defenders with PROXY protocol v2
    #[arg(long, help_heading = SERVICE)]
    #[serde(skip_serializing_if = "super::is_off")]
    pub defender_proxy_protocol: bool,

    /// StorageClass of the Console's volume [default: the cluster's default class]
    #[arg(long, value_name = "NAME", help_heading = STORAGE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// Size of the Console's volume [default: 10Gi]
    #[arg(long, value_name = "AMOUNT", help_heading = STORAGE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_size: Option<String>,
    /// Label of the PersistentVolume to take, made by hand; repeatable [default: the class makes a volume]
    #[arg(long, value_name = "KEY=VALUE", help_heading = STORAGE)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub persistent_volume_label: Vec<String>,
    /// Secret whose key `url` is the PostgreSQL URL [default: SQLite on the volume]
    #[arg(long, value_name = "NAME", help_heading = STORAGE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_secret: Option<String>,

    /// Secret whose key `password` is the first administrator's password [default: a setup token in the log]
    #[arg(long, value_name = "NAME", help_heading = FIRST_USER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_password_secret: Option<String>,
    /// Name of the first administrator [default: admin]
    #[arg(long, value_name = "NAME", help_heading = FIRST_USER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_user: Option<String>,

    /// Fields of a body that no flag has; a fault.
    #[arg(skip)]
    #[serde(flatten, skip_serializing)]
    #[schema(ignore)]
    pub rest: Rest,
}

// Not a doc comment: the brackets would be taken for links.
const PUBLIC_URL_HELP: &str =
    "URL that users reach the Console by, https://HOST[:PORT]; its host joins the names in the certificates";

const SERVICE: &str = "Service";
const STORAGE: &str = "Storage";
const FIRST_USER: &str = "First user";
