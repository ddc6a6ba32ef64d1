//! What is told to whom: thresholds, the webhook, the syslog server, the banner. Given by an administrator, judged
//! here, kept in the store; the secret of the webhook is kept beside it and shown to nobody.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::Duration;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// The settings, but for the secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Days before an expiry, falling. The expiry itself always counts.
    pub expiry_days: Vec<u16>,
    /// How long a Defender may be away; 0 is for ever.
    pub disconnected_after_minutes: f64,
    /// Whether pages show open alerts.
    pub banner: bool,
    /// Empty: none.
    pub webhook_url: String,
    /// CA certificates beside those of the system, PEM.
    pub webhook_ca: String,
    /// `HOST:PORT`; empty: none.
    pub syslog_address: String,
    /// How messages go there.
    pub syslog_transport: Transport,
    /// CA certificates beside those of the system, PEM.
    pub syslog_ca: String,
    /// Facility of messages, 0 to 23.
    pub syslog_facility: u8,
}

/// How messages go to a syslog server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// RFC 6587, octet counting.
    Tcp,
    /// RFC 5425.
    Tls,
    /// RFC 5426: what gets lost is not noticed.
    Udp,
}

/// A key that messages are signed with.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Where the webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WebhookUrl(reqwest::Url);

/// Why settings cannot be taken; names the setting and the accepted form.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{setting} {form}")]
pub struct SettingsFault {
    setting: &'static str,
    form: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            expiry_days: vec![60, 30, 14, 7, 1],
            disconnected_after_minutes: 15.0,
            banner: true,
            webhook_url: String::new(),
            webhook_ca: String::new(),
            syslog_address: String::new(),
            syslog_transport: Transport::Udp,
            syslog_ca: String::new(),
            syslog_facility: 16,
        }
    }
}

impl Settings {
    /// The settings if they can be taken: days in order, texts without blanks around them.
    ///
    /// # Errors
    /// The first fault.
    pub fn judged(mut self) -> Result<Self, SettingsFault> {
        let fault = |setting, form| Err(SettingsFault { setting, form });
        self.expiry_days.sort_unstable_by(|a, b| b.cmp(a));
        self.expiry_days.dedup();
        if self.expiry_days.len() > MOST_THRESHOLDS
            || !self.expiry_days.iter().all(|days| (1..=365).contains(days))
        {
            return fault("expiryDays", "is a list of at most 10 numbers of days, each from 1 to 365");
        }
        let minutes = self.disconnected_after_minutes;
        if !(minutes == 0.0 || (LEAST_MINUTES..=MOST_MINUTES).contains(&minutes)) {
            return fault(
                "disconnectedAfterMinutes",
                "is from 0.05 to 10080 minutes (a week), or 0 for never",
            );
        }
        if self.syslog_facility > 23 {
            return fault("syslogFacility", "is a number from 0 to 23; 16 is local0");
        }
        for text in [&mut self.webhook_url, &mut self.syslog_address] {
            *text = text.trim().to_owned();
        }
        if !self.webhook_url.is_empty() {
            self.webhook_url.parse::<WebhookUrl>()?;
        }
        if !self.syslog_address.is_empty() && host_and_port(&self.syslog_address).is_none() {
            return fault(
                "syslogAddress",
                "is HOST:PORT, for example syslog.example.com:6514, or [2001:db8::1]:514",
            );
        }
        for (setting, pem) in [("webhookCa", &self.webhook_ca), ("syslogCa", &self.syslog_ca)] {
            if pem.len() > MOST_PEM_BYTES || certificates(pem).is_none() {
                return fault(setting, "holds CA certificates in PEM form, at most 64 KiB, or is empty");
            }
        }
        Ok(self)
    }

    /// How long a Defender may be away, if there is a limit.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        (self.disconnected_after_minutes > 0.0)
            .then(|| Duration::seconds_f64(self.disconnected_after_minutes * 60.0))
    }

    /// As the audit log shows them: a URL may hold a token in its path, certificates are long.
    #[must_use]
    pub fn for_audit(&self) -> serde_json::Value {
        let mut shown = serde_json::to_value(self).unwrap_or_default();
        let url = self.webhook_url.parse::<WebhookUrl>().map(|url| url.origin()).unwrap_or_default();
        let count = |pem: &str| certificates(pem).map_or(0, |all| all.len());
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("webhook_url".to_owned(), url.into());
            shown.insert("webhook_ca".to_owned(), count(&self.webhook_ca).into());
            shown.insert("syslog_ca".to_owned(), count(&self.syslog_ca).into());
        }
        shown
    }
}

