//! What a Console that refuses this Defender's certificate says of it: the TLS alert in words.

use rustls::AlertDescription;

/// Whether it judges a certificate.
pub(super) fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}

/// What it says of this Defender's certificate.
pub(super) fn words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateExpired => "it is expired".to_owned(),
        AlertDescription::CertificateRevoked => {
            "it is revoked, or this Defender was decommissioned".to_owned()
        }
        AlertDescription::UnknownCA => "the Console does not know the CA that issued it".to_owned(),
        AlertDescription::DecryptError => "its signature does not fit the CA of that name".to_owned(),
        other => format!("TLS alert {other:?}"),
    }
}

/// What a person can do about it.
pub(super) fn remedy(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateExpired => {
            "install a current bundle, or renew defender-client-cert.pem in the custom certificates directory"
        }
        AlertDescription::CertificateRevoked => {
            "ask the Console's administrator; to use this host again, stop the Defender, delete its data directory, give \
             it another certificate in the custom certificates directory if it has one there, and install it anew"
        }
        _ => {
            "install a bundle of this Console; with custom certificates, defender-client-cert.pem must be issued by a \
             CA of the Console's defender-ca.pem"
        }
    }
    .to_owned()
}
