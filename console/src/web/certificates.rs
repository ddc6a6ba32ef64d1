//! What the Console's listeners run on, and its own CA.

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use certs::{CertificateFacts, Channel, Subscriber};
use rustls::ServerConfig;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::AppState;
use super::auth::AnyUser;
use super::error::ApiError;
use super::expiry::{days_left, of_channel};
use super::input::{Listed, Page, Parameters, Search};

/// The certificate of one listener.
#[derive(Serialize, ToSchema)]
pub(super) struct Certificate {
    /// `console-https` or `console-defender`.
    channel: &'static str,
    /// `custom` or `self-signed`.
    source: String,
    subject: String,
    issuer: String,
    sans: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    /// Of the leaf, hexadecimal.
    sha256: String,
    #[serde(with = "time::serde::rfc3339")]
    rotated_at: OffsetDateTime,
    /// Why the last set of custom files was refused.
    last_error: Option<String>,
}

/// One certificate of a channel.
#[derive(Serialize, ToSchema)]
pub(super) struct Link {
    /// `leaf`, `intermediate`, or `ca` for one that the other side's certificate must come from.
    pub(super) role: &'static str,
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) sans: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) not_after: OffsetDateTime,
    /// Whole days until then, negative when it has ended.
    pub(super) days_left: i64,
    /// Hexadecimal.
    pub(super) serial: String,
    /// Hexadecimal.
    pub(super) sha256: String,
}

/// Shows every certificate of a channel: the chain leaf first, then the CAs that the other side's certificate must come
/// from.
#[utoipa::path(get, path = "/certificates/{channel}/chain", tag = "certificates", operation_id = "chain",
    params(("channel" = String, Path, description = "`console-https` or `console-defender`"), Search),
    responses((status = 200, description = "A page of them", body = Vec<Link>,
        headers(("Total-Count" = u64, description = "How many there are in all"))),
        (status = 404, description = "No such channel")))]
pub(super) async fn chain(
    _: AnyUser,
    Path(channel): Path<String>,
    Parameters(search): Parameters<Search>,
    State(state): State<AppState>,
) -> Result<Listed<Link>, ApiError> {
    let page = Page::parse(search.offset, search.limit)?;
    let channels = [(Channel::ConsoleHttps, &state.https), (Channel::ConsoleDefender, &state.defender)];
    let found = channels.into_iter().find(|(one, _)| one.id() == channel);
    let (_, subscriber) =
        found.ok_or(ApiError::NotFound("the channels are console-https and console-defender"))?;
    let mut links = links(subscriber, OffsetDateTime::now_utc());
    let needle = search.search.unwrap_or_default().to_lowercase();
    links.retain(|link| link.contains(&needle));
    let total = u64::try_from(links.len()).unwrap_or(u64::MAX);
    Ok(Page::ready(links.into_iter().skip(page.offset).take(page.limit).collect(), total))
}

/// Every certificate of a channel.
pub(super) fn links(subscriber: &Subscriber<ServerConfig>, now: OffsetDateTime) -> Vec<Link> {
    let link = |(role, facts): (_, CertificateFacts)| Link {
        role,
        days_left: days_left(facts.not_after, now),
        subject: facts.subject,
        issuer: facts.issuer,
        sans: facts.sans,
        not_before: facts.not_before,
        not_after: facts.not_after,
        serial: facts.serial,
        sha256: facts.sha256,
    };
    of_channel(subscriber).into_iter().map(link).collect()
}

impl Link {
    fn contains(&self, needle: &str) -> bool {
        let named = [self.role, &self.subject, &self.issuer, &self.serial, &self.sha256];
        let mut texts = named.into_iter().chain(self.sans.iter().map(String::as_str));
        texts.any(|text| text.to_lowercase().contains(needle))
    }
}

/// Shows what the two listeners run on.
#[utoipa::path(get, path = "/certificates", tag = "certificates", params(Search),
    responses((status = 200, description = "HTTPS, then Defender WebSocket", body = Vec<Certificate>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn list(
    _: AnyUser,
    Parameters(search): Parameters<Search>,
    State(state): State<AppState>,
) -> Result<Listed<Certificate>, ApiError> {
    let page = Page::parse(search.offset, search.limit)?;
    let needle = search.search.unwrap_or_default().to_lowercase();
    let mut certificates = vec![
        certificate(Channel::ConsoleHttps, &state.https),
        certificate(Channel::ConsoleDefender, &state.defender),
    ];
    certificates.retain(|certificate| certificate.contains(&needle));
    Ok(page.of(certificates, |a, b| b.channel.cmp(a.channel)))
}

impl Certificate {
    fn contains(&self, needle: &str) -> bool {
        let named = [self.channel, &self.source, &self.subject, &self.issuer, &self.sha256];
        let mut texts = named.into_iter().chain(self.sans.iter().map(String::as_str));
        texts.any(|text| text.to_lowercase().contains(needle))
    }
}

/// The Console's own certificate authority, PEM.
#[utoipa::path(get, path = "/certs/ca.pem", tag = "certificates", security(()),
    responses((status = 200, description = "One certificate", body = String,
        content_type = "application/x-pem-file")))]
pub(super) async fn ca(State(state): State<AppState>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/x-pem-file")], state.enrolment.ca_pem())
}

fn certificate(channel: Channel, subscriber: &Subscriber<ServerConfig>) -> Certificate {
    let live = subscriber.current();
    let leaf = live.material.leaf();
    Certificate {
        channel: channel.id(),
        source: live.source.to_string(),
        subject: leaf.subject.clone(),
        issuer: leaf.issuer.clone(),
        sans: leaf.sans.clone(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        sha256: leaf.sha256.clone(),
        rotated_at: live.rotated_at,
        last_error: subscriber.last_error(),
    }
}
