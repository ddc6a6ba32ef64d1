//! `/certificates`: what each channel of the Console runs on, why the last files were refused and how to mend it,
//! and how to rotate by copying files.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use certs::{CertificateFacts, Channel, Refusal, Source, Subscriber};
use rustls::ServerConfig;
use serde::Deserialize;
use time::OffsetDateTime;

use super::expiry::{self, Expiring};
use super::feed::Happening;
use super::words::{self, Moment, Validity};
use super::{Entry, Frame, PageError, Visitor, render};
use crate::meet::{self, Held, Loss, MissingName};
use crate::web::AppState;
use crate::web::certificates::missing_names;
use crate::web::error::ApiError;

#[derive(Template)]
#[template(path = "certificates.html")]
struct Certificates {
    frame: Frame,
    directory: Directory,
    channels: Vec<ChannelView>,
    /// Rotations and refusals, newest first, and how many there were.
    timeline: Vec<Happening>,
    changes: u64,
    /// A page of what expires first, and which.
    expiring: Vec<Expiring>,
    range: String,
    previous: Option<String>,
    next: Option<String>,
    authority: Option<Expiring>,
}

/// Where operators put their own files.
struct Directory {
    path: String,
    is_watched: bool,
    poll_seconds: u64,
}

/// One channel.
struct ChannelView {
    id: &'static str,
    name: &'static str,
    about: &'static str,
    is_custom: bool,
    /// The names of its files in the directory.
    files: Vec<&'static str>,
    leaf: Link,
    /// Behind the leaf.
    chain: Vec<Link>,
    /// Whose certificates the other side may have.
    cas: Vec<Link>,
    names: Vec<String>,
    rotated: Moment,
    refusal: Option<RefusalView>,
    /// What is taken with a warning.
    doubts: Vec<String>,
    /// Names that Defenders use and the certificate does not have.
    missing: Vec<MissingName>,
    /// A set that waits, because Defenders would be lost.
    held: Option<HeldView>,
}

/// A set that waits.
struct HeldView {
    subject: String,
    sha256: String,
    validity: Validity,
    /// The first of those that would be lost, and how many more there are.
    would_lose: Vec<Loss>,
    more: usize,
    unknown: usize,
}

/// Why the last files were refused.
struct RefusalView {
    error: String,
    remedy: String,
    at: Moment,
}

/// One certificate.
struct Link {
    subject: String,
    issuer: String,
    serial: String,
    sha256: String,
    begin: Moment,
    validity: Validity,
}

/// Where the list of what expires begins.
#[derive(Deserialize)]
pub(super) struct At {
    #[serde(default)]
    offset: usize,
}

pub(super) async fn page(
    visitor: Visitor,
    State(state): State<AppState>,
    at: Result<Query<At>, QueryRejection>,
) -> Result<Response, PageError> {
    let now = OffsetDateTime::now_utc();
    let directory = Directory {
        path: state.custom_dir.path().display().to_string(),
        is_watched: state.custom_dir.is_watched(),
        poll_seconds: state.custom_dir.poll().as_secs().max(1),
    };
    let mut channels = vec![
        ChannelView::new(Channel::ConsoleHttps, &state.https, now),
        ChannelView::new(Channel::ConsoleDefender, &state.defender, now),
    ];
    if let Some(defender) = channels.last_mut() {
        defender.missing = missing_names(&state).await?;
        defender.held = state.meeting.held().map(|held| HeldView::new(held, now));
    }
    state.fleet.settle_history().await;
    let (timeline, changes) = state.store.certificate_changes("", 0, TIMELINE).await?;
    let Query(At { offset }) =
        at.map_err(|_| ApiError::BadRequest("offset is how many certificates to pass over".to_owned()))?;
    let (expiring, total) = expiry::page(&state, now, offset, EXPIRING)?;
    let authority = expiry::authority(&state, now);
    let link = |offset: usize| format!("/certificates?offset={offset}#expiry");
    let end = offset.saturating_add(EXPIRING);
    let frame = Frame::new(&state, visitor, Entry::Certificates, "Certificates");
    render(&Certificates {
        frame,
        directory,
        channels,
        timeline: timeline.iter().map(Happening::change).collect(),
        changes,
        expiring,
        range: words::range(offset, EXPIRING, total),
        previous: (offset > 0).then(|| link(offset.saturating_sub(EXPIRING))),
        next: (end < total).then(|| link(end)),
        authority,
    })
}

impl ChannelView {
    fn new(channel: Channel, tls: &Subscriber<ServerConfig>, now: OffsetDateTime) -> Self {
        let live = tls.current();
        let material = &live.material;
        let link = |facts: &CertificateFacts| Link::new(facts, now);
        Self {
            id: channel.id(),
            name: words::channel_title(channel),
            about: words::channel_about(channel),
            is_custom: live.source == Source::Custom,
            files: channel.files().names().collect(),
            leaf: link(material.leaf()),
            chain: material.chain_facts().skip(1).map(link).collect(),
            cas: material.ca_facts().map(link).collect(),
            names: material.leaf().sans.clone(),
            rotated: Moment::new(live.rotated_at),
            refusal: tls.last_refusal().map(RefusalView::from),
            doubts: material.doubts(now).iter().map(ToString::to_string).collect(),
            missing: Vec::new(),
            held: None,
        }
    }

    fn missing_remedy(&self) -> &'static str {
        meet::REMEDY
    }

    fn copy_id(&self) -> String {
        format!("{}-commands", self.id)
    }

    /// What an operator types to rotate, in a folder with the new files.
    fn commands(&self, directory: &str) -> String {
        format!("console certs check .\ncp {} {}/", self.files.join(" "), words::shell(directory))
    }
}

impl HeldView {
    fn new(held: Held, now: OffsetDateTime) -> Self {
        let leaf = held.material.leaf();
        let more = held.would_lose.len().saturating_sub(FEW);
        Self {
            subject: leaf.subject.clone(),
            sha256: leaf.sha256.clone(),
            validity: Validity::new(leaf.not_after, now),
            would_lose: held.would_lose.into_iter().take(FEW).collect(),
            more,
            unknown: held.unknown,
        }
    }

    fn total(&self) -> usize {
        self.would_lose.len() + self.more
    }

    fn defenders(&self) -> &'static str {
        if self.total() == 1 { "Defender" } else { "Defenders" }
    }

    /// What accepting it means, with the first hosts.
    fn warning(&self) -> String {
        let names: Vec<&str> = self.would_lose.iter().map(|one| one.hostname.as_str()).collect();
        let more =
            if self.more == 0 { String::new() } else { format!(" and {} more", words::number(self.more)) };
        format!(
            "{} {} will be disconnected and cannot come back before their hosts have files that fit: {}{more}. What \
             they report meanwhile waits on their disks.",
            words::number(self.total()),
            self.defenders(),
            names.join(", ")
        )
    }
}

impl Link {
    fn new(facts: &CertificateFacts, now: OffsetDateTime) -> Self {
        Self {
            subject: facts.subject.clone(),
            issuer: facts.issuer.clone(),
            serial: facts.serial.clone(),
            sha256: facts.sha256.clone(),
            begin: Moment::new(facts.not_before),
            validity: Validity::new(facts.not_after, now),
        }
    }
}

impl From<Refusal> for RefusalView {
    fn from(Refusal { error, remedy, at, .. }: Refusal) -> Self {
        Self { error, remedy, at: Moment::new(at) }
    }
}

/// How many of each list are shown; the rest is in the CSV and in the list of Defenders.
const EXPIRING: usize = 50;
const FEW: usize = 10;
const TIMELINE: usize = 25;
