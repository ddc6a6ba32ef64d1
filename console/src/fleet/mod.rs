//! Who is connected, what each Defender last said, and the events of it.
//!
//! ```text
//! registry.rs   pure state: who is here, since when; the newest connection wins
//! row.rs        one Defender as lists see it
//! index.rs      all Defenders in the orders that lists ask for
//! query.rs      which Defenders a list shows, in what order
//! handle.rs     what the rest of the Console can say to one live session
//! desk.rs       commands to it, and who waits for their results
//! others.rs     what other Consoles of the same database have decided
//! event.rs      FleetEvent: numbered, kept for late readers
//! holders.rs    which custom certificates Defenders were seen with
//! census.rs     how many there are, by version and state
//! view.rs       a Defender as the API shows it
//! fixture.rs    a hello, for tests
//! ```
//!
//! A report goes session -> [`Fleet::report`] -> `store/writer.rs` (commit) -> [`SessionHandle::stored`] -> ack:
//! nothing is acknowledged before it is on disk.

mod census;
mod desk;
mod event;
#[cfg(test)]
pub(crate) mod fixture;
mod handle;
mod holders;
mod index;
pub mod others;
mod query;
mod registry;
mod row;
mod view;

pub use census::Census;
pub use desk::CommandError;
pub use event::{DefenderFacts, EventKind, EventStream, FleetEvent, RefusedFacts};
pub use handle::{Order, SessionHandle};
pub use index::{Facet, Facets};
pub use query::{Found, Order as ListOrder, Query, Sort};
pub use registry::{Arrival, Record};
pub use row::{Row, Twin, source_name};
pub use view::DefenderView;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use certs::{Guard, hex};
use protocol::Close;
use protocol::message::{Hello, Report};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::store::Figures;
use crate::store::StoreError;
use crate::store::audits::{Action, Actor, Deed};
use crate::store::fleet::{CertificateSeen, Decommission};
use crate::store::history::{Connection, Sample};
use crate::store::hosts::HostReports;
use crate::store::writer::{Writer, WriterGone};
use event::Events;
use holders::{Holders, digest};
use index::Index;
use registry::{Cut, Line, Registry};

/// The fleet. Clones share it.
#[derive(Clone, Debug)]
pub struct Fleet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// State and events change together, so that every reader sees events in the order of the changes.
    state: Mutex<State>,
    /// Taken before `state` where both are.
    index: Mutex<Index>,
    writer: Writer,
    /// Refuses whoever was decommissioned from the handshake on.
    guard: Guard,
    /// Somebody came or went.
    moved: Notify,
}

#[derive(Debug)]
struct State {
    registry: Registry,
    events: Events,
    holders: Holders,
}

impl Line {
    fn begun(self) -> Connection {
        let address = self.address.to_canonical().to_string();
        Connection { connected_at: self.since, disconnected_at: None, cause: None, address }
    }

    fn ended(self, now: OffsetDateTime, cause: &str) -> Connection {
        Connection { disconnected_at: Some(now), cause: Some(cause.to_owned()), ..self.begun() }
    }
}

impl Fleet {
    /// A fleet as the store knows it, nobody connected yet: its Defenders, and what they were `seen` with.
    #[must_use]
    pub fn new(records: Vec<Record>, seen: Vec<CertificateSeen>, writer: Writer, guard: Guard) -> Self {
        let gone = records.iter().filter(|record| record.decommissioned_at.is_some());
        let gone: Vec<Uuid> = gone.map(|record| record.defender.id).collect();
        let mut holders = Holders::default();
        for one in seen {
            if let Some(digest) = digest(&one.sha256) {
                holders.see(one.defender, digest);
            }
        }
        for id in gone {
            guard.refuse_holder(&id.to_string());
            holders.decommission(id).iter().for_each(|orphan| guard.refuse_certificate(&hex::encode(orphan)));
        }
        let registry = Registry::new(records);
        let index = Mutex::new(Index::new(&registry));
        let state = Mutex::new(State { registry, events: Events::default(), holders });
        Self { inner: Arc::new(Inner { state, index, writer, guard, moved: Notify::new() }) }
    }

    /// Notes that a Defender has shown a custom certificate: once nobody is left that has it, it is refused.
    pub fn see_certificate(&self, id: Uuid, sha256: &str, not_after: OffsetDateTime) {
        let Some(digest) = digest(sha256) else { return };
        let mut state = self.state();
        if state.registry.get(id).is_some() && state.holders.see(id, digest) {
            drop(state);
            let seen = CertificateSeen { defender: id, sha256: sha256.to_owned(), not_after };
            self.inner.writer.certificate_seen(seen);
        }
    }

