//! Tests of `query.rs` and `index.rs`: each Defender once, in one order, whatever is asked.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use protocol::message::{CertificateSummary, DefenderIdentity, Hello};
use time::Duration;
use uuid::Uuid;

use super::super::index::Index;
use super::super::registry::Registry;
use super::*;

const SORTS: [Sort; 10] = [
    Sort::Address,
    Sort::Arch,
    Sort::Connected,
    Sort::Hostname,
    Sort::Kernel,
    Sort::LastSeen,
    Sort::NotAfter,
    Sort::Os,
    Sort::Source,
    Sort::Version,
];

/// A Defender whose facts are like those of many others.
fn hello(number: u32) -> Hello {
    let place = usize::try_from(number).expect("small");
    let source =
        if number.is_multiple_of(3) { CertificateSource::Custom } else { CertificateSource::SelfSigned };
    Hello {
        defender: DefenderIdentity {
            id: Uuid::from_u128(u128::from(number)),
            hostname: format!("Host-{}", number / 2),
            version: format!("0.{}.0", number % 12),
            os: ["Debian", "Alpine", "'; DROP TABLE defenders; --"][place % 3].to_owned(),
            kernel: format!("6.{}", number % 30),
            arch: ["x86_64", "aarch64"][place % 2].to_owned(),
            cluster: [None, Some("east".to_owned())][place % 2].clone(),
        },
        boot: Uuid::nil(),
        certificate: CertificateSummary {
            source,
            not_after: OffsetDateTime::UNIX_EPOCH + Duration::days(i64::from(number % 90)),
            sha256: format!("{number:064x}"),
        },
        authorities: Vec::new(),
        time: None,
    }
}

fn arrive(registry: &mut Registry, number: u32, second: i64) {
    let address = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number));
    let now = OffsetDateTime::UNIX_EPOCH + Duration::seconds(second);
    let arrival = registry.arrive(&hello(number), address, now).expect("welcome");
    if number.is_multiple_of(5) {
        registry.leave(&arrival.session).expect("the live one");
    }
}

/// Up to date with `registry`.
fn refresh(index: &mut Index, registry: &mut Registry) {
    if index.revision() != registry.revision() {
        index.refresh(&registry.take_news());
    }
}

fn run(index: &mut Index, query: &Query) -> Found {
    query.run(&index.ordered(query.sort))
}

fn ids(found: &Found) -> Vec<Uuid> {
    found.rows.iter().map(|row| row.record.defender.id).collect()
}

#[test]
fn every_sort_of_fifty_thousand_visits_each_once_by_pages_and_backwards_is_backwards() {
    let mut registry = Registry::default();
    let mut index = Index::new(&registry);
    for number in 0..50_000 {
        arrive(&mut registry, number, i64::from(number % 100));
    }
    refresh(&mut index, &mut registry);
    for sort in SORTS {
        let whole = Query { sort, limit: usize::MAX, ..Query::default() };
        let all = ids(&run(&mut index, &whole));
        let mut pages = Vec::new();
        for offset in (0..50_000).step_by(5_000) {
            let page = run(&mut index, &Query { offset, limit: 5_000, ..whole.clone() });
            assert_eq!(page.total, 50_000);
            pages.extend(ids(&page));
        }
        assert_eq!(pages, all, "{sort:?}");
        let backwards = ids(&run(&mut index, &Query { order: Order::Desc, ..whole }));
        assert!(backwards.iter().rev().eq(&all), "{sort:?}");
        pages.sort_unstable();
        pages.dedup();
        assert_eq!(pages.len(), 50_000, "{sort:?}");
    }
}

#[test]
fn filters_find_what_they_name_and_nothing_else() {
    let mut registry = Registry::default();
    let mut index = Index::new(&registry);
    (0..60).for_each(|number| arrive(&mut registry, number, 1));
    refresh(&mut index, &mut registry);
    let mut count = |query: Query| run(&mut index, &Query { limit: 1000, ..query }).rows.len();
    let any = Query::default;
    assert_eq!(count(any()), 60);
    assert_eq!(count(Query { connected: Some(false), ..any() }), 12);
    assert_eq!(count(Query { source: Some(CertificateSource::Custom), ..any() }), 20);
    assert_eq!(count(Query { version: Some("0.1.0".to_owned()), ..any() }), 5);
    assert_eq!(count(Query { version: Some("0.1".to_owned()), ..any() }), 0);
    assert_eq!(count(Query { arch: Some("aarch64".to_owned()), ..any() }), 30);
    assert_eq!(count(Query { os: Some("'; DROP TABLE defenders; --".to_owned()), ..any() }), 20);
    let sixth_day = OffsetDateTime::UNIX_EPOCH + Duration::days(5);
    assert_eq!(count(Query { expires_before: Some(sixth_day), ..any() }), 6);
    for (search, expected) in [
        ("HOST-29", 2),
        ("10.0.0.59", 1),
        ("drop table", 20),
        ("AARCH64", 30),
        (&format!("{:064x}", 7), 1),
        ("%", 0),
        ("\0", 0),
        ("00000000-0000-0000-0000-00000000003b", 1),
    ] {
        assert_eq!(count(Query { search: search.to_owned(), ..any() }), expected, "{search:?}");
    }
}

#[test]
fn facets_count_what_the_filters_would_find() {
    let mut registry = Registry::default();
    let mut index = Index::new(&registry);
    (0..60).for_each(|number| arrive(&mut registry, number, 1));
    refresh(&mut index, &mut registry);
    let facets = index.facets();
    assert_eq!(facets.versions.len(), 12);
    assert!(facets.versions.iter().all(|facet| facet.count == 5));
    assert_eq!((facets.sources[0].value.as_str(), facets.sources[0].count), ("self-signed", 40));
    assert_eq!(facets.arch.iter().map(|facet| facet.count).sum::<usize>(), 60);
}

proptest! {
    #[test]
    fn an_index_that_is_kept_up_to_date_is_the_same_as_a_new_one(
        steps in prop::collection::vec((0..30_u32, 0..4_u8), 1..60),
    ) {
        let mut registry = Registry::default();
        let mut index = Index::new(&registry);
        for (number, step) in steps {
            let known = OffsetDateTime::UNIX_EPOCH;
            match step {
                0 => drop(registry.decommission(Uuid::from_u128(u128::from(number)), known)),
                1 => {
                    // Another name, which moves it to another place.
                    let mut hello = hello(number);
                    hello.defender.hostname = "another".to_owned();
                    let _ = registry.arrive(&hello, IpAddr::V4(Ipv4Addr::LOCALHOST), known);
                }
                2 => refresh(&mut index, &mut registry),
                _ => drop(registry.arrive(&hello(number), IpAddr::V4(Ipv4Addr::LOCALHOST), known)),
            }
        }
        refresh(&mut index, &mut registry);
        let mut new = Index::new(&registry);
        for sort in SORTS {
            let query = Query { sort, limit: 1000, ..Query::default() };
            prop_assert_eq!(ids(&run(&mut index, &query)), ids(&run(&mut new, &query)));
        }
        prop_assert_eq!(index.facets(), new.facets());
    }
}
