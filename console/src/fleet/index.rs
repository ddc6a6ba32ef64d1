//! All Defenders in the orders that lists ask for. Each order is made when it is first asked for, and kept up to
//! date by merging what is new, so that a page of 50,000 Defenders costs what a page costs. Who is connected is
//! read from the rows themselves: a herd that comes back changes no order.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::query::{Ordered, Sort};
use super::registry::Registry;
use super::row::Row;

/// The orders that somebody has asked for.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The change of the registry that it knows of.
    revision: u64,
    by_hostname: Ordered,
    others: Vec<(Sort, Ordered)>,
    facets: Option<Arc<Facets>>,
}

/// What the filters of a list can be set to. The most frequent first, at most 100 each: these texts are what
/// Defenders say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Facets {
    /// Versions.
    pub versions: Vec<Facet>,
    /// Sources of certificates.
    pub sources: Vec<Facet>,
    /// Operating systems.
    pub os: Vec<Facet>,
    /// Machine architectures.
    pub arch: Vec<Facet>,
    /// Clusters.
    pub clusters: Vec<Facet>,
}

/// One setting of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Facet {
    /// What to set the filter to.
    pub value: String,
    /// How many Defenders it finds.
    pub count: usize,
}

/// What changed since an [`Index`] was up to date.
#[derive(Debug)]
pub(super) struct News {
    pub(super) revision: u64,
    pub(super) rows: Vec<Arc<Row>>,
}

impl Index {
    /// An index of what is known at the start.
    pub(super) fn new(registry: &Registry) -> Self {
        let by_hostname = registry.live().map(|entry| Arc::clone(&entry.row)).collect();
        let mut index = Self { by_hostname: Arc::new(by_hostname), ..Self::default() };
        Arc::make_mut(&mut index.by_hostname).sort_unstable_by(|a, b| compare(Sort::Hostname, a, b));
        index
    }

    /// How many Defenders there are.
    pub(super) fn len(&self) -> usize {
        self.by_hostname.len()
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes in what is new, and drops what is no more. Cheap where little is: the parts that are in order already
    /// are merged, not sorted.
    pub(super) fn refresh(&mut self, news: &News) {
        self.revision = news.revision;
        self.facets = None;
        let hostname = (Sort::Hostname, &mut self.by_hostname);
        let others = self.others.iter_mut().map(|(sort, ordered)| (*sort, ordered));
        for (sort, ordered) in std::iter::once(hostname).chain(others) {
            let rows = Arc::make_mut(ordered);
            rows.extend(news.rows.iter().cloned());
            rows.retain(|row| !row.is_retired());
            rows.sort_by(|a, b| compare(sort, a, b));
        }
    }

    /// All rows in the order of `sort`; by host name where the sort is by what changes all the time.
    pub(super) fn ordered(&mut self, sort: Sort) -> Ordered {
        if matches!(sort, Sort::Connected | Sort::Hostname | Sort::LastSeen) {
            return Arc::clone(&self.by_hostname);
        }
        if let Some((_, ordered)) = self.others.iter().find(|(other, _)| *other == sort) {
            return Arc::clone(ordered);
        }
        let mut rows = self.by_hostname.to_vec();
        rows.sort_by(|a, b| compare(sort, a, b));
        let ordered = Arc::new(rows);
        self.others.push((sort, Arc::clone(&ordered)));
        ordered
    }

    pub(super) fn facets(&mut self) -> Arc<Facets> {
        let rows = &self.by_hostname;
        Arc::clone(self.facets.get_or_insert_with(|| Arc::new(Facets::of(rows))))
    }
}

impl Facets {
    fn of(rows: &Ordered) -> Self {
        Self {
            versions: count(rows, |row| Some(&row.record.defender.version)),
            sources: count(rows, |row| Some(row.source())),
            os: count(rows, |row| Some(&row.record.defender.os)),
            arch: count(rows, |row| Some(&row.record.defender.arch)),
            clusters: count(rows, |row| row.record.defender.cluster.as_deref()),
        }
    }
}

fn count(rows: &Ordered, text: impl Fn(&Row) -> Option<&str>) -> Vec<Facet> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    rows.iter().filter_map(|row| text(row)).for_each(|text| *counts.entry(text).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
    let most = counts.into_iter().take(MOST_FACETS);
    most.map(|(value, count)| Facet { value: value.to_owned(), count }).collect()
}

fn compare(sort: Sort, a: &Row, b: &Row) -> Ordering {
    let (one, other) = (&a.record, &b.record);
    let first = match sort {
        Sort::Address => one.address.to_canonical().cmp(&other.address.to_canonical()),
        Sort::Arch => one.defender.arch.cmp(&other.defender.arch),
        Sort::Connected | Sort::Hostname | Sort::LastSeen => Ordering::Equal,
        Sort::Kernel => natural(&one.defender.kernel, &other.defender.kernel),
        Sort::NotAfter => one.certificate.not_after.cmp(&other.certificate.not_after),
        Sort::Os => one.defender.os.cmp(&other.defender.os),
        Sort::Source => a.source().cmp(b.source()),
        Sort::Version => natural(&one.defender.version, &other.defender.version),
    };
    let by_name = || one.defender.hostname.cmp(&other.defender.hostname);
    first.then_with(by_name).then_with(|| one.defender.id.cmp(&other.defender.id))
}

/// Compares texts with the numbers in them as numbers: 0.9 before 0.10.
fn natural(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    loop {
        let digits = (number(left), number(right));
        let step = match digits {
            (0, _) | (_, 0) => match (left.split_first(), right.split_first()) {
                (Some((one, left_rest)), Some((other, right_rest))) => {
                    (left, right) = (left_rest, right_rest);
                    one.cmp(other)
                }
                // The longer one last; 1.01 and 1.1 are told apart as texts.
                (one, other) => return one.is_some().cmp(&other.is_some()).then_with(|| a.cmp(b)),
            },
            (one, other) => {
                let (one, left_rest) = left.split_at(one);
                let (other, right_rest) = right.split_at(other);
                (left, right) = (left_rest, right_rest);
                let (one, other) = (significant(one), significant(other));
                one.len().cmp(&other.len()).then_with(|| one.cmp(other))
            }
        };
        if step != Ordering::Equal {
            return step;
        }
    }
}

/// How many digits a text begins with.
fn number(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn significant(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    digits.get(zeros..).unwrap_or_default()
}

const MOST_FACETS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_versions_are_compared_as_numbers() {
        let mut versions = [
            "1.10.0",
            "",
            "1.9.0",
            "1.9.0-rc1",
            "v2",
            "1.09.0",
            "1.9",
            "10.0.0",
            "1.9.00000000000000000000001",
        ];
        versions.sort_by(|a, b| natural(a, b));
        let sorted = [
            "",
            "1.9",
            "1.09.0",
            "1.9.0",
            "1.9.0-rc1",
            "1.9.00000000000000000000001",
            "1.10.0",
            "10.0.0",
            "v2",
        ];
        assert_eq!(versions, sorted);
    }

    proptest::proptest! {
        #[test]
        fn the_order_of_any_three_texts_is_one(a in "[01a.é]{0,5}", b in "[01a.é]{0,5}", c in "[01a.é]{0,5}") {
            proptest::prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            if natural(&a, &b).is_le() && natural(&b, &c).is_le() {
                proptest::prop_assert!(natural(&a, &c).is_le());
            }
            proptest::prop_assert_eq!(natural(&a, &b).is_eq(), a == b);
        }
    }
}