    /// Takes in a Defender that said `hello`. An older connection of it no longer counts; the caller closes it with
    /// 4009 once the new one was welcomed, so that the Defender is never without a line.
    ///
    /// # Errors
    /// [`Close::Decommissioned`] when the Defender is refused for good.
    pub fn arrive(&self, hello: &Hello, address: IpAddr, now: OffsetDateTime) -> Result<Arrival, Close> {
        let mut state = self.state();
        let arrival = state.registry.arrive(hello, address, now)?;
        if arrival.superseded.is_none() {
            state.events.publish(now, EventKind::connected(hello, address));
        }
        if let Some(twin) = &arrival.cloned {
            state.events.publish(now, EventKind::cloned(&arrival.row.record, twin));
        }
        arrival.row.note_clock(hello.time.map(|time| (time - now).whole_seconds()));
        drop(state);
        self.inner.moved.notify_one();
        let id = hello.defender.id;
        if let Some(line) = arrival.ended {
            self.inner.writer.connection(id, line.ended(now, Close::Replaced.cause()));
        }
        self.inner.writer.connection(id, Line { since: now, address }.begun());
        if arrival.is_news {
            self.inner.writer.hello(arrival.row.record.clone());
        }
        Ok(arrival)
    }

    /// Whether a Defender is refused for good.
    #[must_use]
    pub fn is_decommissioned(&self, id: Uuid) -> bool {
        self.state().registry.is_decommissioned(id)
    }

    /// The name of a Defender's host, also of a decommissioned one.
    #[must_use]
    pub fn hostname(&self, id: Uuid) -> Option<String> {
        self.state().registry.hostname(id)
    }

    /// Notes that a session has ended; does nothing when a newer one has taken its place.
    pub fn leave(&self, session: &SessionHandle, cause: &str, now: OffsetDateTime) {
        let mut state = self.state();
        let Some((row, line)) = state.registry.leave(session) else { return };
        state.events.publish(now, EventKind::disconnected(&row.record, cause));
        drop(state);
        self.inner.moved.notify_one();
        self.inner.writer.seen(session.defender(), row.last_seen());
        if let Some(line) = line {
            self.inner.writer.connection(session.defender(), line.ended(now, cause));
        }
    }

    /// Keeps when each connected Defender was last heard, so that it is known after a crash too.
    pub fn note_seen(&self) {
        let heard: Vec<_> =
            self.state().registry.sessions().map(|one| (one.defender(), one.heard())).collect();
        heard.into_iter().for_each(|(id, at)| self.inner.writer.seen(id, at));
    }

    /// Hands a report to the store; [`SessionHandle::stored`] rises once it is on disk. Waits while the store is
    /// behind, which slows down the peer.
    ///
    /// # Errors
    /// [`WriterGone`] when the Console stops.
    pub async fn report(&self, session: &Arc<SessionHandle>, report: Report) -> Result<(), WriterGone> {
        self.inner.writer.report(Arc::clone(session), report, OffsetDateTime::now_utc()).await
    }

    /// Refuses a Defender from now on, in the name of `actor`, and closes its session with 4003. `false` when there is
    /// no such Defender.
    ///
    /// # Errors
    /// When the store cannot keep it; nothing has changed then.
    pub async fn decommission(
        &self,
        id: Uuid,
        actor: Actor,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let Some(defender) = self.get(id) else { return Ok(false) };
        let deed = Deed {
            actor,
            action: Action::Decommissioned,
            object: id.to_string(),
            old: json!({ "hostname": defender.hostname }),
            new: Value::Null,
        };
        self.inner.writer.decommission(Decommission { id, at: now, deed }).await?;
        Ok(self.shut_out(id, now, |registry| registry.decommission(id, now)))
    }

    /// Takes over that another Console of the same database has decommissioned a Defender.
    pub(crate) fn learn_decommissioned(&self, record: Record, now: OffsetDateTime) {
        let id = record.defender.id;
        if self.shut_out(id, now, |registry| registry.learn_decommissioned(record)) {
            tracing::info!(defender = id.to_string(), "Another Console has decommissioned a Defender");
        }
    }

