//! What Defenders have said of their own sets, against a set of the Console that waits. Pure.

use certs::{Encounter, Obstacle, certificates};
use serde::Deserialize;
use time::OffsetDateTime;

/// What would come of a Defender if the set went live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has something that both sides take.
    Safe,
    /// It has nothing, for this reason.
    Lost(String),
    /// It has not said what it has.
    Unknown,
}

/// The part of a host report that matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    /// Absent in reports of older Defenders.
    sets: Option<Vec<Set>>,
    custom_certificates: Option<Custom>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Set {
    kind: String,
    chain: String,
    authorities: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Custom {
    watched: bool,
    would_load: bool,
    problem: Option<String>,
}

/// What would come of the Defender that has sent `report`.
pub(super) fn fate(encounter: &Encounter, report: &str, now: OffsetDateTime) -> Fate {
    let Ok(Report { sets: Some(sets), custom_certificates }) = serde_json::from_str(report) else {
        return Fate::Unknown;
    };
    let mut custom = None;
    for set in &sets {
        let (chain, roots) = (certificates(&set.chain), certificates(&set.authorities));
        if chain.is_empty() || roots.is_empty() {
            return Fate::Unknown;
        }
        match encounter.judge(&chain, &roots, now) {
            Ok(()) => return Fate::Safe,
            Err(obstacle) if set.kind == "custom" => custom = Some(obstacle),
            Err(_) => {}
        }
    }
    Fate::Lost(cause(custom.as_ref(), custom_certificates.unwrap_or_default()))
}

/// Why none of its sets is of use; about the custom one, which is the one to mend.
fn cause(custom: Option<&Obstacle>, Custom { watched, would_load, problem }: Custom) -> String {
    let problem: String =
        problem.unwrap_or_default().chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    match custom {
        Some(obstacle) => format!("its custom certificates do not fit: {obstacle}"),
        None if !watched => {
            "its custom certificates directory was not there when it started: make it, put the files \
             there, and restart the Defender"
                .to_owned()
        }
        None if would_load => "its custom certificates are there and not in use yet".to_owned(),
        None if problem.is_empty() => "it has no custom certificates".to_owned(),
        None => format!("it has no custom certificates: {problem}"),
    }
}

/// Of what a Defender says, in characters.
const LONGEST: usize = 200;
