//! Any sequence of writes, removals and renames, with and without events, ends in the last complete good set, and
//! nothing but a whole set is ever published.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use testpki::{Ca, Pair, Writing};

use super::*;
use crate::settle::{Settle, Settled, Timing};

/// Whole sets of a channel with three files, each from a CA of its own.
static SETS: LazyLock<Vec<(String, Pair)>> = LazyLock::new(|| {
    let set = |number: usize| {
        let ca = Ca::new("CA");
        (ca.pem().to_owned(), ca.issue(&Leaf::client(&format!("set-{number}"))))
    };
    (0..3).map(set).collect()
});

const FILES: [&str; 3] = ["defender-ca.pem", "defender-client-cert.pem", "defender-client-key.pem"];

/// What somebody does to one file.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Cut { set: usize, file: usize, at: usize },
    Put { set: usize, file: usize, writing: Writing },
    Remove { file: usize },
    Swap { one: usize, other: usize },
}

/// A deed, how long after the one before, and whether it raises an event.
#[derive(Debug, Clone, Copy)]
struct Step {
    deed: Deed,
    after: Duration,
    is_heard: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let writing = prop_oneof![Just(Writing::Atomic), Just(Writing::InPlace)];
    let deed = prop_oneof![
        6 => (0..3_usize, 0..3_usize, writing).prop_map(|(set, file, writing)| Deed::Put { set, file, writing }),
        2 => (0..3_usize, 0..3_usize, 0..600_usize).prop_map(|(set, file, at)| Deed::Cut { set, file, at }),
        1 => (0..3_usize).prop_map(|file| Deed::Remove { file }),
        1 => (0..3_usize, 0..3_usize).prop_map(|(one, other)| Deed::Swap { one, other }),
    ];
    // Together shorter than the hold: a set that stays mixed for longer is taken, by design.
    let step = (deed, 0..200_u64, any::<bool>()).prop_map(|(deed, after, is_heard)| Step {
        deed,
        after: Duration::from_millis(after),
        is_heard,
    });
    proptest::collection::vec(step, 0..12)
}

fn content(set: usize, file: usize) -> &'static str {
    let (ca, pair) = &SETS[set];
    [ca, &pair.cert_pem, &pair.key_pem][file]
}

fn act(folder: &Folder, deed: Deed) {
    match deed {
        Deed::Cut { set, file, at } => {
            let text = content(set, file);
            folder.put(FILES[file], &text[..at.min(text.len())]);
        }
        Deed::Put { set, file, writing } => {
            testpki::put(folder.path(), FILES[file], content(set, file), writing)
        }
        Deed::Remove { file } => drop(std::fs::remove_file(folder.at(FILES[file]))),
        Deed::Swap { one, other } => drop(std::fs::rename(folder.at(FILES[one]), folder.at(FILES[other]))),
    }
}

/// The loop of `rotate.rs` on a clock of the test's own.
struct Clockwork {
    bench: Bench,
    settle: Settle,
    published: BTreeSet<Parts>,
}

impl Clockwork {
    fn new() -> Self {
        let bench = Bench::start(Channel::Defender, Folder::new());
        let timing = Timing::polling(Duration::from_secs(1));
        let settle = Settle::new(timing, bench.now);
        Self { bench, settle, published: BTreeSet::new() }
    }

    /// Looks whenever a look is due before `end`.
    fn run_until(&mut self, end: Instant) {
        while self.settle.next_look() <= end {
            self.bench.now = self.bench.now.max(self.settle.next_look());
            let now = self.bench.now;
            let look = Look::take(Channel::Defender, self.bench.folder.path());
            match self.settle.looked(now, look.fingerprint(), self.bench.judge.judged(), false) {
                Settled::NotYet => {}
                Settled::Unchanged => self.bench.judge.forget_held(),
                Settled::Changed => {
                    match self.bench.judge.judge(look, now, HOLD, OffsetDateTime::now_utc()) {
                        Judgement::Done(_) => {}
                        Judgement::Hold(until) => self.settle.look_by(until),
                    }
                }
            }
            let live = self.bench.subscriber.current();
            if live.source == Source::Custom {
                self.published.insert(parts(&live.material));
            }
        }
        self.bench.now = end;
    }

    fn step(&mut self, step: Step) {
        self.run_until(self.bench.now + step.after);
        act(&self.bench.folder, step.deed);
        if step.is_heard {
            self.settle.event(self.bench.now);
        }
    }
}

/// Leaf and CAs by their SHA-256: what may be mixed. Of a key that does not belong to its leaf no set is made, and one
/// that was cut behind its last line is whole.
type Parts = (String, Vec<String>);

fn parts(material: &Material) -> Parts {
    (material.leaf().sha256.clone(), material.ca_sha256s())
}

/// Those of the whole sets.
static WHOLE: LazyLock<Vec<Parts>> = LazyLock::new(|| {
    let of = |set: usize| {
        let folder = Folder::new();
        for (file, name) in FILES.iter().enumerate() {
            folder.put(name, content(set, file));
        }
        parts(&folder.parse(Channel::Defender).expect("usable"))
    };
    (0..3).map(of).collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn ends_in_the_last_complete_good_set_and_never_publishes_a_mixed_one(
        steps in steps(),
        last in 0..3_usize,
        order in Just([0, 1, 2_usize]).prop_shuffle(),
        is_heard: bool,
    ) {
        let mut clockwork = Clockwork::new();
        for step in steps {
            clockwork.step(step);
        }
        for file in order {
            let deed = Deed::Put { set: last, file, writing: Writing::InPlace };
            clockwork.step(Step { deed, after: Duration::from_millis(50), is_heard });
        }
        let end = clockwork.bench.now + Duration::from_secs(10);
        clockwork.run_until(end);
        let live = clockwork.bench.subscriber.current();
        prop_assert_eq!(&live.material.leaf().subject, &format!("CN=set-{last}"));
        prop_assert_eq!(&parts(&live.material), &WHOLE[last]);
        prop_assert_eq!(clockwork.bench.subscriber.last_error(), None);
        let mixed = clockwork.published.iter().find(|one| !WHOLE.contains(one));
        prop_assert_eq!(mixed, None);
    }
}
