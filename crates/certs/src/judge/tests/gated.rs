//! A good set before a gate.

use super::*;
use crate::gate::{Gatekeeper, Objection, Permit, gate};

const ROTATED: &str = "INFO Console WebSocket custom certificates rotated, restarting listener";
const REFUSED: &str = "ERROR Failed to load console defender server custom certificates: ";

fn bench() -> (Bench, Gatekeeper) {
    let mut bench = Bench::start(Channel::ConsoleDefender, Folder::good().0);
    let (gate, keeper) = gate();
    bench.judge.set_gate(gate);
    bench.lines();
    (bench, keeper)
}

fn objection(cause: &str) -> Objection {
    Objection { cause: cause.to_owned(), remedy: "copy files to it".to_owned() }
}

impl Bench {
    /// Another good set; what comes of it at once.
    fn change(&mut self) -> Option<Judgement> {
        let (other, _) = Folder::good();
        for name in ["defender-ca.pem", "defender-server-cert.pem", "defender-server-key.pem"] {
            self.folder.put(name, other.text(name));
        }
        self.look()
    }

    fn knock_after(&mut self, seconds: u64) -> Option<Outcome> {
        self.now += Duration::from_secs(seconds);
        self.judge.knock(self.now, OffsetDateTime::now_utc())
    }

    fn told(&self) -> Option<String> {
        self.subscriber.last_error()
    }
}

#[test]
fn a_set_waits_for_the_answer_and_goes_live_with_it() {
    let (mut bench, keeper) = bench();
    assert!(matches!(bench.change(), Some(Judgement::Done(None))));
    let offered = keeper.offered().expect("a set waits");
    assert_eq!((bench.generation(), bench.lines().len()), (1, 0));
    assert!(bench.knock_after(60).is_none(), "however long: nobody has answered");
    assert!(bench.look().is_none(), "the same files are not judged again");
    keeper.answer(offered.fingerprint(), Permit::Granted);
    assert!(matches!(bench.knock_after(0), Some(Outcome::Rotated { generation: 2, .. })));
    assert!(keeper.offered().is_none());
    assert_eq!(bench.lines(), [ROTATED]);
}

#[test]
fn an_objection_is_told_once_after_some_quiet_and_taken_back_when_it_is_over() {
    let (mut bench, keeper) = bench();
    bench.change();
    let set = keeper.offered().expect("a set waits").fingerprint();
    keeper.answer(set, Permit::Held(objection("2 would be lost")));
    assert!(bench.knock_after(4).is_none() && bench.told().is_none(), "quiet");
    assert!(
        matches!(bench.knock_after(2), Some(Outcome::Refused { error, .. }) if error == "2 would be lost")
    );
    assert_eq!(bench.lines(), [format!("{REFUSED}2 would be lost")]);
    keeper.answer(set, Permit::Held(objection("1 would be lost")));
    assert!(bench.knock_after(60).is_none());
    assert_eq!((bench.told().as_deref(), bench.lines().len()), (Some("1 would be lost"), 0));
    assert!(bench.judge.knock_at().is_none(), "nothing is due by itself");
    keeper.answer(set, Permit::Granted);
    assert!(matches!(bench.knock_after(0), Some(Outcome::Rotated { .. })));
    assert_eq!((bench.told(), bench.lines()), (None, vec![ROTATED.to_owned()]));
}

#[test]
fn an_objection_that_is_over_within_the_quiet_is_never_told() {
    let (mut bench, keeper) = bench();
    bench.change();
    let set = keeper.offered().expect("a set waits").fingerprint();
    keeper.answer(set, Permit::Held(objection("1 would be lost")));
    bench.knock_after(2);
    keeper.answer(set, Permit::Granted);
    assert!(matches!(bench.knock_after(1), Some(Outcome::Rotated { .. })));
    assert_eq!(bench.lines(), [ROTATED]);
}

#[test]
fn with_a_warning_it_goes_live_after_the_quiet() {
    let (mut bench, keeper) = bench();
    bench.change();
    let set = keeper.offered().expect("a set waits").fingerprint();
    keeper.answer(set, Permit::Warned(objection("1 would be lost")));
    assert!(bench.knock_after(4).is_none());
    assert!(matches!(bench.knock_after(2), Some(Outcome::Rotated { .. })));
    let warning = "WARN Taking console defender server custom certificates although 1 would be lost";
    assert_eq!(bench.lines(), [warning, ROTATED]);
}

#[test]
fn other_files_take_the_place_of_the_set_that_waits_and_of_what_was_told_of_it() {
    let (mut bench, keeper) = bench();
    bench.change();
    let first = keeper.offered().expect("a set waits").fingerprint();
    keeper.answer(first, Permit::Held(objection("1 would be lost")));
    bench.knock_after(6);
    bench.lines();
    bench.change();
    let second = keeper.offered().expect("another one waits").fingerprint();
    assert!(first != second && bench.told().is_none());
    assert!(bench.knock_after(6).is_none(), "the answer was about the other one");
    keeper.answer(second, Permit::Held(objection("1 would be lost")));
    assert!(matches!(bench.knock_after(0), Some(Outcome::Refused { .. })));
    assert_eq!(bench.lines().len(), 1, "told again, of another set");
    std::fs::remove_file(bench.folder.at("defender-server-key.pem")).expect("there");
    bench.look();
    assert!(keeper.offered().is_none() && bench.told().is_none());
    keeper.answer(second, Permit::Granted);
    assert!(bench.knock_after(6).is_none());
    assert_eq!(bench.generation(), 1);
}

#[test]
fn where_nobody_decides_any_more_everything_passes() {
    let (mut bench, keeper) = bench();
    drop(keeper);
    assert!(matches!(bench.change(), Some(Judgement::Done(Some(Outcome::Rotated { .. })))));
}
