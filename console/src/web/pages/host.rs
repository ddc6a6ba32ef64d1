//! What a Defender reports of its host, as its page shows it. Whatever it sends is read as far as it can be.

use std::collections::BTreeMap;

use serde::Deserialize;
use time::OffsetDateTime;

use super::words::{self, Moment, Validity};
use crate::web::defenders::HostReport;

/// The report of one host.
pub(super) struct Host {
    pub(super) received: Moment,
    /// Name and value of each fact that is known.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) custom: Option<CustomView>,
}

/// The custom directory of a host.
pub(super) struct CustomView {
    pub(super) directory: String,
    pub(super) is_watched: bool,
    /// Each file, and whether it is there.
    pub(super) files: Vec<(String, bool)>,
    pub(super) verdict: Verdict,
    /// The certificate in the files.
    pub(super) leaf: Option<LeafView>,
    pub(super) problem: String,
    pub(super) remedy: String,
}

/// What has come of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are what the Defender uses.
    InUse,
    /// There is none.
    None,
    /// Some are there.
    Incomplete,
    /// They would be refused.
    Refused,
    /// They are good and the Defender uses something else still.
    Waiting,
}

/// A certificate on the disk of a host.
pub(super) struct LeafView {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) sha256: String,
    pub(super) validity: Option<Validity>,
}

/// The body of the report.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    os: Option<String>,
    kernel: Option<String>,
    arch: Option<String>,
    cpus: Option<u64>,
    memory_bytes: Option<u64>,
    boot_time: Option<String>,
    addresses: Vec<String>,
    container_runtimes: Vec<String>,
    custom_certificates: Option<Custom>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Custom {
    directory: String,
    watched: bool,
    files: BTreeMap<String, String>,
    certificate: Option<Leaf>,
    would_load: bool,
    problem: Option<String>,
    remedy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Leaf {
    subject: String,
    issuer: String,
    not_after: String,
    sha256: String,
}

impl Host {
    /// The report of a Defender that uses the certificate `sha256`.
    pub(super) fn new(report: HostReport, sha256: &str, now: OffsetDateTime) -> Self {
        let body: Body = serde_json::from_value(report.report).unwrap_or_default();
        let facts = [
            ("Operating system", body.os),
            ("Kernel", body.kernel),
            ("Architecture", body.arch),
            ("Processors", body.cpus.map(|cpus| cpus.to_string())),
            ("Memory", body.memory_bytes.map(words::bytes)),
            (
                "Running since",
                body.boot_time.and_then(|time| parse(&time)).map(|time| Moment::new(time).text),
            ),
            ("Addresses", list(&body.addresses)),
            ("Container runtimes", list(&body.container_runtimes)),
        ];
        Self {
            received: Moment::new(report.received_at),
            facts: facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            custom: body.custom_certificates.map(|custom| CustomView::new(custom, sha256, now)),
        }
    }
}

impl CustomView {
    fn new(custom: Custom, sha256: &str, now: OffsetDateTime) -> Self {
        let files: Vec<_> =
            custom.files.into_iter().map(|(name, state)| (name, state == "present")).collect();
        let here = files.iter().filter(|(_, is_here)| *is_here).count();
        let in_use = custom.certificate.as_ref().is_some_and(|leaf| leaf.sha256 == sha256);
        let verdict = match here {
            0 => Verdict::None,
            here if here < files.len() => Verdict::Incomplete,
            _ if !custom.would_load => Verdict::Refused,
            _ if in_use => Verdict::InUse,
            _ => Verdict::Waiting,
        };
        let leaf = custom.certificate.map(|leaf| LeafView {
            subject: leaf.subject,
            issuer: leaf.issuer,
            sha256: leaf.sha256,
            validity: parse(&leaf.not_after).map(|end| Validity::new(end, now)),
        });
        Self {
            directory: custom.directory,
            is_watched: custom.watched,
            files,
            verdict,
            leaf,
            problem: custom.problem.unwrap_or_default(),
            remedy: custom.remedy.unwrap_or_default(),
        }
    }
}

fn parse(time: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(time, &time::format_description::well_known::Rfc3339).ok()
}

fn list(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| items.join(", "))
}
