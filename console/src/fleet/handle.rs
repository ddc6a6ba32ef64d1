//! What the rest of the Console can say to one live session: a few words of memory, no queue.
//!
//! A session of a silent Defender must cost as little as possible, so this is a few atomics and a wake-up
//! instead of a channel. Commands, which are rare, have a queue while there are some: `desk.rs`.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::Close;
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

use super::desk::Place;
use super::row::Presence;

/// One live session, as others see it.
#[derive(Debug)]
pub struct SessionHandle {
    defender: Uuid,
    /// Told apart from other sessions of the same Defender by this number.
    number: u64,
    /// The highest report number on disk.
    stored: AtomicU64,
    /// The close code that somebody asked for; 0 while nobody did.
    close: AtomicU16,
    /// When the peer was last heard; shared with what lists show.
    presence: Arc<Presence>,
    /// Commands under way.
    desk: Mutex<Place>,
    wake: Notify,
}

/// Something that a session must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Close with this code.
    Close(Close),
}

impl SessionHandle {
    /// A session that starts with `stored` reports on disk.
    #[must_use]
    pub fn new(defender: Uuid, number: u64, stored: u64, now: OffsetDateTime) -> Self {
        Self::with(Arc::new(Presence::new(now)), defender, number, stored)
    }

    pub(super) fn with(presence: Arc<Presence>, defender: Uuid, number: u64, stored: u64) -> Self {
        Self {
            defender,
            number,
            stored: AtomicU64::new(stored),
            close: AtomicU16::new(0),
            presence,
            desk: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Whose session it is.
    #[must_use]
    pub fn defender(&self) -> Uuid {
        self.defender
    }

    /// Which of its sessions.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Notes that the peer was heard.
    pub fn hear(&self, now: OffsetDateTime) {
        self.presence.hear(now);
    }

    /// When the peer was last heard, to the second.
    #[must_use]
    pub fn heard(&self) -> OffsetDateTime {
        self.presence.heard()
    }

    /// Notes that every report up to `seq` is on disk.
    pub fn store_up_to(&self, seq: u64) {
        self.stored.fetch_max(seq, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// The highest report number on disk.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    /// Asks the session to do something; the first order to close stands.
    pub fn order(&self, order: Order) {
        let Order::Close(close) = order;
        let _ = self.close.compare_exchange(0, close.code(), Ordering::AcqRel, Ordering::Acquire);
        self.wake.notify_one();
    }

    /// What somebody asked for.
    #[must_use]
    pub fn ordered(&self) -> Option<Order> {
        match self.close.load(Ordering::Acquire) {
            0 => None,
            code => Some(Order::Close(Close::from_code(code))),
        }
    }

    /// Where commands are kept.
    pub(super) fn desk(&self) -> MutexGuard<'_, Place> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes [`SessionHandle::woken`] return.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Returns after [`SessionHandle::store_up_to`], [`SessionHandle::order`], or when a command is to be sent.
    /// Cancel-safe.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }
}
