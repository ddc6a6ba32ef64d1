//! Tests of `state.rs`: the table of `docs/authority.md`, and any sequence of events.

use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const START: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn at(days: i64) -> OffsetDateTime {
    START + Duration::days(days)
}

fn own(number: u128, issued: OffsetDateTime) -> Credential {
    Credential { mark: Mark::Own(id(number)), not_before: issued, not_after: issued + Duration::days(30) }
}

fn registration(number: u128) -> Credential {
    Credential { mark: Mark::Registration(id(number)), not_before: START, not_after: at(365) }
}

fn known(number: u128, max_uses: Option<u64>) -> Registration {
    Registration {
        id: id(number),
        created_by: "admin".to_owned(),
        created_at: START,
        expires_at: at(365),
        max_uses,
        revoked_at: None,
        sha256: "00".repeat(32),
        uses: BTreeMap::new(),
    }
}

/// Enrols with `credential`, and uses what was issued.
fn enrol(state: &mut State, credential: &Credential, number: u128, now: OffsetDateTime) {
    state.enrol(credential, id(number), ADDRESS, now).expect("enrols");
    let own = own(number, now);
    state.admit(&own, id(number), now).expect("its own");
    state.see(&own, id(number));
}

#[test]
fn a_registration_speaks_for_whoever_has_nothing_better_for_as_long_as_it_likes() {
    let mut state = State::default();
    for day in 0..300 {
        state.admit(&registration(1), id(7), at(day)).expect("served");
        state.see(&registration(1), id(7));
    }
    enrol(&mut state, &registration(1), 7, at(300));
    let settling = at(300) + Duration::minutes(59);
    state.admit(&registration(1), id(7), settling).expect("it may have lost what it was given");
    state.admit(&registration(2), id(7), settling).expect("set up by hand with another bundle");
    assert_eq!(state.admit(&registration(1), id(7), at(301)), Err(Refused::HasItsOwn));
}

#[test]
fn a_certificate_that_was_issued_and_never_seen_leaves_the_registration_as_it_was() {
    let mut state = State::default();
    state.enrol(&registration(1), id(7), ADDRESS, at(0)).expect("enrols");
    state.admit(&registration(1), id(7), at(100)).expect("the answer was lost");
}

#[test]
fn the_certificate_before_is_taken_until_the_next_one_was_seen() {
    let mut state = State::default();
    enrol(&mut state, &registration(1), 7, at(0));
    let (first, second) = (own(7, at(0)), own(7, at(15)));
    state.enrol(&first, id(7), ADDRESS, at(15)).expect("renews");
    state.admit(&first, id(7), at(16)).expect("the next one was not seen");
    assert!(state.see(&second, id(7)) && !state.see(&second, id(7)));
    assert_eq!(state.admit(&first, id(7), at(16)), Err(Refused::Superseded));
    assert_eq!(state.enrol(&first, id(7), ADDRESS, at(16)), Err(Refused::Superseded));
    assert_eq!(state.admit(&second, id(8), at(16)), Err(Refused::Another));
}

#[test]
fn a_console_restored_from_an_old_backup_learns_what_it_has_forgotten() {
    let mut state = State::default();
    enrol(&mut state, &registration(1), 7, at(0));
    state.admit(&own(7, at(15)), id(7), at(20)).expect("newer than any it knows");
    state.see(&own(7, at(15)), id(7));
    state.admit(&own(9, at(3)), id(9), at(20)).expect("a Defender that it does not know");
    state.see(&own(9, at(3)), id(9));
    assert_eq!(state.admit(&registration(1), id(9), at(20)), Err(Refused::HasItsOwn));
}

