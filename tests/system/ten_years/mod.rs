//! Years of a fleet in seconds: the real rules, schedules, stores and certificates, judged by the real verifiers, at
//! times that are arguments.
//!
//! ```text
//! console.rs   the Console without its sockets and clocks
//! host.rs      a Defender without its sockets and clocks
//! tls.rs       a handshake in memory, each side with its own time
//! world.rs     all of them, and the time that passes
//! ```
//!
//! The invariant: no Defender that follows the policy is ever lost, and none that was decommissioned ever returns.

mod console;
mod host;
mod tls;
mod world;

use ::console::authority::Step;
use ::console::enroll::Lives;
use proptest::prelude::*;
use proptest::test_runner::Config;
use time::Duration as Days;

use world::{DAY, World};

/// Something that happens to the fleet.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Begin,
    BundleForDays(u32),
    /// The clock of a host goes wrong by so many hours, or right by 0.
    ClockOf(usize, i64),
    ConsoleCrashes,
    ConsoleIsOffForDays(u32),
    Decommission(usize),
    Join(usize),
    Leave(usize),
    Restart(usize),
    Retire,
    RetireNamingAll,
    Return(usize),
    RollBack,
    Sign,
}

use Happening::*;

impl World {
    async fn undergo(&mut self, happening: Happening) {
        let (now, count) = (self.now(), self.hosts.len().max(1));
        match happening {
            Begin => drop(self.step(Step::Begin).await),
            BundleForDays(days) => self.bundle(DAY * days).await,
            ClockOf(which, hours) => {
                let host = self.hosts.get_mut(which % count);
                host.into_iter().for_each(|host| host.skew = Days::hours(hours));
            }
            ConsoleCrashes => self.crash().await,
            ConsoleIsOffForDays(days) => {
                self.stop_console().await;
                self.pass(Days::days(days.into())).await;
                self.start_console().await;
            }
            Decommission(which) => self.decommission(which).await,
            Join(which) => self.join(which).await,
            Leave(which) => {
                let console = self.console.as_ref();
                let host = self.hosts.get_mut(which % count);
                host.into_iter().for_each(|host| host.stop(console, now));
            }
            Restart(which) => {
                let console = self.console.as_ref();
                let host = self.hosts.get_mut(which % count).filter(|host| host.is_up);
                host.into_iter().for_each(|host| {
                    host.stop(console, now);
                    host.start(now);
                });
            }
            Retire => drop(self.step(Step::Retire(Vec::new())).await),
            RetireNamingAll => {
                let behind = self.console.as_ref().map(console::Console::behind).unwrap_or_default();
                self.step(Step::Retire(behind)).await;
            }
            Return(which) => {
                let host = self.hosts.get_mut(which % count).filter(|host| !host.is_up);
                host.into_iter().for_each(|host| host.start(now));
            }
            RollBack => drop(self.step(Step::RollBack).await),
            Sign => drop(self.step(Step::Sign).await),
        }
        self.act().await;
    }

    /// Every clock is right again, every host and the Console are up.
    async fn settle(&mut self) {
        let now = self.now();
        self.start_console().await;
        for host in &mut self.hosts {
            host.skew = Days::ZERO;
            if !host.is_up {
                host.start(now);
            }
        }
        for _ in 0..4 {
            self.pass(Days::hours(7)).await;
        }
        self.assert_all_are_there();
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    let which = 0..4_usize;
    let hours = prop_oneof![
        6 => prop::sample::select(vec![-24, -1, 0, 1, 24]),
        1 => prop::sample::select(vec![-50 * 365 * 24, -90 * 24, 400 * 24, 20 * 365 * 24]),
    ];
    prop_oneof![
        3 => Just(Begin),
        2 => prop::sample::select(vec![1, 365, 730]).prop_map(BundleForDays),
        2 => (which.clone(), hours).prop_map(|(which, hours)| ClockOf(which, hours)),
        3 => Just(ConsoleCrashes),
        1 => prop::sample::select(vec![1, 40, 400, 1200]).prop_map(ConsoleIsOffForDays),
        1 => which.clone().prop_map(Decommission),
        4 => which.clone().prop_map(Join),
        3 => which.clone().prop_map(Leave),
        1 => which.clone().prop_map(Restart),
        2 => Just(Retire),
        2 => Just(RetireNamingAll),
        3 => which.prop_map(Return),
        2 => Just(RollBack),
        4 => Just(Sign),
    ]
}

/// What happens, each so many days after the one before.
fn schedule() -> impl Strategy<Value = Vec<(u32, Happening)>> {
    let days = prop_oneof![3 => Just(0), 3 => 1..10_u32, 2 => 10..100_u32, 1 => 100..500_u32];
    prop::collection::vec((days, happening()), 1..24)
}

/// Seconds of them, or as many as `PROPTEST_CASES` says.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Thirty days, as in the program unless told otherwise.
const LIVES: Lives = Lives { own: DAY.saturating_mul(30), return_within: DAY.saturating_mul(30) };

proptest! {
    #![proptest_config(Config { cases: cases(), failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_defender_is_ever_lost_and_none_that_was_decommissioned_returns(
        life in prop::sample::select(vec![30_u32, 180, 730]),
        schedule in schedule(),
    ) {
        runtime().block_on(async {
            let mut world = World::new(Lives { own: DAY * life, ..LIVES }).await;
            world.undergo(Join(0)).await;
            for (days, happening) in schedule {
                world.pass(Days::days(days.into())).await;
                world.undergo(happening).await;
            }
            world.settle().await;
        });
    }
}

