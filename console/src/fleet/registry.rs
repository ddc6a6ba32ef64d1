//! Pure state of the fleet: who is known, who is here, and that the newest connection of a Defender wins.
//! No clock, no I/O.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use protocol::Close;
use protocol::message::{CertificateSummary, DefenderIdentity, Hello};
use time::OffsetDateTime;
use uuid::Uuid;

use super::handle::SessionHandle;

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
    pub record: Record,
    /// Whether that says more than what was known before, but for the time.
    pub is_news: bool,
}

/// Known Defenders by identity.
#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: HashMap<Uuid, Entry>,
    sessions_so_far: u64,
    connected: usize,
}

/// One known Defender.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) session: Option<Arc<SessionHandle>>,
}

impl Registry {
    pub(super) fn new(records: Vec<Record>) -> Self {
        let entries =
            records.into_iter().map(|record| (record.defender.id, Entry { record, session: None })).collect();
        Self { entries, sessions_so_far: 0, connected: 0 }
    }

    pub(super) fn arrive(
        &mut self,
        hello: &Hello,
        address: IpAddr,
        now: OffsetDateTime,
    ) -> Result<Arrival, Close> {
        let id = hello.defender.id;
        let known = self.entries.remove(&id);
        if let Some(entry) = known.as_ref().filter(|entry| entry.record.decommissioned_at.is_some()) {
            let entry = Entry { record: entry.record.clone(), session: None };
            self.entries.insert(id, entry);
            return Err(Close::Decommissioned);
        }
        let new = Record {
            defender: hello.defender.clone(),
            certificate: hello.certificate.clone(),
            address,
            first_seen: now,
            last_seen: now,
            last_seq: 0,
            decommissioned_at: None,
        };
        let (record, superseded, is_news) = match known {
            Some(Entry { record: old, session }) => {
                let stored = session.as_ref().map_or(0, |session| session.stored());
                let record = Record { first_seen: old.first_seen, last_seq: old.last_seq.max(stored), ..new };
                let is_news = record.defender != old.defender
                    || record.certificate != old.certificate
                    || record.address != old.address;
                (record, session, is_news)
            }
            None => (new, None, true),
        };
        self.sessions_so_far += 1;
        self.connected += usize::from(superseded.is_none());
        let session = Arc::new(SessionHandle::new(id, self.sessions_so_far, record.last_seq, now));
        self.entries.insert(id, Entry { record: record.clone(), session: Some(Arc::clone(&session)) });
        Ok(Arrival { session, superseded, record, is_news })
    }

    /// The record of the Defender that is gone now; `None` when another session has taken over.
    pub(super) fn leave(&mut self, session: &SessionHandle) -> Option<Record> {
        let entry = self.entries.get_mut(&session.defender())?;
        if entry.session.as_ref()?.number() != session.number() {
            return None;
        }
        entry.session = None;
        self.connected -= 1;
        entry.record.last_seen = session.heard();
        entry.record.last_seq = entry.record.last_seq.max(session.stored());
        Some(entry.record.clone())
    }

    /// The record, and the session to close.
    pub(super) fn decommission(
        &mut self,
        id: Uuid,
        now: OffsetDateTime,
    ) -> Option<(Record, Option<Arc<SessionHandle>>)> {
        let entry = self.entries.get_mut(&id).filter(|entry| entry.record.decommissioned_at.is_none())?;
        entry.record.decommissioned_at = Some(now);
        let session = entry.session.take();
        self.connected -= usize::from(session.is_some());
        Some((entry.record.clone(), session))
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.record.decommissioned_at.is_none())
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = &SessionHandle> {
        self.entries.values().filter_map(|entry| entry.session.as_deref())
    }

    pub(super) fn get(&self, id: Uuid) -> Option<&Entry> {
        self.entries.get(&id).filter(|entry| entry.record.decommissioned_at.is_none())
    }

    pub(super) fn sessions_so_far(&self) -> u64 {
        self.sessions_so_far
    }

    pub(super) fn connected(&self) -> usize {
        self.connected
    }
}

#[cfg(test)]
#[path = "registry/tests.rs"]
mod tests;
