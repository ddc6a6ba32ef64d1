//! The newest value of a channel: written by `rotate.rs` alone, read by everyone else.

use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;
use tokio::sync::watch;

use crate::material::Material;
use crate::source::Source;

/// What a channel uses now. Always one whole: the configuration is made from exactly this material.
#[derive(Debug)]
pub struct Live<T> {
    /// 1 for the first value of a process, then one more with each swap.
    pub generation: u64,
    /// Where the material comes from.
    pub source: Source,
    /// The certificates.
    pub material: Arc<Material>,
    /// The configuration made from them.
    pub tls: Arc<T>,
    /// When this value was published.
    pub rotated_at: OffsetDateTime,
}

/// Why the files in the custom directory are not in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong: the CAUSE of the log line.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
    /// When they were refused.
    pub at: OffsetDateTime,
    /// SHA-256 of the leaf, hexadecimal, while a set is good and waits to be let through; what is wrong with it may
    /// change meanwhile.
    pub set: Option<String>,
}

/// The reading half; clones follow on their own.
#[derive(Debug)]
pub struct Subscriber<T> {
    live: watch::Receiver<Arc<Live<T>>>,
    refusal: Arc<Mutex<Option<Refusal>>>,
}

/// The writing half.
#[derive(Debug)]
pub(crate) struct Publisher<T> {
    live: watch::Sender<Arc<Live<T>>>,
    refusal: Arc<Mutex<Option<Refusal>>>,
}

impl<T> Subscriber<T> {
    /// What to use for the next accept or dial. Does not count as seen by [`Subscriber::changed`].
    #[must_use]
    pub fn current(&self) -> Arc<Live<T>> {
        Arc::clone(&self.live.borrow())
    }

    /// Waits for a value that this subscriber has not seen, and marks it seen in the same step; `None` once the
    /// channel's rotation has ended. Cancel-safe.
    pub async fn changed(&mut self) -> Option<Arc<Live<T>>> {
        self.live.changed().await.ok()?;
        Some(Arc::clone(&self.live.borrow_and_update()))
    }

    /// Why the files in the custom directory are not in use, if they were refused.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_refusal().map(|refusal| refusal.error)
    }

    /// The same with the remedy and the time.
    #[must_use]
    pub fn last_refusal(&self) -> Option<Refusal> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T> Clone for Subscriber<T> {
    fn clone(&self) -> Self {
        Self { live: self.live.clone(), refusal: Arc::clone(&self.refusal) }
    }
}

impl<T> Publisher<T> {
    /// Publishes the first value.
    pub(crate) fn new(
        source: Source,
        material: Arc<Material>,
        tls: T,
        now: OffsetDateTime,
    ) -> (Self, Subscriber<T>) {
        let first = Live { generation: 1, source, material, tls: Arc::new(tls), rotated_at: now };
        let (sender, receiver) = watch::channel(Arc::new(first));
        let refusal = Arc::default();
        let subscriber = Subscriber { live: receiver, refusal: Arc::clone(&refusal) };
        (Self { live: sender, refusal }, subscriber)
    }

    /// What is published now.
    pub(crate) fn current(&self) -> Arc<Live<T>> {
        Arc::clone(&self.live.borrow())
    }

    /// Replaces the value and returns the new one.
    pub(crate) fn publish(
        &self,
        source: Source,
        material: Arc<Material>,
        tls: T,
        now: OffsetDateTime,
    ) -> Arc<Live<T>> {
        let generation = self.live.borrow().generation.saturating_add(1);
        let live = Arc::new(Live { generation, source, material, tls: Arc::new(tls), rotated_at: now });
        self.live.send_replace(Arc::clone(&live));
        live
    }

    /// What [`Subscriber::last_refusal`] says.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets or clears what [`Subscriber::last_refusal`] says.
    pub(crate) fn set_refusal(&self, refusal: Option<Refusal>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }
}
