//! Pure state of the fleet: who is known, who is here, and that the newest connection of a Defender wins.
//! No clock, no I/O.

use std::collections::{HashMap, hash_map};
use std::net::IpAddr;
use std::sync::Arc;

use protocol::Close;
use protocol::message::{CertificateSummary, DefenderIdentity, Hello};
use time::OffsetDateTime;
use uuid::Uuid;

use super::handle::SessionHandle;
use super::index::News;
use super::row::{Presence, Row, Twin};

/// What is known of one Defender, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The Defender and its host, as its last `hello` said.
    pub defender: DefenderIdentity,
    /// Its certificate, as its last `hello` said.
    pub certificate: CertificateSummary,
    /// Where it last connected from.
    pub address: IpAddr,
    /// When it first connected.
    pub first_seen: OffsetDateTime,
    /// When it was last heard.
    pub last_seen: OffsetDateTime,
    /// The highest report number on disk when it was read; a live session knows better.
    pub last_seq: u64,
    /// When it was decommissioned.
    pub decommissioned_at: Option<OffsetDateTime>,
}

/// A Defender that was taken in.
#[derive(Debug)]
pub struct Arrival {
    /// Its session.
    pub session: Arc<SessionHandle>,
    /// The session that the new one takes the place of.
    pub superseded: Option<Arc<SessionHandle>>,
    /// What is known of it from now on.
    pub row: Arc<Row>,
    /// The connection that ended with it.
    pub ended: Option<Line>,
    /// The other process with its identity, when it was noticed just now.
    pub cloned: Option<Twin>,
    /// Whether that says more than what was known before, but for the time.
    pub is_news: bool,
}

/// Where a session comes from, since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// When it was taken in.
    pub since: OffsetDateTime,
    /// Where from.
    pub address: IpAddr,
}

/// A session that is to be closed, and its line.
pub(super) type Cut = (Arc<SessionHandle>, Line);

/// Known Defenders by identity.
#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: HashMap<Uuid, Entry>,
    sessions_so_far: u64,
    connected: usize,
    /// Rises whenever a list of Defenders would show others, or other facts of them.
    revision: u64,
    /// Rows that no index has seen yet.
    news: Vec<Arc<Row>>,
}

/// One known Defender.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) row: Arc<Row>,
    pub(super) session: Option<Arc<SessionHandle>>,
    /// Of the session.
    line: Option<Line>,
    /// The process that the newest session belongs to.
    boot: Option<Uuid>,
    /// The process that it took the place of while that one was connected.
    before: Option<Uuid>,
    /// The highest report number on disk when its last session ended.
    last_seq: u64,
    decommissioned_at: Option<OffsetDateTime>,
}

impl Registry {
    pub(super) fn new(records: Vec<Record>) -> Self {
        let entries = records.into_iter().map(|record| (record.defender.id, Entry::new(record))).collect();
        Self { entries, ..Self::default() }
    }

    pub(super) fn arrive(
        &mut self,
        hello: &Hello,
        address: IpAddr,
        now: OffsetDateTime,
    ) -> Result<Arrival, Close> {
        let id = hello.defender.id;
        let number = self.sessions_so_far + 1;
        let mut cloned = None;
        let (entry, is_news) = match self.entries.entry(id) {
            hash_map::Entry::Occupied(known) if known.get().decommissioned_at.is_some() => {
                return Err(Close::Decommissioned);
            }
            hash_map::Entry::Occupied(known) if known.get().keeps_out(hello, address, now) => {
                return Err(Close::Replaced);
            }
            hash_map::Entry::Occupied(known) => {
                let entry = known.into_mut();
                cloned = entry.alternate(hello.boot, now);
                let is_news = entry.learn(hello, address, now);
                (entry, is_news)
            }
            hash_map::Entry::Vacant(place) => {
                (place.insert(Entry::new(Record::of(hello, address, now))), true)
            }
        };
        self.sessions_so_far = number;
        let superseded = entry.session.take();
        if let Some(session) = &superseded {
            entry.last_seq = entry.last_seq.max(session.stored());
        }
        let presence = Arc::clone(entry.row.presence());
        presence.hear(now);
        presence.set_connected(true);
        let session = Arc::new(SessionHandle::with(presence, id, number, entry.last_seq));
        entry.session = Some(Arc::clone(&session));
        entry.boot = Some(hello.boot);
        let ended = entry.line.replace(Line { since: now, address });
        let row = Arc::clone(&entry.row);
        self.connected += usize::from(superseded.is_none());
        if is_news {
            self.note(Arc::clone(&row));
        }
        Ok(Arrival { session, superseded, row, ended, cloned, is_news })
    }

    /// The Defender that is gone now; `None` when another session has taken over.
    pub(super) fn leave(&mut self, session: &SessionHandle) -> Option<(Arc<Row>, Option<Line>)> {
        let entry = self.entries.get_mut(&session.defender())?;
        if entry.session.as_ref()?.number() != session.number() {
            return None;
        }
        entry.session = None;
        entry.row.presence().set_connected(false);
        entry.last_seq = entry.last_seq.max(session.stored());
        self.connected -= 1;
        Some((Arc::clone(&entry.row), entry.line.take()))
    }

