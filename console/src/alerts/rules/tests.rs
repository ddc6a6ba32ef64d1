use super::*;
use proptest::prelude::*;

const THRESHOLDS: [u16; 5] = [60, 30, 14, 7, 1];

fn at(days: f64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds_f64(days * 86_400.0)
}

fn certificate(sha256: &str, expires: f64) -> Expiry {
    let remedy = "Renew it.".to_owned();
    let what = format!("certificate {sha256}");
    Expiry { sha256: sha256.to_owned(), what, not_after: at(expires), remedy, renews_itself: false }
}

fn away(number: usize) -> Away {
    Away { id: format!("id-{number}"), hostname: format!("host-{number:04}"), last_seen: at(0.0) }
}

/// The open alerts, as `watch.rs` keeps them, with everything that was ever told.
#[derive(Default)]
struct Life {
    open: Vec<Alert>,
    told: Vec<String>,
    resolved: Vec<String>,
    known: BTreeSet<String>,
}

impl Life {
    /// One look; what was told in it.
    fn look(&mut self, facts: &Facts, days: f64) -> Vec<String> {
        let changes = judge(facts, &self.open, &THRESHOLDS, at(days));
        let mut told = Vec::new();
        for condition in changes.raise {
            if !condition.is_told_once() || self.known.insert(condition.key.clone()) {
                told.push(condition.key.clone());
            }
            self.open.push(Alert::new(condition, at(days)));
        }
        self.open.retain(|alert| {
            let key = &alert.condition;
            let is_over = changes.resolve.contains(key);
            self.resolved.extend(is_over.then(|| key.clone()));
            !is_over && !changes.supersede.contains(key)
        });
        self.told.extend(told.clone());
        told
    }

    fn open(&self) -> Vec<&str> {
        self.open.iter().map(|alert| alert.condition.as_str()).collect()
    }
}

#[test]
fn each_threshold_of_a_certificate_is_told_once_and_the_next_takes_its_place() {
    let facts = Facts { certificates: vec![certificate("aa", 90.0)], ..Facts::default() };
    let mut life = Life::default();
    for hour in 0..(24 * 95) {
        life.look(&facts, f64::from(hour) / 24.0);
        assert!(life.open.len() <= 1, "{:?}", life.open());
    }
    let told = [60, 30, 14, 7, 1, 0].map(|days| format!("certificate/aa/{days}"));
    assert_eq!(life.told, told);
    assert!(life.resolved.is_empty(), "a narrower threshold is no good news: {:?}", life.resolved);
    assert_eq!(life.open[0].severity, Severity::Critical);
    assert!(life.open[0].summary.starts_with("Expired on "), "{}", life.open[0].summary);
    life.look(&Facts::default(), 95.0);
    assert_eq!(life.resolved, ["certificate/aa/0"], "another certificate is in use");
}

#[test]
fn a_certificate_seen_late_is_told_of_once_and_again_never_when_it_comes_back() {
    let facts = Facts { certificates: vec![certificate("aa", 5.0)], ..Facts::default() };
    let mut life = Life::default();
    assert_eq!(life.look(&facts, 0.0), ["certificate/aa/7"]);
    life.look(&Facts::default(), 0.1);
    assert!(life.look(&facts, 0.2).is_empty());
    assert_eq!(life.open(), ["certificate/aa/7"], "it is shown again");
}

#[test]
fn certificates_that_renew_themselves_count_when_they_did_not() {
    let own = Expiry { renews_itself: true, ..certificate("aa", 30.0) };
    let facts = Facts { defender_certificates: vec![own], ..Facts::default() };
    let mut life = Life::default();
    (0..40).for_each(|day| drop(life.look(&facts, f64::from(day))));
    assert_eq!(life.told, ["certificate/aa/7", "certificate/aa/1", "certificate/aa/0"]);
}

#[test]
fn a_fleet_whose_certificates_expire_together_makes_one_alert_for_each_threshold() {
    let many = (0..500).map(|number| certificate(&format!("{number:03}"), 20.0)).collect();
    let facts = Facts { defender_certificates: many, ..Facts::default() };
    let mut life = Life::default();
    (0..25).for_each(|day| drop(life.look(&facts, f64::from(day))));
    let told = [30, 14, 7, 1, 0].map(|days| format!("defender-certificates/{days}/4"));
    assert_eq!(life.told, told);
    let summary = &life.open[0].summary;
    assert!(
        summary.starts_with("500 certificates of Defenders have expired: certificate 000, "),
        "{summary}"
    );
    assert!(summary.ends_with(" and 495 more."), "{summary}");
}

#[test]
fn each_cause_of_a_refusal_is_told_once_until_a_set_is_taken() {
    let refused = |cause: &str| Facts {
        refusals: vec![Refusal { channel: "console-https", cause_id: cause.into(), cause: cause.into() }],
        ..Facts::default()
    };
    let mut life = Life::default();
    for cause in ["a", "a", "b", "a", "b"] {
        life.look(&refused(cause), 0.0);
    }
    assert_eq!(life.told, ["refused/console-https/a", "refused/console-https/b"]);
    assert!(life.resolved.is_empty());
    life.look(&Facts::default(), 1.0);
    assert_eq!(life.resolved.len(), 2);
    assert_eq!(life.look(&refused("a"), 2.0).len(), 1, "a new occasion");
}

