//! Own CA and leaves; pure: names, dates and lifetimes in, PEM out.

use std::fmt;

use zeroize::Zeroizing;

/// A client certificate with its key, for an install bundle.
pub struct ClientBundle {
    /// The chain, leaf first.
    pub cert_pem: String,
    /// The key, PKCS#8.
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for ClientBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBundle").field("cert_pem", &self.cert_pem).field("key_pem", &"***").finish()
    }
}
