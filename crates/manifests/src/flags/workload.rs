//! What users set on any workload: where it runs, from which image, with what.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Settings of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadFlags {
    /// Namespace of all objects [default: twistlock]
    #[arg(long, value_name = "NAME", help_heading = OBJECTS)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Label of all objects; repeatable
    #[arg(long, value_name = "KEY=VALUE", help_heading = OBJECTS)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub label: Vec<String>,

    /// Image with tag or digest [default: garrison/PROGRAM:VERSION]
    #[arg(long, value_name = "IMAGE", help_heading = IMAGE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[expect(
        rustdoc::broken_intra_doc_links,
        reason = "the text of --help: brackets are what may be left out"
    )]
    /// Registry that the default image is pulled from, HOST[:PORT][/PATH] [default: the container runtime's]
    #[arg(long, help = REGISTRY_HELP, value_name = "REGISTRY", help_heading = IMAGE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Secret with the registry's credentials, in the same Namespace; repeatable
    #[arg(long, value_name = "NAME", help_heading = IMAGE)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub image_pull_secret: Vec<String>,

    /// Label that a node must have; repeatable
    #[arg(long, value_name = "KEY=VALUE", help_heading = PLACEMENT)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub node_selector: Vec<String>,
    /// Taint of nodes that is tolerated.
    #[arg(long, help = TOLERATION_HELP, value_name = "TAINT", help_heading = PLACEMENT)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub toleration: Vec<String>,
    /// PriorityClass of the pods
    #[arg(long, value_name = "NAME", help_heading = PLACEMENT)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<String>,

    /// Processors reserved, in cores, for example 100m
    #[arg(long, value_name = "AMOUNT", help_heading = RESOURCES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_request: Option<String>,
    /// Most processors used, in cores [default: no limit]
    #[arg(long, value_name = "AMOUNT", help_heading = RESOURCES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_limit: Option<String>,
    /// Memory reserved, for example 256Mi
    #[arg(long, value_name = "AMOUNT", help_heading = RESOURCES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_request: Option<String>,
    /// Most memory used
    #[arg(long, value_name = "AMOUNT", help_heading = RESOURCES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<String>,
}

// Not doc comments: the brackets would be taken for links.
const REGISTRY_HELP: &str =
    "Registry that the default image is pulled from, HOST[:PORT][/PATH] [default: the container runtime's]";
const TOLERATION_HELP: &str =
    "Taint of nodes that is tolerated, KEY[=VALUE][:EFFECT], or * for every taint; repeatable";

/// Heading of `--help`.
pub(crate) const OBJECTS: &str = "Objects";
const IMAGE: &str = "Image";
pub(crate) const PLACEMENT: &str = "Placement";
const RESOURCES: &str = "Resources";