#[test]
fn a_registration_enrols_as_many_as_it_may_and_each_of_them_again() {
    let mut state = State::default();
    state.registrations.insert(id(1), known(1, Some(2)));
    let mut enrol = |number| state.enrol(&registration(1), id(number), ADDRESS, at(0));
    assert_eq!((enrol(7), enrol(8), enrol(7)), (Ok(true), Ok(true), Ok(false)));
    assert_eq!(enrol(9), Err(Refused::UsedUp));
    assert_eq!(state.registrations[&id(1)].uses.keys().copied().collect::<Vec<_>>(), [id(7), id(8)]);
    state.registrations.get_mut(&id(1)).expect("known").revoked_at = Some(at(1));
    for number in [7, 8, 9] {
        assert_eq!(state.admit(&registration(1), id(number), at(1)), Err(Refused::Revoked));
    }
}

#[test]
fn every_refusal_has_a_code_and_fits_a_close_frame() {
    use Refused::{Another, HasItsOwn, Revoked, Superseded, UsedUp};
    for (refused, code) in
        [(Another, 4001), (HasItsOwn, 4001), (Superseded, 4001), (Revoked, 4011), (UsedUp, 4011)]
    {
        assert_eq!(refused.close().code(), code);
        assert!(refused.to_string().len() <= 123);
    }
}

/// A host: what is on its disk.
#[derive(Debug, Clone, Default)]
struct Host {
    own: Option<Credential>,
    /// Issued, and lost on the way or in a crash before it was on disk.
    lost: u32,
}

#[derive(Debug, Clone)]
enum Happening {
    /// Days pass.
    Pass(i64),
    /// A host connects, and renews if half its certificate's life has passed.
    Connect(usize),
    /// The same, and the answer never reaches its disk.
    ConnectInVain(usize),
    /// A thief who has the registration tries to speak for a host.
    Steal(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..14_i64).prop_map(Happening::Pass),
        (0..4_usize).prop_map(Happening::Connect),
        (0..4_usize).prop_map(Happening::ConnectInVain),
        (0..4_usize).prop_map(Happening::Steal),
    ]
}

fn number(at: usize) -> u128 {
    u128::try_from(at).expect("small")
}

/// What a Defender does when it connects; whether it is served.
fn connect(state: &mut State, host: &mut Host, number: u128, now: OffsetDateTime, arrives: bool) -> bool {
    let shown = host.own.clone().unwrap_or_else(|| registration(1));
    if state.admit(&shown, id(number), now).is_err() {
        return false;
    }
    state.see(&shown, id(number));
    let is_due = host.own.as_ref().is_none_or(|own| now >= own.not_before + Duration::days(15));
    if is_due && state.enrol(&shown, id(number), ADDRESS, now).is_ok() {
        if arrives {
            let new = own(number, now);
            host.own = Some(new.clone());
            assert_eq!(state.admit(&new, id(number), now), Ok(()), "what was just issued is good");
            state.see(&new, id(number));
        } else {
            host.lost += 1;
        }
    }
    true
}

proptest! {
    #[test]
    fn no_host_is_lost_and_no_thief_speaks_for_one_that_has_its_own(
        happenings in prop::collection::vec(happening(), 1..400)
    ) {
        let (mut state, mut now) = (State::default(), START);
        state.registrations.insert(id(1), known(1, None));
        let mut hosts = vec![Host::default(); 4];
        for happening in happenings {
            match happening {
                Happening::Pass(days) => now += Duration::days(days),
                Happening::Connect(at) => {
                    prop_assert!(connect(&mut state, &mut hosts[at], number(at), now, true));
                }
                Happening::ConnectInVain(at) => {
                    prop_assert!(connect(&mut state, &mut hosts[at], number(at), now, false));
                }
                Happening::Steal(at) => {
                    let enrolled = state.enrolled.get(&id(number(at)));
                    let is_safe = enrolled.is_some_and(|one| one.own.is_some() && now - one.at >= SETTLING);
                    let served = state.admit(&registration(1), id(number(at)), now).is_ok();
                    prop_assert!(!(is_safe && served));
                }
            }
        }
    }
}
