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

fn own(number: u128, issued: OffsetDateTime) -> ClientCredential {
    credential(Mark::Own(id(number)), issued, issued + Duration::days(30))
}

fn registration(number: u128) -> ClientCredential {
    credential(Mark::Registration(id(number)), START, at(365))
}

fn credential(mark: Mark, not_before: OffsetDateTime, not_after: OffsetDateTime) -> ClientCredential {
    ClientCredential { mark, not_before, not_after, issuer: "CN=present".to_owned(), sha256: "00".repeat(32) }
}

fn rules() -> Rules {
    Rules { issuers: vec!["CN=present".to_owned()], return_within: Duration::days(30) }
}

impl State {
    fn admits(&self, credential: &ClientCredential, id: Uuid, now: OffsetDateTime) -> Result<(), Refused> {
        self.admit(credential, id, &rules(), now)
    }

    fn sees(&mut self, credential: &ClientCredential, id: Uuid) -> bool {
        self.see(credential, id, &[])
    }

    fn enrols(
        &mut self,
        credential: &ClientCredential,
        id: Uuid,
        now: OffsetDateTime,
    ) -> Result<bool, Refused> {
        self.enrol(credential, id, ADDRESS, &rules(), now)
    }
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
fn enrol(state: &mut State, credential: &ClientCredential, number: u128, now: OffsetDateTime) {
    state.enrols(credential, id(number), now).expect("enrols");
    let own = own(number, now);
    state.admits(&own, id(number), now).expect("its own");
    state.sees(&own, id(number));
}

#[test]
fn a_registration_speaks_for_whoever_has_nothing_better_for_as_long_as_it_likes() {
    let mut state = State::default();
    for day in 0..300 {
        state.admits(&registration(1), id(7), at(day)).expect("served");
        state.sees(&registration(1), id(7));
    }
    enrol(&mut state, &registration(1), 7, at(300));
    let settling = at(300) + Duration::minutes(59);
    state.admits(&registration(1), id(7), settling).expect("it may have lost what it was given");
    state.admits(&registration(2), id(7), settling).expect("set up by hand with another bundle");
    assert_eq!(state.admits(&registration(1), id(7), at(301)), Err(Refused::HasItsOwn));
}

#[test]
fn a_certificate_that_was_issued_and_never_seen_leaves_the_registration_as_it_was() {
    let mut state = State::default();
    state.enrols(&registration(1), id(7), at(0)).expect("enrols");
    state.admits(&registration(1), id(7), at(100)).expect("the answer was lost");
}

#[test]
fn the_certificate_before_is_taken_until_the_next_one_was_seen() {
    let mut state = State::default();
    enrol(&mut state, &registration(1), 7, at(0));
    let (first, second) = (own(7, at(0)), own(7, at(15)));
    state.enrols(&first, id(7), at(15)).expect("renews");
    state.admits(&first, id(7), at(16)).expect("the next one was not seen");
    assert!(state.sees(&second, id(7)) && !state.sees(&second, id(7)));
    assert_eq!(state.admits(&first, id(7), at(16)), Err(Refused::Superseded));
    assert_eq!(state.enrols(&first, id(7), at(16)), Err(Refused::Superseded));
    assert_eq!(state.admits(&second, id(8), at(16)), Err(Refused::Another));
}

#[test]
fn a_console_restored_from_an_old_backup_learns_what_it_has_forgotten() {
    let mut state = State::default();
    enrol(&mut state, &registration(1), 7, at(0));
    state.admits(&own(7, at(15)), id(7), at(20)).expect("newer than any it knows");
    state.sees(&own(7, at(15)), id(7));
    state.admits(&own(9, at(3)), id(9), at(20)).expect("a Defender that it does not know");
    state.sees(&own(9, at(3)), id(9));
    assert_eq!(state.admits(&registration(1), id(9), at(20)), Err(Refused::HasItsOwn));
}

#[test]
fn a_registration_enrols_as_many_as_it_may_and_each_of_them_again() {
    let mut state = State::default();
    state.registrations.insert(id(1), known(1, Some(2)));
    let mut enrol = |number| state.enrols(&registration(1), id(number), at(0));
    assert_eq!((enrol(7), enrol(8), enrol(7)), (Ok(true), Ok(true), Ok(false)));
    assert_eq!(enrol(9), Err(Refused::UsedUp));
    assert_eq!(state.registrations[&id(1)].uses.keys().copied().collect::<Vec<_>>(), [id(7), id(8)]);
    state.registrations.get_mut(&id(1)).expect("known").revoked_at = Some(at(1));
    for number in [7, 8, 9] {
        assert_eq!(state.admits(&registration(1), id(number), at(1)), Err(Refused::Revoked));
    }
}

#[test]
fn who_was_away_for_a_while_comes_back_by_itself_and_after_that_with_an_approval() {
    let mut state = State::default();
    enrol(&mut state, &registration(1), 7, at(0));
    let expired = own(7, at(0));
    state.admits(&expired, id(7), at(60)).expect("30 days after its end");
    assert_eq!(state.admits(&expired, id(7), at(61)), Err(Refused::NeedsApproval));
    assert_eq!(state.admits(&registration(1), id(7), at(61)), Err(Refused::HasItsOwn));
    state.enrolled.get_mut(&id(7)).expect("known").approved_until = Some(at(62));
    for shown in [&expired, &registration(1)] {
        state.admits(shown, id(7), at(61)).expect("approved");
        assert!(state.admits(shown, id(7), at(62)).is_err(), "for a while");
    }
    assert_eq!(state.admits(&own(8, at(0)), id(7), at(61)), Err(Refused::Another));
    assert!(state.sees(&own(7, at(61)), id(7)));
    assert_eq!(state.admits(&expired, id(7), at(61)), Err(Refused::Superseded), "an approval is used up");
}

#[test]
fn of_a_retired_authority_only_known_registrations_and_proved_keys_count() {
    let mut state = State::default();
    let retired =
        |credential: ClientCredential| ClientCredential { issuer: "CN=retired".to_owned(), ..credential };
    assert_eq!(state.admits(&retired(registration(1)), id(7), at(0)), Err(Refused::Retired));
    state.registrations.insert(id(1), known(1, None));
    state.admits(&retired(registration(1)), id(7), at(0)).expect("issued by this Console");
    let forged = ClientCredential { sha256: "11".repeat(32), ..retired(registration(1)) };
    assert_eq!(state.admits(&forged, id(7), at(0)), Err(Refused::Retired));
    state.admits(&retired(own(7, at(0))), id(7), at(40)).expect("it has the key");
}

#[test]
fn every_refusal_has_a_code_and_fits_a_close_frame() {
    use Refused::{Another, HasItsOwn, NeedsApproval, Retired, Revoked, Superseded, UsedUp};
    for (refused, code) in [
        (Another, 4001),
        (HasItsOwn, 4001),
        (Superseded, 4001),
        (Revoked, 4011),
        (Retired, 4011),
        (NeedsApproval, 4012),
        (UsedUp, 4011),
    ] {
        assert_eq!(refused.close().code(), code);
        assert!(refused.to_string().len() <= 123);
    }
}

/// A host: what is on its disk.
#[derive(Debug, Clone, Default)]
struct Host {
    own: Option<ClientCredential>,
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
    if state.admits(&shown, id(number), now) == Err(Refused::NeedsApproval) {
        let enrolled = state.enrolled.get_mut(&id(number)).expect("it had one");
        enrolled.approved_until = Some(now + Duration::DAY);
    }
    if state.admits(&shown, id(number), now).is_err() {
        return false;
    }
    state.sees(&shown, id(number));
    let is_due = host.own.as_ref().is_none_or(|own| now >= own.not_before + Duration::days(15));
    if is_due && state.enrols(&shown, id(number), now).is_ok() {
        if arrives {
            let new = own(number, now);
            host.own = Some(new.clone());
            assert_eq!(state.admits(&new, id(number), now), Ok(()), "what was just issued is good");
            state.sees(&new, id(number));
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
                    let is_safe = enrolled.is_some_and(|one| {
                        let is_approved = one.approved_until.is_some_and(|until| now < until);
                        one.own.is_some() && now - one.at >= SETTLING && !is_approved
                    });
                    let served = state.admits(&registration(1), id(number(at)), now).is_ok();
                    prop_assert!(!(is_safe && served));
                }
            }
        }
    }
}
