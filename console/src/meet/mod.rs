//! Custom certificates of the Defender listener meet the fleet: what would come of a set is known before it is used.
//!
//! ```text
//! dialed.rs   by which name each Defender reaches this Console
//! names.rs    names that a custom server certificate lacks
//! sets.rs     what a Defender has, against a set that waits; pure
//! held.rs     who would be lost; to accept that
//! ```

mod dialed;
mod held;
mod names;
mod sets;

use std::collections::HashSet;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use certs::{Fingerprint, Gatekeeper, Source, Subscriber};
use rustls::ServerConfig;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use dialed::dialed_name;
pub use held::{AcceptError, Held, Loss};
pub use names::{MissingName, REMEDY};

use crate::fleet::Fleet;
use crate::store::Store;
use dialed::Dialed;
use held::Case;
use names::Warned;

/// Knows what Defenders use, and compares. Clones share it.
#[derive(Debug, Clone)]
pub struct Meeting(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fleet: Fleet,
    store: Store,
    /// What the Defender listener runs on.
    defender: Subscriber<ServerConfig>,
    /// Whether sets go live whoever is lost.
    forces: bool,
    dialed: Dialed,
    state: Mutex<State>,
    /// There may be another name to warn of, or a set was accepted.
    look: Notify,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// Sets that somebody has accepted since the start.
    accepted: HashSet<Fingerprint>,
}

/// What a Console does with a set that would lose Defenders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It is taken with a warning.
    Force,
    /// It waits.
    Hold,
}

impl Meeting {
    /// Of `fleet` with what the Defender listener runs on; run [`Meeting::run`].
    #[must_use]
    pub fn new(fleet: Fleet, store: Store, defender: Subscriber<ServerConfig>, policy: Policy) -> Self {
        Self(Arc::new(Inner {
            fleet,
            store,
            defender,
            forces: policy == Policy::Force,
            dialed: Dialed::default(),
            state: Mutex::default(),
            look: Notify::new(),
        }))
    }

    /// Notes by which name a Defender has come.
    pub fn joined(&self, id: Uuid, name: &str) {
        self.0.dialed.note(id, name);
        self.consider(name);
    }

    /// Notes that a Defender was told to reach this Console at `address`, `wss://HOST:PORT`, by something that can be
    /// used for `life`.
    pub async fn exported(&self, address: &str, life: Duration) {
        let host = dialed::host_of(address.strip_prefix("wss://").unwrap_or(address));
        let Some(name) = dialed::plain(host) else { return };
        let now = OffsetDateTime::now_utc();
        if let Err(error) = self.0.store.add_exported_name(&name, now + life, now).await {
            tracing::warn!(
                error = lifecycle::logging::error_chain(&error),
                name,
                "Cannot keep by which name new Defenders come"
            );
        }
        self.consider(&name);
    }

    /// Has it looked at if the custom certificate lacks `name`.
    fn consider(&self, name: &str) {
        let live = self.0.defender.current();
        if live.source == Source::Custom && !live.material.is_for(name) {
            self.0.look.notify_one();
        }
    }

    /// Compares until `shutdown`, and decides for `keeper` what goes live.
    pub async fn run(self, mut keeper: Gatekeeper, shutdown: CancellationToken) {
        let mut defender = self.0.defender.clone();
        let mut warned = Warned::default();
        let mut case: Option<Case> = None;
        loop {
            self.look(&mut case, &keeper, &mut warned).await;
            tokio::select! {
                () = keeper.changed() => case = None,
                _ = defender.changed() => {}
                () = self.0.look.notified() => {}
                () = self.moved(case.is_some()) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Answers about the set that waits, and warns of missing names.
    async fn look(&self, case: &mut Option<Case>, keeper: &Gatekeeper, warned: &mut Warned) {
        let reports = self.0.fleet.host_reports();
        match (keeper.offered(), &case) {
            (Some(material), None) => {
                // Before the first look: what comes meanwhile is seen by the next one.
                reports.follow(true);
                self.warn_of_names(&material, warned).await;
                *case = Case::open(Arc::clone(&material));
                if case.is_none() {
                    keeper.answer(material.fingerprint(), certs::Permit::Granted);
                }
            }
            (None, _) => {
                reports.follow(false);
                self.lock().held = None;
                *case = None;
            }
            (Some(_), Some(_)) => {}
        }
        if let Some(case) = case {
            self.decide(case, keeper).await;
        }
        let live = self.0.defender.current();
        if live.source == Source::Custom {
            self.warn_of_names(&live.material, warned).await;
        }
    }

    /// Waits until another Defender is connected, one is gone or has reported of its host; at most so long that dates
    /// are looked at again. Never, while no set waits. Cancel-safe.
    async fn moved(&self, is_waiting: bool) {
        if !is_waiting {
            return pending().await;
        }
        tokio::select! {
            () = self.0.fleet.host_reports().come() => {}
            () = self.0.fleet.moved() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LOOK_AGAIN: Duration = Duration::from_secs(60);
