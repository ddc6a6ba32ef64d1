//! Tests of `authority.rs`: which steps are taken without being asked for.

use time::macros::datetime;

use super::*;

const START: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

fn days(count: i64) -> time::Duration {
    time::Duration::days(count)
}

fn phase(stage: Stage, automatic: bool) -> Option<Phase> {
    Some(Phase { stage, since: START, automatic })
}

fn progress(trust: usize, moved: usize) -> Progress {
    let one = Behind {
        id: Uuid::nil(),
        hostname: "host".to_owned(),
        connected: true,
        last_seen: START,
        trusts: false,
        why: "it is slow",
    };
    Progress { defenders: 3, trust, moved, behind: vec![one; 3 - moved] }
}

#[test]
fn a_rotation_begins_eighteen_months_before_the_end() {
    let end = START + days(1096);
    assert_eq!(due(None, end, &progress(0, 0), START), None);
    assert_eq!(due(None, end, &progress(0, 0), end - days(550)), None);
    assert_eq!(due(None, end, &progress(0, 0), end - days(547)), Some(Step::Begin));
    assert_eq!(due(None, end, &progress(0, 0), end + days(9)), Some(Step::Begin), "the Console was off");
}

#[test]
fn one_that_began_by_itself_goes_on_by_itself_when_everybody_is_there() {
    let end = START + days(500);
    let at = |stage, progress: Progress, day| due(phase(stage, true), end, &progress, START + days(day));
    assert_eq!(at(Stage::Trust, progress(3, 0), 6), None);
    assert_eq!(at(Stage::Trust, progress(3, 0), 7), Some(Step::Sign));
    assert_eq!(at(Stage::Trust, progress(2, 0), 29), None);
    assert_eq!(at(Stage::Trust, progress(2, 0), 30), Some(Step::Sign));
    assert_eq!(at(Stage::Sign, progress(3, 3), 6), None);
    assert_eq!(at(Stage::Sign, progress(3, 3), 7), Some(Step::Retire(Vec::new())));
    assert_eq!(at(Stage::Sign, progress(3, 2), 400), None, "nobody is left behind unasked");
}

#[test]
fn one_that_a_person_began_waits_for_that_person() {
    for (stage, progress) in [(Stage::Trust, progress(3, 0)), (Stage::Sign, progress(3, 3))] {
        assert_eq!(due(phase(stage, false), START + days(490), &progress, START + days(400)), None);
    }
    let late = due(phase(Stage::Trust, false), START + days(490), &progress(3, 0), START + days(401));
    assert_eq!(late, Some(Step::Sign), "but not until the CA has ended");
}
