//! Which Defenders a list shows, in what order: the one query behind the API, the CSV and the pages.

use std::sync::Arc;

use protocol::message::CertificateSource;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::row::Row;

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only those that are connected, or only those that are not.
    pub connected: Option<bool>,
    /// Only those of this version.
    pub version: Option<String>,
    /// Only those whose certificate is from there.
    pub source: Option<CertificateSource>,
    /// Only those with this operating system.
    pub os: Option<String>,
    /// Only those of this machine architecture.
    pub arch: Option<String>,
    /// Only those of this cluster.
    pub cluster: Option<String>,
    /// Only those whose certificate ends at this time or before.
    pub expires_before: Option<OffsetDateTime>,
    /// Only those that mention this text, in upper or lower case; empty finds all.
    pub search: String,
    /// In the order of what.
    pub sort: Sort,
    /// Which end first.
    pub order: Order,
    /// How many to pass over.
    pub offset: usize,
    /// How many to return at most.
    pub limit: usize,
}

/// What Defenders can be ordered by. Where it is equal, by host name, then by id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// By IP address, IPv4 first.
    Address,
    /// By machine architecture.
    Arch,
    /// The disconnected first.
    Connected,
    /// By host name.
    #[default]
    Hostname,
    /// By kernel release, numbers in it as numbers.
    Kernel,
    /// Those that were heard longest ago first.
    LastSeen,
    /// Those whose certificate ends first.
    NotAfter,
    /// By operating system.
    Os,
    /// By the source of the certificate.
    Source,
    /// By version, numbers in it as numbers.
    Version,
}

/// Which end of a list comes first; `desc` is `asc` from its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The smallest first.
    #[default]
    Asc,
    /// The largest first.
    Desc,
}

/// Part of a list.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The Defenders asked for, in order.
    pub rows: Vec<Arc<Row>>,
    /// How many there are with those before and after.
    pub total: usize,
}

/// All rows, by host name and id or by something else that a `hello` says.
pub(super) type Ordered = Arc<Vec<Arc<Row>>>;

impl Query {
    /// Runs it on all rows: in the order of [`Query::sort`], or by host name where that changes all the time.
    pub(super) fn run(&self, ordered: &Ordered) -> Found {
        let needle = self.search.to_lowercase();
        match self.sort {
            Sort::Connected => self.sorted(ordered, &needle, |row| i64::from(row.is_connected())),
            Sort::LastSeen => self.sorted(ordered, &needle, Row::last_seen_seconds),
            _ if self.finds_all() => self.slice(ordered),
            _ => self.filtered(ordered, &needle),
        }
    }

    fn slice(&self, ordered: &Ordered) -> Found {
        let positions = self.offset..self.end().min(ordered.len());
        let rows = positions.filter_map(|position| self.at(ordered, position)).cloned().collect();
        Found { rows, total: ordered.len() }
    }

    fn filtered(&self, ordered: &Ordered, needle: &str) -> Found {
        let mut found = Found::default();
        for position in 0..ordered.len() {
            let Some(row) = self.at(ordered, position).filter(|row| self.matches(row, needle)) else {
                continue;
            };
            if (self.offset..self.end()).contains(&found.total) {
                found.rows.push(Arc::clone(row));
            }
            found.total += 1;
        }
        found
    }

    /// Sorts by a key that changes all the time; each key is read once.
    fn sorted(&self, ordered: &Ordered, needle: &str, key: impl Fn(&Row) -> i64) -> Found {
        let matching = ordered.iter().enumerate().filter(|(_, row)| self.matches(row, needle));
        let mut keys: Vec<(i64, usize)> = matching.map(|(position, row)| (key(row), position)).collect();
        let total = keys.len();
        let compare = |a: &(i64, usize), b: &(i64, usize)| match self.order {
            Order::Asc => a.cmp(b),
            Order::Desc => b.cmp(a),
        };
        if self.end() < total {
            keys.select_nth_unstable_by(self.end(), compare);
            keys.truncate(self.end());
        }
        keys.sort_unstable_by(compare);
        let page = keys.into_iter().skip(self.offset);
        let rows = page.filter_map(|(_, position)| ordered.get(position)).cloned().collect();
        Found { rows, total }
    }

    fn at<'a>(&self, ordered: &'a Ordered, position: usize) -> Option<&'a Arc<Row>> {
        match self.order {
            Order::Asc => ordered.get(position),
            Order::Desc => ordered.get(ordered.len().checked_sub(position + 1)?),
        }
    }

    fn end(&self) -> usize {
        self.offset.saturating_add(self.limit)
    }

    fn finds_all(&self) -> bool {
        let Self { connected, version, source, os, arch, cluster, expires_before, search, .. } = self;
        connected.is_none()
            && version.is_none()
            && source.is_none()
            && os.is_none()
            && arch.is_none()
            && cluster.is_none()
            && expires_before.is_none()
            && search.is_empty()
    }

    fn matches(&self, row: &Row, needle: &str) -> bool {
        let (defender, certificate) = (&row.record.defender, &row.record.certificate);
        let is = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
        self.connected.is_none_or(|connected| connected == row.is_connected())
            && self.source.is_none_or(|source| source == certificate.source)
            && self.expires_before.is_none_or(|end| certificate.not_after <= end)
            && is(&self.version, &defender.version)
            && is(&self.os, &defender.os)
            && is(&self.arch, &defender.arch)
            && self.cluster.as_ref().is_none_or(|wanted| defender.cluster.as_ref() == Some(wanted))
            && (needle.is_empty() || row.mentions(needle))
    }
}

#[cfg(test)]
mod tests;
