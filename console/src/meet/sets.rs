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

#[cfg(test)]
mod tests {
    use certs::{Channel, Found, Material, RawMaterial};
    use serde_json::{Value, json};
    use testpki::{Ca, Leaf, Writing, write_console_defender};

    use super::*;

    /// A Console whose server certificate is `issuer`'s, and that takes clients of `trusted`.
    fn console(issuer: &Ca, trusted: &[&Ca]) -> Encounter {
        let dir = tempfile::tempdir().expect("a directory");
        let server = issuer.issue(&Leaf::server(&["localhost"]));
        write_console_defender(dir.path(), issuer, &server, Writing::InPlace);
        let cas: String = trusted.iter().map(|ca| ca.pem()).collect();
        testpki::put(dir.path(), "defender-ca.pem", cas, Writing::InPlace);
        let found = RawMaterial::read(Channel::ConsoleDefender, dir.path()).expect("readable");
        let Found::Complete(raw) = found else { panic!("all files are there") };
        Encounter::with(&Material::parse(raw).expect("good")).expect("good")
    }

    fn set(kind: &str, issuer: &Ca, trusted: &Ca) -> Value {
        let chain = issuer.issue(&Leaf::client("host")).cert_pem;
        json!({"kind": kind, "chain": chain, "authorities": trusted.pem(), "sha256": "00", "other": 1})
    }

    fn of(encounter: &Encounter, sets: &Value, custom: &Value) -> Fate {
        let report = json!({"hostname": "h", "sets": sets, "custom_certificates": custom});
        fate(encounter, &report.to_string(), OffsetDateTime::now_utc())
    }

    #[test]
    fn one_set_that_both_sides_take_is_enough_whichever_it_is() {
        let (own, corporate) = (Ca::new("own"), Ca::new("corporate"));
        let (custom, mine) = (set("custom", &corporate, &corporate), set("own", &own, &own));
        let both = || json!([custom, mine]);
        assert_eq!(of(&console(&corporate, &[&corporate]), &both(), &json!({})), Fate::Safe);
        // The overlap: the Console's own server certificate still, clients of both.
        assert_eq!(of(&console(&own, &[&corporate, &own]), &json!([mine]), &json!({})), Fate::Safe);
        // It takes the client, and the client does not take it.
        let fate = of(&console(&corporate, &[&corporate, &own]), &json!([mine]), &json!({"watched": true}));
        assert_eq!(fate, Fate::Lost("it has no custom certificates".to_owned()));
    }

    #[test]
    fn who_would_be_lost_is_told_apart_by_cause() {
        let (old, new) = (Ca::new("old"), Ca::new("new"));
        let console = console(&new, &[&new]);
        let own = set("own", &old, &old);
        let lost = |sets, custom| match of(&console, &sets, &custom) {
            Fate::Lost(cause) => cause,
            other => panic!("{other:?}"),
        };
        let cause = lost(json!([set("custom", &old, &old), own]), json!({"watched": true}));
        assert!(cause.contains("do not fit") && cause.contains("another CA"), "{cause}");
        let cause = lost(json!([set("custom", &new, &old)]), json!({"watched": true}));
        assert!(cause.contains("does not verify the new server certificate"), "{cause}");
        let cause = lost(json!([own]), json!({"watched": true, "problem": "missing: a\u{1b}"}));
        assert_eq!(cause, "it has no custom certificates: missing: a");
        let cause = lost(json!([own]), json!({"watched": false}));
        assert!(cause.contains("restart the Defender"), "{cause}");
        let cause = lost(json!([]), json!({"watched": true, "would_load": true}));
        assert!(cause.contains("not in use yet"), "{cause}");
    }

    #[test]
    fn who_has_not_said_what_it_has_is_unknown() {
        let ca = Ca::new("ca");
        let console = console(&ca, &[&ca]);
        let now = OffsetDateTime::now_utc();
        for report in [r#"{"hostname":"old"}"#, r#"{"sets":null}"#, "[]", r#"{"sets":7}"#] {
            assert_eq!(fate(&console, report, now), Fate::Unknown, "{report}");
        }
        let too_large = json!([{"kind": "custom", "chain": "", "authorities": ""}]);
        assert_eq!(of(&console, &too_large, &json!({})), Fate::Unknown);
    }
}
