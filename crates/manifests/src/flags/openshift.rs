//! What can be set of a Console's deployment on OpenShift alone.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ConsoleFlags;

/// Settings of a Console's deployment on OpenShift.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenshiftFlags {
    /// Host of the Route to the web UI and API [default: the host of --public-url, else OpenShift chooses one]
    #[arg(long, value_name = "HOST", help_heading = ROUTES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_host: Option<String>,
    /// Host of the Route for Defenders, who dial it on port 443 [default: OpenShift chooses one]
    #[arg(long, value_name = "HOST", help_heading = ROUTES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defender_route_host: Option<String>,
    /// What a Console has on Kubernetes.
    #[command(flatten)]
    #[serde(flatten)]
    pub console: ConsoleFlags,
}

const ROUTES: &str = "Routes";
