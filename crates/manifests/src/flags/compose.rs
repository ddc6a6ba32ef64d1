//! What can be set of a compose file.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Rest;

/// Settings of any compose file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ComposeFlags {
    /// Image with tag or digest [default: garrison/PROGRAM:VERSION]
    #[arg(long, value_name = "IMAGE", help_heading = IMAGE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Registry that default images are pulled from.
    #[arg(long, help = REGISTRY_HELP, value_name = "REGISTRY", help_heading = IMAGE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Directory of this host that holds custom certificates [default: /var/lib/twistlock/custom-certificates]
    #[arg(long, value_name = "PATH", help_heading = CERTIFICATES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_certs_host_path: Option<String>,
}

/// Settings of a Console's compose file.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsoleComposeFlags {
    /// What any compose file has.
    #[command(flatten)]
    #[serde(flatten)]
    pub compose: ComposeFlags,
    /// A Defender of this host beside the Console
    #[arg(long, help_heading = SERVICES)]
    #[serde(skip_serializing_if = "super::is_off")]
    pub onebox: bool,
    /// URL that users reach the Console by.
    #[arg(long, help = PUBLIC_URL_HELP, value_name = "URL", help_heading = SERVICES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Name or IP address in the Console's own certificates; repeatable, commas as well
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = SERVICES)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub san: Vec<String>,
    /// Fields of a body that no flag has; a fault.
    #[arg(skip)]
    #[serde(flatten, skip_serializing)]
    #[schema(ignore)]
    pub rest: Rest,
}

/// Settings of a Defender's compose file.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DefenderComposeFlags {
    /// Where the Defender reaches the Console, HOST or HOST:PORT; the port is that of its Defender listener unless given.
    #[arg(long, help = super::defender::CLUSTER_ADDRESS_HELP, value_name = "HOST[:PORT]", help_heading = SERVICES)]
    #[serde(rename = "consoleAddr", skip_serializing_if = "Option::is_none")]
    pub cluster_address: Option<String>,
    /// Name expected in the Console's certificate [default: the host of the address]
    #[arg(long, value_name = "NAME", help_heading = SERVICES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_server_name: Option<String>,
    /// Name of the host, shown in the Console
    #[arg(long, value_name = "NAME", help_heading = SERVICES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// What any compose file has.
    #[command(flatten)]
    #[serde(flatten)]
    pub compose: ComposeFlags,
    /// Fields of a body that no flag has; a fault.
    #[arg(skip)]
    #[serde(flatten, skip_serializing)]
    #[schema(ignore)]
    pub rest: Rest,
}

// Not doc comments: the brackets would be taken for links.
const PUBLIC_URL_HELP: &str =
    "URL that users reach the Console by, https://HOST[:PORT]; its host joins the names in the certificates";
const REGISTRY_HELP: &str =
    "Registry that default images are pulled from, HOST[:PORT][/PATH] [default: the container runtime's]";

const IMAGE: &str = "Image";
const CERTIFICATES: &str = "Custom certificates";
const SERVICES: &str = "Services";
