//! Which certificate expires next: those of the Console and of all Defenders in one order.

use certs::{Channel, Subscriber};
use rustls::ServerConfig;
use time::{Duration, OffsetDateTime};

use super::words::{self, Validity};
use crate::fleet::{Query, Row, Sort};
use crate::web::AppState;

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expiring {
    /// Whose it is, and its page.
    pub(super) name: String,
    pub(super) url: String,
    /// What it is for.
    pub(super) kind: &'static str,
    pub(super) source: &'static str,
    pub(super) sha256: String,
    pub(super) validity: Validity,
    end: OffsetDateTime,
}

/// The first `limit` certificates to expire, and how many there are in all.
pub(super) fn next(state: &AppState, now: OffsetDateTime, limit: usize) -> (Vec<Expiring>, usize) {
    let mut all = of_console(state, now);
    let query = Query { sort: Sort::NotAfter, limit, ..Query::default() };
    let found = state.fleet.query(&query);
    let total = all.len() + found.total;
    all.extend(found.rows.iter().map(|row| Expiring::defender(row, now)));
    all.sort_by_key(|one| one.end);
    all.truncate(limit);
    (all, total)
}

/// How many expire within `days`, or have expired.
pub(super) fn soon(state: &AppState, now: OffsetDateTime, days: i64) -> usize {
    let end = now + Duration::days(days);
    let query = Query { expires_before: Some(end), ..Query::default() };
    of_console(state, now).iter().filter(|one| one.end <= end).count() + state.fleet.query(&query).total
}

fn of_console(state: &AppState, now: OffsetDateTime) -> Vec<Expiring> {
    let mut all = of_channel(Channel::ConsoleHttps, &state.https, now);
    all.extend(of_channel(Channel::ConsoleDefender, &state.defender, now));
    // One CA may stand behind both channels.
    let mut seen = std::collections::HashSet::new();
    all.retain(|one| seen.insert((one.kind, one.sha256.clone())));
    all
}

fn of_channel(channel: Channel, tls: &Subscriber<ServerConfig>, now: OffsetDateTime) -> Vec<Expiring> {
    let live = tls.current();
    let source = match live.source {
        certs::Source::Custom => "custom",
        certs::Source::SelfSigned => "self-signed",
    };
    let one = |kind, facts: &certs::CertificateFacts| Expiring {
        name: if kind == SERVER { words::channel_title(channel).to_owned() } else { facts.subject.clone() },
        url: format!("/certificates#{}", channel.id()),
        kind,
        source,
        sha256: facts.sha256.clone(),
        validity: Validity::new(facts.not_after, now),
        end: facts.not_after,
    };
    let material = &live.material;
    let chain = material.chain_facts().enumerate();
    let chain = chain.map(|(place, facts)| one(if place == 0 { SERVER } else { CHAIN }, facts));
    chain.chain(material.ca_facts().map(|facts| one(CA, facts))).collect()
}

impl Expiring {
    /// The beginning of the fingerprint, enough to tell certificates apart.
    pub(super) fn short(&self) -> &str {
        self.sha256.get(..16).unwrap_or(&self.sha256)
    }

    fn defender(row: &Row, now: OffsetDateTime) -> Self {
        let (defender, certificate) = (&row.record.defender, &row.record.certificate);
        Self {
            name: defender.hostname.clone(),
            url: format!("/defenders/{}", defender.id),
            kind: "Defender",
            source: row.source(),
            sha256: certificate.sha256.clone(),
            validity: Validity::new(certificate.not_after, now),
            end: certificate.not_after,
        }
    }
}

const SERVER: &str = "Server certificate";
const CHAIN: &str = "Issuer in the chain";
const CA: &str = "CA of Defenders";