/// What happens one day after the other, and then everybody is there.
fn story(lives: Lives, happenings: &[Happening]) {
    runtime().block_on(async {
        let mut world = World::new(lives).await;
        for happening in happenings {
            world.undergo(*happening).await;
            world.pass(Days::DAY).await;
        }
        world.settle().await;
    });
}

#[test]
fn who_was_away_when_a_rotation_was_given_up_comes_back_with_what_the_next_ca_had_signed() {
    story(LIVES, &[Join(0), Join(0), Begin, Sign, Leave(1), RollBack, RollBack, Begin, Sign, Return(1)]);
}

#[test]
fn a_clock_that_is_a_day_behind_cuts_nobody_off_from_a_new_certificate_of_the_console() {
    story(LIVES, &[Join(0), ClockOf(0, -24), Begin, Sign, Retire, ConsoleIsOffForDays(400), Begin]);
}

#[test]
fn a_bundle_of_an_earlier_ca_enrols_in_every_stage() {
    let joins =
        [Begin, Join(0), Sign, Join(0), RetireNamingAll, Join(0), Begin, Sign, RetireNamingAll, Join(0)];
    let mut happenings = vec![BundleForDays(365)];
    happenings.extend(joins);
    story(LIVES, &happenings);
}

#[test]
fn a_bundle_enrols_for_as_long_as_was_asked_for_also_when_its_ca_has_ended() {
    runtime().block_on(async {
        let mut world = World::new(LIVES).await;
        world.undergo(Join(0)).await;
        world.pass(Days::days(500)).await;
        world.undergo(BundleForDays(730)).await;
        world.pass(Days::days(729)).await;
        assert!(world.cas.len() >= 2, "the next CA signs");
        world.undergo(Join(0)).await;
        world.settle().await;
    });
}

#[test]
fn a_rotation_that_was_begun_by_hand_and_forgotten_goes_on_before_the_ca_ends() {
    runtime().block_on(async {
        let mut world = World::new(LIVES).await;
        for happening in [Join(0), ClockOf(0, 24), Begin] {
            world.undergo(happening).await;
        }
        world.pass(Days::days(3 * 365)).await;
        assert!(world.cas.len() >= 2, "the next CA signs");
        assert!(
            world.certificates.len() < 120,
            "not renewed more and more often: {}",
            world.certificates.len()
        );
        world.settle().await;
    });
}

#[test]
fn ten_years_of_renewals_and_automatic_rotations_lose_nobody() {
    runtime().block_on(async {
        let mut world = World::new(LIVES).await;
        for _ in 0..3 {
            world.undergo(Join(0)).await;
        }
        // One is away for years at a time, one is decommissioned.
        for year in 0..10 {
            world.undergo(if year % 3 == 1 { Leave(1) } else { Return(1) }).await;
            if year == 5 {
                world.undergo(Decommission(2)).await;
            }
            world.pass(Days::days(365)).await;
        }
        world.settle().await;
        assert!(world.cas.len() >= 3, "generations: {:?}", world.cas);
        assert!(world.certificates.len() > 400, "renewals: {}", world.certificates.len());
    });
}
