//! Gathers what the rules judge: certificates in use, refusals, Defenders that are away.

use std::collections::BTreeMap;

use certs::{Channel, Subscriber};
use protocol::message::CertificateSource;
use rustls::ServerConfig;
use time::OffsetDateTime;

use super::rules::{Away, Expiry, FEW, Facts, Refusal, Trouble, Waiting};
use super::settings::Settings;
use crate::backup::keeper::{Keeper, Last};
use crate::enroll::Enrolment;
use crate::fleet::{Fleet, Row};
use crate::names::ExtraNames;

/// Where facts come from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Defenders.
    pub fleet: Fleet,
    /// What the HTTPS listener runs on.
    pub https: Subscriber<ServerConfig>,
    /// What the Defender listener runs on.
    pub defender: Subscriber<ServerConfig>,
    /// Knows what the newest backup came to.
    pub backups: Keeper,
    /// Knows who waits to come back.
    pub enrolment: Enrolment,
    /// Knows the Console's own CA.
    pub names: ExtraNames,
    /// When the Console started.
    pub started: OffsetDateTime,
}

impl Sources {
    /// The facts now; `audit` is what the last check of the audit log found. Takes a while with a large fleet.
    pub(super) fn gather(&self, settings: &Settings, audit: Option<Trouble>, now: OffsetDateTime) -> Facts {
        let rows = self.fleet.rows();
        let patience = settings.patience();
        let away = |row: &&std::sync::Arc<Row>| {
            patience.is_some_and(|patience| !row.is_connected() && now - row.last_seen() > patience)
        };
        let refusals = [(Channel::ConsoleHttps, &self.https), (Channel::ConsoleDefender, &self.defender)];
        Facts {
            certificates: self.certificates(),
            defender_certificates: of_defenders(&rows),
            refusals: refusals.into_iter().filter_map(|(channel, tls)| refusal(channel, tls)).collect(),
            away: rows
                .iter()
                .filter(away)
                .map(|row| Away {
                    id: row.record.defender.id.to_string(),
                    hostname: row.record.defender.hostname.clone(),
                    last_seen: row.last_seen(),
                })
                .collect(),
            is_starting: patience.is_some_and(|patience| now - self.started < patience),
            waiting: self.waiting(),
            audit,
            backup: match self.backups.last() {
                Last::None => None,
                Last::Made => Some(None),
                Last::Failed(failure) => Some(Some(format!("{}; {}", failure.cause, failure.remedy))),
            },
        }
    }

    fn waiting(&self) -> Vec<Waiting> {
        let waiting = self.enrolment.returns().into_iter();
        waiting.map(|(id, one)| Waiting { id: id.to_string(), hostname: one.hostname }).collect()
    }

    fn certificates(&self) -> Vec<Expiry> {
        let mut found: BTreeMap<String, Expiry> = BTreeMap::new();
        let channels = [("the Console's HTTPS", &self.https), ("the Defender listener", &self.defender)];
        for (name, tls) in channels {
            let live = tls.current();
            let remedy = match live.source {
                certs::Source::Custom => CUSTOM_REMEDY,
                certs::Source::SelfSigned => OWN_REMEDY,
            };
            let chain = live.material.chain_facts().map(|facts| ("the certificate", facts));
            let cas = live.material.ca_facts().map(|facts| ("a CA of the clients", facts));
            for (role, facts) in chain.chain(cas) {
                found.entry(facts.sha256.clone()).or_insert_with(|| Expiry {
                    sha256: facts.sha256.clone(),
                    what: format!("{role} of {name} ({})", facts.subject),
                    not_after: facts.not_after,
                    remedy: remedy.to_owned(),
                    renews_itself: false,
                });
            }
        }
        let own_ca = self.names.ca_sha256();
        found.insert(
            own_ca.clone(),
            Expiry {
                sha256: own_ca,
                what: "the Console's own certificate authority".to_owned(),
                not_after: self.names.ca_expiration(),
                remedy: CA_REMEDY.to_owned(),
                renews_itself: false,
            },
        );
        found.into_values().collect()
    }
}

/// Each certificate once: a custom one may be shared by many hosts.
fn of_defenders(rows: &[std::sync::Arc<Row>]) -> Vec<Expiry> {
    let mut by_certificate: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        by_certificate.entry(&row.record.certificate.sha256).or_default().push(row);
    }
    by_certificate.into_iter().filter_map(|(sha256, rows)| of_hosts(sha256, &rows)).collect()
}

fn of_hosts(sha256: &str, rows: &[&Row]) -> Option<Expiry> {
    let certificate = &rows.first()?.record.certificate;
    let mut hosts: Vec<&str> =
        rows.iter().take(FEW).map(|row| row.record.defender.hostname.as_str()).collect();
    hosts.sort_unstable();
    let more = match rows.len().saturating_sub(FEW) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let is_own = certificate.source == CertificateSource::SelfSigned;
    Some(Expiry {
        // What a Defender says of itself is no fact of the Console's own certificates.
        sha256: format!("defender-{sha256}"),
        what: format!("the certificate of the Defender of {}{more}", hosts.join(", ")),
        not_after: certificate.not_after,
        remedy: if is_own { RENEWAL_REMEDY } else { HOST_REMEDY }.to_owned(),
        renews_itself: is_own,
    })
}

fn refusal(channel: Channel, tls: &Subscriber<ServerConfig>) -> Option<Refusal> {
    let certs::Refusal { error: cause, set, .. } = tls.last_refusal()?;
    // A set that waits is one matter, whoever it waits for.
    let matter = set.as_ref().unwrap_or(&cause);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, matter.as_bytes());
    let cause_id = certs::hex::encode(digest.as_ref().first_chunk::<8>().expect("SHA-256 has 32 bytes"));
    Some(Refusal { channel: channel.id(), cause_id, cause })
}

const CUSTOM_REMEDY: &str =
    "Put new files into the custom certificates directory of the Console; they are taken without a restart.";
const OWN_REMEDY: &str = "The Console renews it itself; if it does not, its log says why.";
const CA_REMEDY: &str = "Everybody who trusts it needs the next one: see docs/certificates.md.";
const HOST_REMEDY: &str = "Put new files into the custom certificates directory of the host; the Defender takes them without a restart.";
const RENEWAL_REMEDY: &str =
    "The Defender renews it while it is connected: if it is connected, its log says why it does not.";