    /// The Defender, and the session to close with its line.
    pub(super) fn decommission(&mut self, id: Uuid, now: OffsetDateTime) -> Option<(Arc<Row>, Option<Cut>)> {
        let entry = self.entries.get_mut(&id).filter(|entry| entry.decommissioned_at.is_none())?;
        entry.decommissioned_at = Some(now);
        entry.row.retire();
        entry.row.presence().set_connected(false);
        let session = entry.session.take();
        self.connected -= usize::from(session.is_some());
        self.revision += 1;
        Some((Arc::clone(&entry.row), session.zip(entry.line.take())))
    }

    /// Takes over that a Defender was decommissioned, which need not be known; as [`Registry::decommission`].
    pub(super) fn learn_decommissioned(&mut self, record: Record) -> Option<(Arc<Row>, Option<Cut>)> {
        let (id, at) = (record.defender.id, record.decommissioned_at?);
        self.entries.entry(id).or_insert_with(|| Entry::new(Record { decommissioned_at: None, ..record }));
        self.decommission(id, at)
    }

    pub(super) fn is_decommissioned(&self, id: Uuid) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.decommissioned_at.is_some())
    }

    pub(super) fn hostname(&self, id: Uuid) -> Option<String> {
        self.entries.get(&id).map(|entry| entry.row.record.defender.hostname.clone())
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.decommissioned_at.is_none())
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = &SessionHandle> {
        self.entries.values().filter_map(|entry| entry.session.as_deref())
    }

    pub(super) fn get(&self, id: Uuid) -> Option<&Entry> {
        self.entries.get(&id).filter(|entry| entry.decommissioned_at.is_none())
    }

    pub(super) fn sessions_so_far(&self) -> u64 {
        self.sessions_so_far
    }

    pub(super) fn connected(&self) -> usize {
        self.connected
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// What an index has not seen yet; the next call has what came after.
    pub(super) fn take_news(&mut self) -> News {
        News { revision: self.revision, rows: std::mem::take(&mut self.news) }
    }

    fn note(&mut self, row: Arc<Row>) {
        self.revision += 1;
        // While nobody reads lists, no more is kept than there are Defenders.
        if self.news.len() > 2 * self.entries.len() {
            self.news.retain(|row| !row.is_retired());
        }
        self.news.push(row);
    }
}

impl Record {
    fn of(hello: &Hello, address: IpAddr, now: OffsetDateTime) -> Self {
        Self {
            defender: hello.defender.clone(),
            certificate: hello.certificate.clone(),
            address,
            first_seen: now,
            last_seen: now,
            last_seq: 0,
            decommissioned_at: None,
        }
    }
}

impl Entry {
    fn new(record: Record) -> Self {
        let (last_seq, decommissioned_at) = (record.last_seq, record.decommissioned_at);
        let presence = Arc::new(Presence::new(record.last_seen));
        Self {
            row: Arc::new(Row::new(record, presence)),
            session: None,
            line: None,
            boot: None,
            before: None,
            last_seq,
            decommissioned_at,
        }
    }

    /// Two processes with one identity drive each other out again and again, so once that was noticed, whoever is
    /// connected stays and any other one is kept out; for as long as others come.
    fn keeps_out(&self, hello: &Hello, address: IpAddr, now: OffsetDateTime) -> bool {
        let presence = self.row.presence();
        let Some(twin) = presence.twin(now) else { return false };
        let is_other = self.session.is_some() && self.boot != Some(hello.boot);
        if is_other {
            let hostname = hello.defender.hostname.clone();
            let address = address.to_canonical().to_string();
            presence.set_twin(Twin { hostname, address, last_seen: now, ..twin });
        }
        is_other
    }

    /// Notes which process connects. One that comes back after another took its place while both were running is
    /// proof of two: the one that is connected until now is the copy.
    fn alternate(&mut self, boot: Uuid, now: OffsetDateTime) -> Option<Twin> {
        let is_other = self.session.is_some() && self.boot.is_some_and(|known| known != boot);
        if !is_other {
            return None;
        }
        let is_back = self.before == Some(boot);
        self.before = self.boot;
        let line = self.line.filter(|_| is_back)?;
        let twin = Twin {
            hostname: self.row.record.defender.hostname.clone(),
            address: line.address.to_canonical().to_string(),
            first_seen: now,
            last_seen: now,
        };
        self.row.presence().set_twin(twin.clone());
        Some(twin)
    }

    /// Whether the Defender says of itself what it did not say before.
    fn learn(&mut self, hello: &Hello, address: IpAddr, now: OffsetDateTime) -> bool {
        let old = &self.row.record;
        if hello.defender == old.defender && hello.certificate == old.certificate && address == old.address {
            return false;
        }
        let record =
            Record { first_seen: old.first_seen, last_seq: self.last_seq, ..Record::of(hello, address, now) };
        self.row.retire();
        self.row = Arc::new(Row::new(record, Arc::clone(self.row.presence())));
        true
    }
}

#[cfg(test)]
mod tests;
