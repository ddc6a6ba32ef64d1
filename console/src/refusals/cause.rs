//! Why a connection to the Defender listener is refused: each cause apart from the others, in words, with what to do.

use certs::CertificateFacts;
use lifecycle::duration::words;
use protocol::Close;
use rustls::{AlertDescription, CertificateError, Error};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It was away for too long.
    ApprovalNeeded,
    /// Two processes with one identity: the other one is served.
    Cloned,
    /// It does not accept the Console's certificate.
    ConsoleNotTrusted,
    /// It was decommissioned.
    Decommissioned,
    /// Its certificate has expired.
    Expired,
    /// Its certificate speaks for another identity, or no longer for this one.
    IdentityMismatch,
    /// It shows no certificate.
    NoCertificate,
    /// No CA that the Console trusts has issued its certificate.
    NotTrusted,
    /// Its certificate is not valid yet.
    NotYetValid,
    /// The registration in its install bundle was revoked or is used up.
    RegistrationRefused,
    /// A CRL names its certificate.
    Revoked,
    /// It is more than two minor versions behind.
    TooOld,
    /// Its certificate is none for a client, or cannot be read.
    UnusableCertificate,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::ApprovalNeeded,
        Self::Cloned,
        Self::ConsoleNotTrusted,
        Self::Decommissioned,
        Self::Expired,
        Self::IdentityMismatch,
        Self::NoCertificate,
        Self::NotTrusted,
        Self::NotYetValid,
        Self::RegistrationRefused,
        Self::Revoked,
        Self::TooOld,
        Self::UnusableCertificate,
    ];

    /// The name in the API, in events and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalNeeded => "approval-needed",
            Self::Cloned => "cloned",
            Self::ConsoleNotTrusted => "console-not-trusted",
            Self::Decommissioned => "decommissioned",
            Self::Expired => "expired",
            Self::IdentityMismatch => "identity-mismatch",
            Self::NoCertificate => "no-certificate",
            Self::NotTrusted => "not-trusted",
            Self::NotYetValid => "not-yet-valid",
            Self::RegistrationRefused => "registration-refused",
            Self::Revoked => "revoked",
            Self::TooOld => "too-old",
            Self::UnusableCertificate => "unusable-certificate",
        }
    }

    /// What a person does about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::ApprovalNeeded => {
                "have an administrator approve its return on the page Authority, if you expect this host"
            }
            Self::Cloned => {
                "give each host an identity of its own: on the copy, stop the Defender, delete its data directory, and start it"
            }
            Self::ConsoleNotTrusted => {
                "see the Defender's log: it names what is wrong; mostly the host needs a current install bundle or defender-ca.pem, or dials a name that this Console's certificate lacks"
            }
            Self::Decommissioned => {
                "remove the Defender from that host; to use the host again, delete its data directory and install it anew, with another certificate if its one is custom"
            }
            Self::Expired => {
                "renew defender-client-cert.pem on that host, or install a current bundle; check the clocks of both hosts"
            }
            Self::IdentityMismatch => {
                "give each host a data directory of its own; on a copy of another host, delete it so that it joins as a new Defender"
            }
            Self::NoCertificate => {
                "nothing, if it is a health check or a scan; Defenders always show a certificate"
            }
            Self::NotTrusted => {
                "install a bundle of this Console on that host; with custom certificates, put the CA that issued its certificate into defender-ca.pem"
            }
            Self::NotYetValid => "set the clocks of both hosts, and keep them by NTP",
            Self::RegistrationRefused => "issue a new install bundle, and put it on that host",
            Self::Revoked => "issue another certificate for that host, if it is still to be trusted",
            Self::TooOld => "install the Console's version of the Defender on that host",
            Self::UnusableCertificate => {
                "replace defender-client-cert.pem on that host; `defender certs check` says what is wrong with it"
            }
        }
    }

    /// Whether nobody needs to hear of it: anything that is no Defender does this.
    #[must_use]
    pub fn is_quiet(self) -> bool {
        self == Self::NoCertificate
    }

    /// Of a connection that was closed with this code.
    #[must_use]
    pub fn of_close(close: Close) -> Option<Self> {
        Some(match close {
            Close::ApprovalNeeded => Self::ApprovalNeeded,
            Close::Decommissioned => Self::Decommissioned,
            Close::IdentityMismatch => Self::IdentityMismatch,
            Close::RegistrationRefused => Self::RegistrationRefused,
            Close::Replaced => Self::Cloned,
            Close::TooOld => Self::TooOld,
            _ => return None,
        })
    }

    /// Of a failed handshake in which the peer has shown `leaf`, and what there is to say about it in one sentence;
    /// `None`: it is no refusal. `is_gone` says whether the leaf belongs to decommissioned Defenders only.
    #[must_use]
    pub fn of_handshake(
        error: &Error,
        leaf: Option<&CertificateFacts>,
        is_gone: bool,
        now: OffsetDateTime,
    ) -> Option<(Self, String)> {
        let text = |text: &str| text.to_owned();
        Some(match error {
            Error::NoCertificatesPresented => (Self::NoCertificate, text("it shows no certificate")),
            Error::AlertReceived(alert) => (Self::ConsoleNotTrusted, text(doubts(*alert)?)),
            Error::InvalidCertificate(cause) => of_certificate(cause, leaf, is_gone, now),
            _ => return None,
        })
    }
}

