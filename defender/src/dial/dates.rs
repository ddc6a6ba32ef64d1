//! Refusals for dates: which clock is wrong, if one is.

use certs::CertificateFacts;
use rustls::AlertDescription;
use time::OffsetDateTime;

use super::error::DialError;
use super::{About, alert};
use crate::clock;

impl DialError {
    /// Whether the Console's certificate is out of its dates, or a clock is wrong.
    pub(crate) fn is_about_dates(&self) -> bool {
        matches!(self, Self::ConsoleCertificate { about: About::Clock, .. })
    }

    /// The same, with what was found of the clocks: how far the Console's is ahead.
    pub(crate) fn with_clock(self, ahead_seconds: Option<i64>) -> Self {
        match (self, ahead_seconds) {
            (Self::ConsoleCertificate { reason, remedy, about }, Some(ahead)) => {
                let agrees = clock::is_tolerable(ahead);
                let words = if agrees { "the clocks agree".to_owned() } else { clock::words(ahead) };
                let remedy = if agrees { remedy } else { clock::SET_CLOCK.to_owned() };
                Self::ConsoleCertificate { reason: format!("{reason}: {words}"), remedy, about }
            }
            (error, _) => error,
        }
    }

    /// The same, with the dates of the leaf that was shown where the Console finds it out of them.
    pub(crate) fn with_own_dates(self, leaf: &CertificateFacts, now: OffsetDateTime) -> Self {
        match self {
            Self::OwnCertificate { alert: alert @ AlertDescription::CertificateExpired, .. } => {
                Self::OwnCertificate { alert, dates: alert::dates(leaf, now) }
            }
            error => error,
        }
    }
}