    fn shut_out(
        &self,
        id: Uuid,
        now: OffsetDateTime,
        change: impl FnOnce(&mut Registry) -> Option<(Arc<Row>, Option<Cut>)>,
    ) -> bool {
        let mut state = self.state();
        let Some((row, session)) = change(&mut state.registry) else { return false };
        state.events.publish(now, EventKind::decommissioned(&row.record));
        let orphans = state.holders.decommission(id);
        drop(state);
        self.inner.guard.refuse_holder(&id.to_string());
        orphans.iter().for_each(|orphan| self.inner.guard.refuse_certificate(&hex::encode(orphan)));
        self.inner.moved.notify_one();
        if let Some((session, line)) = session {
            session.order(Order::Close(Close::Decommissioned));
            self.inner.writer.connection(id, line.ended(now, Close::Decommissioned.cause()));
        }
        true
    }

    /// Tells the readers of events that something happened outside the fleet; a rotation and a refusal are kept.
    pub fn announce(&self, now: OffsetDateTime, event: EventKind) {
        if let Some(change) = event.certificate_change(now) {
            self.inner.writer.certificate_change(change);
        }
        self.state().events.publish(now, event);
    }

    /// Keeps how many are connected, for the charts.
    pub fn take_sample(&self, now: OffsetDateTime) {
        let (connected, known) = (self.connected(), self.known());
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let disconnected = count(known.saturating_sub(connected));
        self.inner.writer.sample(Sample { time: now, connected: count(connected), disconnected });
    }

    /// Returns once what has happened so far can be read from the history in the store.
    pub async fn settle_history(&self) {
        self.inner.writer.settle_history().await;
    }

    /// The Defenders that are not decommissioned, as `query` asks for them.
    #[must_use]
    pub fn query(&self, query: &Query) -> Found {
        let ordered = self.index().ordered(query.sort);
        query.run(&ordered)
    }

    /// What the filters of a list of Defenders can be set to.
    #[must_use]
    pub fn facets(&self) -> Arc<Facets> {
        self.index().facets()
    }

    /// One Defender; `None` when it is unknown or decommissioned.
    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<DefenderView> {
        self.state().registry.get(id).map(|entry| DefenderView::from(&*entry.row))
    }

    /// All Defenders that are not decommissioned, in no order.
    #[must_use]
    pub fn rows(&self) -> Vec<Arc<Row>> {
        self.state().registry.live().map(|entry| Arc::clone(&entry.row)).collect()
    }

    /// How many there are that are not decommissioned.
    #[must_use]
    pub fn known(&self) -> usize {
        self.index().len()
    }

    /// The live session of a Defender.
    ///
    /// # Errors
    /// [`CommandError::NotConnected`] when there is none.
    pub fn session(&self, id: Uuid) -> Result<Arc<SessionHandle>, CommandError> {
        let state = self.state();
        let session = state.registry.get(id).and_then(|entry| entry.session.clone());
        session.ok_or(CommandError::NotConnected)
    }

    /// How many are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.state().registry.connected()
    }

    /// How many there are, by version and state, and how many of their certificates expire soon.
    #[must_use]
    pub fn census(&self, now: OffsetDateTime) -> Census {
        Census::of(&self.state().registry, now)
    }

    /// Readers of events now, and events since the start.
    #[must_use]
    pub fn event_figures(&self) -> (usize, u64) {
        self.state().events.figures()
    }

    /// Waits until somebody has come or gone since the last call. For one caller; cancel-safe.
    pub async fn moved(&self) {
        self.inner.moved.notified().await;
    }

    /// Whose host reports have reached the disk.
    #[must_use]
    pub fn host_reports(&self) -> &HostReports {
        self.inner.writer.host_reports()
    }

    /// What the store has written of reports, and what waits.
    #[must_use]
    pub fn writer_figures(&self) -> Figures {
        self.inner.writer.figures()
    }

    /// The events after `last` (a revision), and those to come.
    #[must_use]
    pub fn events_since(&self, last: Option<u64>) -> EventStream {
        self.state().events.since(last)
    }

    /// The index, up to date with every change that was made before this call.
    fn index(&self) -> MutexGuard<'_, Index> {
        let mut index = self.inner.index.lock().unwrap_or_else(PoisonError::into_inner);
        let news = {
            let mut state = self.state();
            (state.registry.revision() != index.revision()).then(|| state.registry.take_news())
        };
        if let Some(news) = news {
            index.refresh(&news);
        }
        index
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