#[test]
fn a_few_absences_are_told_one_by_one_and_a_storm_as_one() {
    let gone = |count: usize| Facts { away: (0..count).map(away).collect(), ..Facts::default() };
    let mut life = Life::default();
    assert_eq!(life.look(&gone(3), 1.0), ["disconnected/id-0", "disconnected/id-1", "disconnected/id-2"]);
    assert_eq!(life.look(&gone(1000), 1.1), ["disconnected-many/4"]);
    assert_eq!(life.open().len(), 4, "those that were told of stay");
    let summary = &life.open[3].summary;
    assert!(summary.starts_with("997 Defenders have been disconnected for long: host-0003, "), "{summary}");
    assert!(life.look(&gone(900), 1.2).is_empty(), "fewer are no news");
    assert!(life.look(&gone(1020), 1.2).is_empty(), "a little more are none either");
    assert_eq!(life.look(&gone(6000), 1.3), ["disconnected-many/6"], "four times as many are");
    assert_eq!(life.open().len(), 4, "{:?}", life.open());
    assert!(life.resolved.is_empty(), "{:?}", life.resolved);
    life.look(&gone(0), 1.4);
    assert_eq!(life.resolved.len(), 4);
}

#[test]
fn nobody_is_said_to_be_away_or_back_while_the_console_starts() {
    let mut life = Life::default();
    let gone = Facts { away: vec![away(1)], ..Facts::default() };
    life.look(&gone, 1.0);
    let starting = Facts { is_starting: true, away: vec![away(1), away(2)], ..Facts::default() };
    assert!(life.look(&starting, 1.1).is_empty());
    assert_eq!(life.open(), ["disconnected/id-1"]);
}

#[test]
fn audit_log_and_backups_stay_as_they_are_until_somebody_knows_better() {
    let mut life = Life::default();
    let broken = Facts {
        audit: Some(Some("entry 7".into())),
        backup: Some(Some("disk full".into())),
        ..Facts::default()
    };
    assert_eq!(life.look(&broken, 0.0), ["audit", "backup"]);
    life.look(&Facts::default(), 0.1);
    assert_eq!(life.open().len(), 2, "after a restart nothing is known yet");
    life.look(&Facts { audit: Some(None), backup: Some(None), ..Facts::default() }, 0.2);
    assert_eq!(life.resolved, ["audit", "backup"]);
}

#[test]
fn a_test_is_over_after_a_minute() {
    let test = Condition {
        key: "test/1".into(),
        kind: Kind::Test,
        severity: Severity::Info,
        summary: String::new(),
        remedy: String::new(),
    };
    let open = [Alert::new(test, at(0.0))];
    assert!(judge(&Facts::default(), &open, &THRESHOLDS, at(0.0) + TEST_LASTS / 2).resolve.is_empty());
    assert_eq!(judge(&Facts::default(), &open, &THRESHOLDS, at(0.0) + TEST_LASTS).resolve, ["test/1"]);
}

proptest! {
    /// Whatever comes and goes: a look that changes nothing follows each look, the same key is never open twice, and
    /// no expiry is told of twice.
    #[test]
    fn looks_settle_and_nothing_is_told_twice(
        steps in prop::collection::vec(
            (prop::collection::vec(0_usize..40, 0..30), prop::collection::vec((0_u8..12, -5.0..70.0_f64), 0..12), 0_usize..3),
            1..12,
        )
    ) {
        let mut life = Life::default();
        for (number, (gone, expiring, cause)) in (0_u32..).zip(steps) {
            let gone: BTreeSet<usize> = gone.into_iter().collect();
            let all: BTreeMap<u8, f64> = expiring.into_iter().collect();
            let facts = Facts {
                away: gone.into_iter().map(away).collect(),
                defender_certificates: all.iter().map(|(name, end)| certificate(&name.to_string(), *end)).collect(),
                refusals: (cause > 0)
                    .then(|| Refusal { channel: "console-https", cause_id: cause.to_string(), cause: "c".into() })
                    .into_iter()
                    .collect(),
                ..Facts::default()
            };
            let days = f64::from(number);
            life.look(&facts, days);
            let open: BTreeSet<String> = life.open().into_iter().map(str::to_owned).collect();
            prop_assert_eq!(open.len(), life.open.len(), "each key once");
            let again = judge(&facts, &life.open, &THRESHOLDS, at(days));
            prop_assert_eq!(again, Changes::default(), "{:?}", life.open());
            let groups = life.open().iter().filter(|key| key.starts_with(AWAY_GROUP)).count();
            prop_assert!(groups <= 1);
            let covered = life.open().iter().filter(|key| key.starts_with("disconnected/")).count();
            prop_assert!(groups == 1 || covered == facts.away.len(), "everybody who is away is told of");
        }
        let expiries: Vec<&String> = life.told.iter().filter(|key| key.starts_with("certificate/")).collect();
        prop_assert_eq!(expiries.iter().collect::<BTreeSet<_>>().len(), expiries.len(), "{:?}", expiries);
    }
}

#[test]
fn who_waits_to_come_back_is_told_one_by_one_while_they_are_few_and_is_over_when_let_in() {
    let waiting = |count: usize| {
        let one = |number| Waiting { id: format!("id-{number}"), hostname: format!("host-{number}") };
        Facts { waiting: (0..count).map(one).collect(), ..Facts::default() }
    };
    let mut life = Life::default();
    assert_eq!(life.look(&waiting(2), 0.0), ["return/id-0", "return/id-1"]);
    assert!(life.look(&waiting(2), 0.1).is_empty(), "told once");
    assert_eq!(life.look(&waiting(9), 0.2), ["returns-many"]);
    assert_eq!(life.open(), ["returns-many"]);
    life.look(&waiting(0), 0.3);
    assert!(life.open().is_empty());
}