fn of_certificate(
    cause: &CertificateError,
    leaf: Option<&CertificateFacts>,
    is_gone: bool,
    now: OffsetDateTime,
) -> (Cause, String) {
    match cause {
        CertificateError::Revoked if is_gone => (
            Cause::Decommissioned,
            "its certificate belongs to a Defender that was decommissioned".to_owned(),
        ),
        CertificateError::Revoked => {
            (Cause::Revoked, "defender-crl.pem names its certificate, or one of its chain".to_owned())
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            // Where the leaf has not, it is one of its chain.
            let since = leaf.map(|leaf| now - leaf.not_after).filter(|since| since.is_positive());
            let ago = since.map(|since| format!(" {} ago", words(since.unsigned_abs()))).unwrap_or_default();
            (Cause::Expired, format!("its certificate has expired{ago} by this Console's clock"))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let until = leaf.map(|leaf| leaf.not_before - now).filter(|until| until.is_positive());
            let more = until
                .map(|until| format!(" for another {}", words(until.unsigned_abs())))
                .unwrap_or_default();
            (Cause::NotYetValid, format!("its certificate is not valid yet{more} by this Console's clock"))
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let issuer = leaf.map(|leaf| format!(", {},", leaf.issuer)).unwrap_or_default();
            (
                Cause::NotTrusted,
                format!("the Console does not trust the CA{issuer} that issued its certificate"),
            )
        }
        other => {
            let text: String = other.to_string().chars().take(LONGEST).collect();
            (Cause::UnusableCertificate, format!("its certificate cannot be used here: {text}"))
        }
    }
}

/// What a Defender has against the Console's certificate; `None`: the alert is about something else.
fn doubts(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::UnknownCA => "it does not know the CA that issued this Console's certificate",
        AlertDescription::CertificateExpired => {
            "this Console's certificate is out of its dates by the clock of that host"
        }
        AlertDescription::BadCertificate => {
            "this Console's certificate lacks the name that it dials, or cannot be used"
        }
        AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRevoked
        | AlertDescription::DecryptError
        | AlertDescription::UnsupportedCertificate => "it does not accept this Console's certificate",
        _ => return None,
    })
}

/// Of what a library says.
const LONGEST: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_own_name_and_says_what_to_do() {
        let names: std::collections::BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        assert_eq!(names.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            assert!(cause.remedy().len() > 20, "{cause:?}");
            assert_eq!(serde_json::to_value(cause).expect("JSON"), cause.as_str());
        }
    }

    #[test]
    fn a_certificate_that_is_out_of_its_dates_is_told_with_the_distance() {
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(365);
        let leaf = |not_before, not_after| CertificateFacts {
            subject: "CN=web-1".into(),
            issuer: "CN=ca".into(),
            sans: Vec::new(),
            not_before,
            not_after,
            sha256: "00".repeat(32),
            serial: "01".into(),
        };
        let early = leaf(now + time::Duration::minutes(192), now + time::Duration::days(9));
        let late = leaf(OffsetDateTime::UNIX_EPOCH, now - time::Duration::days(2));
        let judge = |error: CertificateError, leaf: &CertificateFacts| {
            Cause::of_handshake(&error.into(), Some(leaf), false, now).expect("a refusal")
        };
        let (cause, text) = judge(CertificateError::NotValidYet, &early);
        assert_eq!((cause, text.contains("another 3 h 12 min")), (Cause::NotYetValid, true), "{text}");
        let (cause, text) = judge(CertificateError::Expired, &late);
        assert_eq!((cause, text.contains("2 days ago")), (Cause::Expired, true), "{text}");
        let (cause, text) = judge(CertificateError::UnknownIssuer, &late);
        assert_eq!((cause, text.contains("CN=ca")), (Cause::NotTrusted, true), "{text}");
        assert_eq!(judge(CertificateError::Revoked, &late).0, Cause::Revoked);
        let gone = Cause::of_handshake(&CertificateError::Revoked.into(), Some(&late), true, now);
        assert_eq!(gone.map(|(cause, _)| cause), Some(Cause::Decommissioned));
        let broken =
            Cause::of_handshake(&Error::AlertReceived(AlertDescription::ProtocolVersion), None, false, now);
        assert_eq!(broken, None);
    }
}
