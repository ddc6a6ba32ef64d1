//! What the Console's listeners run on, and its own CA.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use certs::{CertificateFacts, Channel, Source, Subscriber};
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::AppState;
use super::auth::{AdministratorOrOperator, AnyUser};
use super::error::ApiError;
use super::expiry::{days_left, of_channel};
use super::input::{Listed, OptionalBody, Page, Parameters, Search};
use super::stray::NoParameters;
use crate::meet::{AcceptError, Held, Loss, MissingName};

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
    /// Names that Defenders use, connected or yet to come, and that this custom certificate does not have; for
    /// `console-defender`, at most 100.
    missing_names: Vec<MissingName>,
    /// A good set that does not go live, because connected Defenders would be lost; for `console-defender`.
    held: Option<HeldSet>,
}

/// A set that waits until nobody would be lost, or until it is accepted.
#[derive(Serialize, ToSchema)]
pub(super) struct HeldSet {
    /// Of its leaf, hexadecimal.
    sha256: String,
    subject: String,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    /// Connected Defenders that would be lost, by host name; at most 1000.
    would_lose: Vec<Loss>,
    /// How many there are.
    would_lose_count: usize,
    /// Connected Defenders that have not said which certificates they have.
    unknown: usize,
}

/// Which set is accepted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Accept {
    /// Of the leaf that was looked at: another set that waits by now is not accepted.
    sha256: Option<String>,
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
    let (_, subscriber) = found.ok_or(NO_CHANNEL)?;
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
        certificate(Channel::ConsoleHttps, &state.https, Vec::new(), None),
        defender_certificate(&state).await?,
    ];
    certificates.retain(|certificate| certificate.contains(&needle));
    Ok(page.of(certificates, |a, b| b.channel.cmp(a.channel)))
}

/// Takes a custom set that is held back, for administrators and operators: the Defenders that it would lose are lost. The
/// body may be left out.
#[utoipa::path(post, path = "/certificates/{channel}/accept", tag = "certificates", operation_id = "accept",
    params(("channel" = String, Path, description = "`console-defender`")), request_body = Option<Accept>,
    responses((status = 200, description = "It is in use", body = Certificate),
        (status = 404, description = "No such channel"),
        (status = 409, description = "No set is held back, or another one by now")))]
pub(super) async fn accept(
    AdministratorOrOperator(actor): AdministratorOrOperator,
    Path(channel): Path<String>,
    State(state): State<AppState>,
    accept: OptionalBody<Accept>,
) -> Result<Json<Certificate>, ApiError> {
    if channel == Channel::ConsoleHttps.id() {
        return Err(ApiError::Conflict(AcceptError::Nothing.to_string()));
    }
    if channel != Channel::ConsoleDefender.id() {
        return Err(NO_CHANNEL);
    }
    let sha256 = accept.0.and_then(|accept| accept.sha256);
    state.meeting.accept(sha256.as_deref(), &actor).await?;
    Ok(Json(defender_certificate(&state).await?))
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Store(error) => error.into(),
            error => Self::Conflict(error.to_string()),
        }
    }
}

impl From<Held> for HeldSet {
    fn from(held: Held) -> Self {
        let leaf = held.material.leaf();
        let would_lose_count = held.would_lose.len();
        Self {
            sha256: leaf.sha256.clone(),
            subject: leaf.subject.clone(),
            not_after: leaf.not_after,
            would_lose: held.would_lose.into_iter().take(MOST_SHOWN).collect(),
            would_lose_count,
            unknown: held.unknown,
        }
    }
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
pub(super) async fn ca(_: NoParameters, State(state): State<AppState>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/x-pem-file")], state.enrolment.ca_pem())
}

/// What the certificate of the Defender listener lacks; the Console's own one has the names that it was told.
pub(super) async fn missing_names(state: &AppState) -> Result<Vec<MissingName>, ApiError> {
    let live = state.defender.current();
    match live.source {
        Source::Custom => Ok(state.meeting.missing_names(&live.material).await?),
        Source::SelfSigned => Ok(Vec::new()),
    }
}

async fn defender_certificate(state: &AppState) -> Result<Certificate, ApiError> {
    let missing = missing_names(state).await?;
    let held = state.meeting.held().map(HeldSet::from);
    Ok(certificate(Channel::ConsoleDefender, &state.defender, missing, held))
}

fn certificate(
    channel: Channel,
    subscriber: &Subscriber<ServerConfig>,
    missing_names: Vec<MissingName>,
    held: Option<HeldSet>,
) -> Certificate {
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
        missing_names,
        held,
    }
}

const NO_CHANNEL: ApiError = ApiError::NotFound("the channels are console-https and console-defender");
const MOST_SHOWN: usize = 1000;
