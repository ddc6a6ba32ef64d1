//! What a Console that refuses this Defender's certificate says of it: the TLS alert in words.

use certs::CertificateFacts;
use rustls::AlertDescription;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

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
        AlertDescription::CertificateExpired => {
            "it is expired, or not valid yet, by the Console's clock".to_owned()
        }
        AlertDescription::CertificateRevoked => {
            "it is revoked, or this Defender was decommissioned".to_owned()
        }
        AlertDescription::UnknownCA => "the Console does not know the CA that issued it".to_owned(),
        AlertDescription::DecryptError => "its signature does not fit the CA of that name".to_owned(),
        other => format!("TLS alert {other:?}"),
    }
}

/// What there is to say of the dates of `leaf` when the Console finds it out of them.
pub(super) fn dates(leaf: &CertificateFacts, now: OffsetDateTime) -> String {
    let day = |date: OffsetDateTime| date.format(&Rfc3339).unwrap_or_default();
    let here = if now > leaf.not_after {
        "it has expired by this host's clock too"
    } else if now < leaf.not_before {
        "it is not valid yet by this host's clock either"
    } else {
        "it is valid by this host's clock, so one of the clocks is wrong"
    };
    format!(" (valid from {} to {}; {here})", day(leaf.not_before), day(leaf.not_after))
}

/// What a person can do about it.
pub(super) fn remedy(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateExpired => {
            "install a current bundle, or renew defender-client-cert.pem in the custom certificates directory; \
             check the clocks of both hosts"
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
