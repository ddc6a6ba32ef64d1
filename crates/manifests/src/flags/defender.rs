//! What can be set of the Defenders' deployment.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CertsFlags, Rest, WorkloadFlags};

/// Settings of the Defenders' deployment.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DefenderFlags {
    /// Where Defenders reach the Console, HOST or HOST:PORT; the port is that of its Defender listener unless given.
    #[arg(long, help = CLUSTER_ADDRESS_HELP, value_name = "HOST[:PORT]", help_heading = CONSOLE)]
    #[serde(rename = "consoleAddr", skip_serializing_if = "Option::is_none")]
    pub cluster_address: Option<String>,
    /// Name expected in the Console's certificate [default: the host of the address]
    #[arg(long, value_name = "NAME", help_heading = CONSOLE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_server_name: Option<String>,
    /// What any workload has.
    #[command(flatten)]
    #[serde(flatten)]
    pub workload: WorkloadFlags,
    /// Custom certificates.
    #[command(flatten)]
    #[serde(flatten)]
    pub certs: CertsFlags,
    /// Name of the cluster, kept as a label of all objects
    #[arg(long, value_name = "NAME", help_heading = super::workload::OBJECTS)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Leave control-plane nodes without a Defender
    #[arg(long, help_heading = super::workload::PLACEMENT)]
    #[serde(skip_serializing_if = "super::is_off")]
    pub no_control_plane: bool,
    /// Use the node's network, so that the Defender reports the node's addresses
    #[arg(long, help_heading = super::workload::PLACEMENT)]
    #[serde(skip_serializing_if = "super::is_off")]
    pub host_network: bool,

    /// Fields of a body that no flag has; a fault.
    #[arg(skip)]
    #[serde(flatten, skip_serializing)]
    #[schema(ignore)]
    pub rest: Rest,
}

// Not a doc comment: the brackets would be taken for links.
pub(crate) const CLUSTER_ADDRESS_HELP: &str = "Where Defenders reach the Console, HOST[:PORT]; the port is that of the Console's Defender \
     listener unless given. Required";
const CONSOLE: &str = "Console";
