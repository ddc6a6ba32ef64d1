//! The webhook: a signed POST. What the receiver answers is looked at for its status only; redirects are not followed,
//! so a message goes where an administrator said and nowhere else.

use std::time::Duration;

use aws_lc_rs::hmac;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use time::OffsetDateTime;
use uuid::Uuid;

use super::outbound;
use super::sending::{SendError, causes};
use super::settings::{Secret, Settings, WebhookUrl};

/// Sends one message; `Ok` when the receiver has taken it.
///
/// # Errors
/// [`SendError`].
pub(super) async fn send(
    settings: &Settings,
    secret: &Secret,
    id: Uuid,
    body: &str,
    now: OffsetDateTime,
) -> Result<StatusCode, SendError> {
    let url: WebhookUrl = settings.webhook_url.parse().map_err(|_| SendError::NotConfigured("webhookUrl"))?;
    let client = client(&settings.webhook_ca)?;
    let mut request = client
        .post(url.url())
        .header(CONTENT_TYPE, "application/json")
        .header("garrison-delivery", id.to_string())
        .body(body.to_owned());
    if secret.is_set() {
        request = request.header("garrison-signature", signature(secret, now, body));
    }
    let answer = request.send().await.map_err(|error| fault(&url, &error))?;
    let status = answer.status();
    if status.is_success() { Ok(status) } else { Err(SendError::Status(status.as_u16())) }
}

fn client(extra: &str) -> Result<reqwest::Client, SendError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(outbound::client(extra).map_err(SendError::Tls)?)
        .redirect(Policy::none())
        .timeout(PATIENCE)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("garrison-console/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| SendError::Client(causes(&error)))
}

/// `t=SECONDS,v1=HEX`, where HEX is the HMAC-SHA256 of `SECONDS.BODY`.
fn signature(secret: &Secret, now: OffsetDateTime, body: &str) -> String {
    let seconds = now.unix_timestamp();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let tag = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v1={}", certs::hex::encode(tag))
}

/// The URL may hold a token: it is not repeated, its host is.
fn fault(url: &WebhookUrl, error: &reqwest::Error) -> SendError {
    let place = url.origin();
    if error.is_timeout() {
        return SendError::Timeout { place };
    }
    let cause = std::error::Error::source(error).map_or_else(|| "no answer".to_owned(), causes);
    SendError::Unreachable { place, cause }
}

/// From the dial to the headers of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_openssl_computes() {
        let secret = Secret::parse("key".to_owned().into()).expect("fits");
        let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).expect("a time");
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac key
        let expected = "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";
        assert_eq!(signature(&secret, at, "{}"), expected);
    }
}