impl FromStr for WebhookUrl {
    type Err = SettingsFault;

    fn from_str(text: &str) -> Result<Self, SettingsFault> {
        let form = "is an http or https URL without a user name, of at most 2000 characters";
        let fault = SettingsFault { setting: "webhookUrl", form };
        let Ok(url) = text.parse::<reqwest::Url>() else { return Err(fault) };
        let fits = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && text.len() <= 2000;
        if fits { Ok(Self(url)) } else { Err(fault) }
    }
}

impl WebhookUrl {
    /// The URL.
    #[must_use]
    pub(super) fn url(&self) -> reqwest::Url {
        self.0.clone()
    }

    /// Scheme, host and port: what may be shown to everybody.
    #[must_use]
    pub(super) fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }
}

impl Secret {
    /// A secret of at most 256 characters.
    ///
    /// # Errors
    /// When it is longer.
    pub fn parse(text: Zeroizing<String>) -> Result<Self, SettingsFault> {
        let form = "has at most 256 characters; empty removes it";
        if text.len() > 256 { Err(SettingsFault { setting: "webhookSecret", form }) } else { Ok(Self(text)) }
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &Zeroizing<String> {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "Secret(***)" } else { "Secret()" })
    }
}

/// `HOST:PORT`, the host without brackets.
#[must_use]
pub(super) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let is_name = |one: char| one.is_ascii_alphanumeric() || matches!(one, '.' | '-' | '_' | ':');
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty() && host.len() <= 253 && host.chars().all(is_name)).then_some((host, port))
}

/// The certificates of a PEM text; `None` when it is neither empty nor certificates.
#[must_use]
pub(super) fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
    (!all.is_empty() || pem.trim().is_empty()).then_some(all)
}

const MOST_THRESHOLDS: usize = 10;
const LEAST_MINUTES: f64 = 0.05;
const MOST_MINUTES: f64 = 7.0 * 24.0 * 60.0;
const MOST_PEM_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_taken_are_named_with_the_accepted_form() {
        type Spoil = fn(&mut Settings);
        let faulty: [(&str, Spoil); 12] = [
            ("expiryDays", |settings| settings.expiry_days = vec![0]),
            ("expiryDays", |settings| settings.expiry_days = vec![366]),
            ("expiryDays", |settings| settings.expiry_days = (1..12).collect()),
            ("disconnectedAfterMinutes", |settings| settings.disconnected_after_minutes = f64::NAN),
            ("disconnectedAfterMinutes", |settings| settings.disconnected_after_minutes = -1.0),
            ("syslogFacility", |settings| settings.syslog_facility = 24),
            ("webhookUrl", |settings| settings.webhook_url = "ftp://example.com".into()),
            ("webhookUrl", |settings| settings.webhook_url = "https://user:secret@example.com".into()),
            ("syslogAddress", |settings| settings.syslog_address = "example.com".into()),
            ("syslogAddress", |settings| settings.syslog_address = "2001:db8::1".into()),
            ("webhookCa", |settings| settings.webhook_ca = "no certificate".into()),
            ("syslogCa", |settings| settings.syslog_ca = "x".repeat(MOST_PEM_BYTES + 1)),
        ];
        for (setting, spoil) in faulty {
            let mut settings = Settings::default();
            spoil(&mut settings);
            let fault = settings.judged().expect_err(setting).to_string();
            assert!(fault.starts_with(setting), "{fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
        assert!(Secret::parse("x".repeat(257).into()).is_err());
    }

    #[test]
    fn days_are_put_in_order_and_what_may_hold_a_token_is_not_in_the_audit_log() {
        let settings = Settings {
            expiry_days: vec![1, 7, 7, 30],
            webhook_url: " https://hooks.example.com/T000/secret-token ".into(),
            ..Settings::default()
        };
        let settings = settings.judged().expect("fits");
        assert_eq!(settings.expiry_days, [30, 7, 1]);
        let audit = settings.for_audit().to_string();
        assert!(audit.contains("https://hooks.example.com"), "{audit}");
        assert!(!audit.contains("secret-token"), "{audit}");
        assert_eq!(format!("{:?}", Secret::parse("k".repeat(9).into()).expect("fits")), "Secret(***)");
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        assert_eq!(host_and_port("[2001:db8::1]:514"), Some(("2001:db8::1", 514)));
        assert_eq!(host_and_port("syslog.example.com:6514"), Some(("syslog.example.com", 6514)));
        for text in ["", ":514", "a:0", "a:65536", "a b:514", "[::1:514", "a\n:514"] {
            assert_eq!(host_and_port(text), None, "{text}");
        }
    }
}
