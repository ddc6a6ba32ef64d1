//! Objects of other people's groups, as far as they are used here.
//!
//! ```text
//! mod.rs         what all of them have
//! openshift.rs   Route, SecurityContextConstraints
//! istio.rs       Gateway, VirtualService, PeerAuthentication, ServiceEntry
//! gateway.rs     Gateway API: Gateway, HTTPRoute, TLSRoute
//! ```

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

pub(crate) mod gateway;
pub(crate) mod istio;
pub(crate) mod openshift;

/// An object with a specification.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Custom<S> {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) metadata: ObjectMeta,
    pub(crate) spec: S,
}
