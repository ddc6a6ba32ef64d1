//! Where custom certificates come from: one of the ways that people keep keys.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The source of custom certificates; at most one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CertsFlags {
    /// Secret whose keys are the file names, for example console-cert.pem
    #[arg(long, value_name = "NAME", help_heading = CERTIFICATES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_certs_secret: Option<String>,
    /// PersistentVolumeClaim that holds the files, for example on network storage
    #[arg(long, value_name = "NAME", help_heading = CERTIFICATES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_certs_claim: Option<String>,
    /// File server and directory that holds the files
    #[arg(long, value_name = "SERVER:PATH", help_heading = CERTIFICATES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_certs_nfs: Option<String>,
    /// Directory of the node that holds the files
    #[arg(long, value_name = "PATH", help_heading = CERTIFICATES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_certs_host_path: Option<String>,
    /// CSI driver that brings the files, for example secrets-store.csi.k8s.io
    #[arg(long, value_name = "DRIVER", help_heading = CERTIFICATES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_certs_csi: Option<String>,
    /// Attribute for the CSI driver, for example secretProviderClass=console; repeatable
    #[arg(long, value_name = "KEY=VALUE", help_heading = CERTIFICATES)]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::texts")]
    pub custom_certs_csi_attribute: Vec<String>,
    /// Issuer of cert-manager, NAME or ClusterIssuer/NAME: also writes the Certificate objects; it must publish its
    /// CA (ca.crt), as CA, Vault and SelfSigned-rooted issuers do and ACME does not
    #[arg(long, value_name = "ISSUER", help_heading = CERTIFICATES)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_manager: Option<String>,
}

const CERTIFICATES: &str = "Custom certificates (at most one source)";
