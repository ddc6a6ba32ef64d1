//! TLS to receivers: the roots of the system and those that an administrator added, and no others.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

use super::settings;

/// A configuration that trusts the roots of the system and the CA certificates in `extra` (PEM). Blocks the first time:
/// the system's roots are read then.
///
/// # Errors
/// What rustls says.
pub(super) fn client(extra: &str) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    // Systems carry certificates that nobody can use.
    roots.add_parsable_certificates(SYSTEM.iter().cloned());
    for certificate in settings::certificates(extra).unwrap_or_default() {
        roots.add(certificate)?;
    }
    let config = ClientConfig::builder_with_provider(certs::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(Arc::new(roots))
        .with_no_client_auth();
    Ok(config)
}

static SYSTEM: LazyLock<Vec<CertificateDer<'static>>> =
    LazyLock::new(|| rustls_native_certs::load_native_certs().certs);
