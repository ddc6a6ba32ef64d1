//! What people deploy: Kubernetes, OpenShift, Istio and compose files, built from typed objects.
//!
//! ```text
//! flags/          what was asked for, as given: command-line flags and fields of the API are the same structures
//! values/         judged pieces of it: names, quantities, addresses
//! workload.rs     what both programs' pods have: image, placement, resources, labels
//! certs.rs        where custom certificates come from, and how a pod gets them
//! console/        the Console's objects, one file a platform
//! defender/       the Defender's objects, one file a platform
//! compose/        compose files
//! custom/         objects that are not Kubernetes' own: OpenShift, Istio, Gateway API
//! meta.rs         names and labels of objects
//! yaml.rs         objects -> text, always the same for the same objects
//! chart/          objects -> a Helm chart, archive.rs packs it
//! kustomize.rs    the bases in deploy/kubernetes/
//! output.rs       content -> file, whole or not at all
//! fault.rs        what is wrong with a flag
//! ```
//!
//! Nothing here asks anybody anything: flags (and for a Defender its install bundle) in, text out.

mod archive;
mod certs;
mod chart;
mod compose;
mod console;
mod custom;
mod defender;
mod fault;
pub mod flags;
pub mod kustomize;
mod meta;
pub mod output;
mod values;
mod workload;
mod yaml;

pub use compose::{ConsoleCompose, DefenderCompose};
pub use console::{Console, Istio, Openshift};
pub use defender::{Bundle, BundleError, Defender, Platform};
pub use fault::{Fault, Faults};
pub use values::{HostPort, PublicUrl, San};
pub use yaml::YamlError;
