//! Tests of `registry.rs`: the newest connection wins, and nobody is counted twice.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use time::Duration;

use super::*;
use crate::fleet::fixture::hello;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn arrive(registry: &mut Registry, id: u128) -> Arrival {
    registry.arrive(&hello(Uuid::from_u128(id)), ADDRESS, OffsetDateTime::UNIX_EPOCH).expect("welcome")
}

#[test]
fn a_newer_connection_takes_over_and_the_older_one_leaves_without_a_trace() {
    let mut registry = Registry::default();
    let first = arrive(&mut registry, 1);
    let second = arrive(&mut registry, 1);
    assert_eq!(second.superseded.map(|older| older.number()), Some(first.session.number()));
    assert!(registry.leave(&first.session).is_none());
    assert_eq!(registry.connected(), 1);
    assert!(registry.leave(&second.session).is_some());
    assert_eq!(registry.connected(), 0);
}

#[test]
fn a_new_connection_goes_on_where_the_reports_on_disk_end() {
    let mut registry = Registry::default();
    let first = arrive(&mut registry, 1);
    first.session.store_up_to(41);
    let second = arrive(&mut registry, 1);
    assert_eq!(second.session.stored(), 41);
    second.session.store_up_to(42);
    registry.leave(&second.session).expect("the live one");
    assert_eq!(arrive(&mut registry, 1).session.stored(), 42);
}

#[test]
fn a_decommissioned_defender_is_refused_and_no_longer_listed() {
    let mut registry = Registry::default();
    let arrival = arrive(&mut registry, 1);
    let id = arrival.row.record.defender.id;
    let now = OffsetDateTime::UNIX_EPOCH + Duration::DAY;
    let (row, session) = registry.decommission(id, now).expect("known");
    assert!(!row.is_connected());
    assert_eq!(session.map(|(session, _)| session.number()), Some(arrival.session.number()));
    assert!(registry.decommission(id, now).is_none());
    assert!(registry.is_decommissioned(id), "also before the next start");
    assert!(registry.get(id).is_none() && registry.live().next().is_none());
    for _ in 0..2 {
        let refused = registry.arrive(&hello(id), ADDRESS, now).expect_err("refused");
        assert_eq!(refused, Close::Decommissioned);
    }
    assert_eq!(registry.connected(), 0);
}

proptest! {
    #[test]
    fn the_count_of_connected_is_always_the_number_of_sessions(
        steps in proptest::collection::vec((0_u8..3, 0_u128..4), 0..60)
    ) {
        let mut registry = Registry::default();
        let mut sessions: Vec<Arc<SessionHandle>> = Vec::new();
        for (step, who) in steps {
            match step {
                0 => {
                    let hello = hello(Uuid::from_u128(who));
                    let arrival = registry.arrive(&hello, ADDRESS, OffsetDateTime::UNIX_EPOCH);
                    sessions.extend(arrival.map(|arrival| arrival.session));
                }
                1 => if let Some(session) = sessions.pop() {
                    registry.leave(&session);
                },
                _ => {
                    registry.decommission(Uuid::from_u128(who), OffsetDateTime::UNIX_EPOCH);
                }
            }
            let live = registry.entries.values().filter(|entry| entry.session.is_some()).count();
            prop_assert_eq!(registry.connected(), live);
        }
    }
}

#[test]
fn a_defender_that_says_nothing_new_is_no_news_for_the_store() {
    let mut registry = Registry::default();
    assert!(arrive(&mut registry, 1).is_news);
    assert!(!arrive(&mut registry, 1).is_news);
    let mut upgraded = hello(Uuid::from_u128(1));
    upgraded.defender.version = "0.2.0".to_owned();
    let later = OffsetDateTime::UNIX_EPOCH + Duration::DAY;
    let arrival = registry.arrive(&upgraded, ADDRESS, later).expect("welcome");
    assert!(arrival.is_news);
    assert_eq!(arrival.row.record.first_seen, OffsetDateTime::UNIX_EPOCH);
}

fn arrive_from(registry: &mut Registry, boot: u128, hostname: &str) -> Result<Arrival, Close> {
    let mut hello = hello(Uuid::from_u128(1));
    (hello.boot, hello.defender.hostname) = (Uuid::from_u128(boot), hostname.to_owned());
    registry.arrive(&hello, ADDRESS, OffsetDateTime::now_utc())
}

#[test]
fn two_processes_with_one_identity_are_noticed_and_the_first_one_stays() {
    let mut registry = Registry::default();
    let first = arrive_from(&mut registry, 1, "web-1").expect("welcome");
    assert!(first.cloned.is_none());
    assert!(arrive_from(&mut registry, 2, "copy").expect("as yet it may be a restart").cloned.is_none());
    let back = arrive_from(&mut registry, 1, "web-1").expect("it was first");
    let twin = back.cloned.expect("noticed");
    assert_eq!((twin.hostname.as_str(), twin.address.as_str()), ("copy", "127.0.0.1"));
    for boot in [2, 3] {
        assert_eq!(arrive_from(&mut registry, boot, "copy").expect_err("refused"), Close::Replaced);
    }
    assert!(arrive_from(&mut registry, 1, "web-1").is_ok(), "its own next connection");
    assert_eq!(back.row.twin().map(|twin| twin.hostname), Some("copy".to_owned()));
    // Once nobody is connected, whoever comes is served.
    let last = arrive_from(&mut registry, 1, "web-1").expect("welcome");
    registry.leave(&last.session).expect("the live one");
    assert!(arrive_from(&mut registry, 2, "copy").is_ok());
}

#[test]
fn a_defender_that_is_restarted_or_moves_over_is_no_copy() {
    let mut registry = Registry::default();
    for boot in [1, 1, 2, 3, 3, 4] {
        let arrival = arrive_from(&mut registry, boot, "web-1").expect("welcome");
        assert!(arrival.cloned.is_none(), "{boot}");
    }
    // It ended in good order and comes back.
    let arrival = arrive_from(&mut registry, 5, "web-1").expect("welcome");
    registry.leave(&arrival.session).expect("the live one");
    assert!(arrive_from(&mut registry, 4, "web-1").expect("welcome").cloned.is_none());
}
