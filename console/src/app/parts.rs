//! What the Console consists of: the ground that the start has opened, and the parts that stand on it, each knowing
//! those that it works with.

use std::sync::Arc;

use certs::Guard;
use time::OffsetDateTime;

use super::{Running, hostname};
use crate::access::Access;
use crate::alerts::{Alerts, Sources};
use crate::authority::AuthorityRotation;
use crate::backup::keeper::Keeper;
use crate::channels::Channels;
use crate::config::Config;
use crate::enroll::{self, Enrolment, Lives};
use crate::fleet::{Fleet, Record};
use crate::meet::Meeting;
use crate::metrics::Metrics;
use crate::names::ExtraNames;
use crate::public_url::PublicAddress;
use crate::refusals::Refusals;
use crate::store::Store;
use crate::store::fleet::CertificateSeen;
use crate::store::writer::Writer;

/// What was opened, and what the store has told.
pub(super) struct Ground {
    pub(super) access: Access,
    pub(super) channels: Channels,
    pub(super) enrolled: enroll::State,
    pub(super) guard: Guard,
    pub(super) public_url: PublicAddress,
    pub(super) records: Vec<Record>,
    pub(super) seen: Vec<CertificateSeen>,
    pub(super) store: Store,
}

/// The parts; all but the channels are handles.
pub(super) struct Parts {
    pub(super) access: Access,
    pub(super) alerts: Alerts,
    pub(super) channels: Channels,
    pub(super) enrolment: Enrolment,
    pub(super) fleet: Fleet,
    pub(super) guard: Guard,
    pub(super) keeper: Keeper,
    pub(super) meeting: Meeting,
    pub(super) metrics: Metrics,
    pub(super) names: ExtraNames,
    pub(super) public_url: PublicAddress,
    pub(super) refusals: Refusals,
    pub(super) rotation: AuthorityRotation,
    pub(super) store: Store,
}

impl Parts {
    /// Puts the parts together, and starts what writes to the store.
    pub(super) async fn wire(ground: Ground, config: &Config, running: &Running) -> anyhow::Result<Self> {
        let Ground { access, channels, enrolled, guard, public_url, records, seen, store } = ground;
        let now = OffsetDateTime::now_utc();
        let (writer, writer_task) = Writer::new(store.clone(), &records);
        let writing = writer_task.run(running.flush.clone());
        // After shutdown it ends by itself when nobody is left who writes, which may be before it is told to.
        running.back.spawn_critical("store writer", running.shutdown.clone(), writing);
        let fleet = Fleet::new(records, seen, writer, guard.clone());
        let lives =
            Lives { own: config.defender_certificate_life, return_within: config.defender_return_within };
        let (authority, defender) = (Arc::clone(&channels.authority), channels.defender.clone());
        let enrolment = Enrolment::new(authority, defender.clone(), store.clone(), enrolled, lives);
        let enrolling = enrolment.clone().run(running.flush.clone());
        running.back.spawn_critical("enrolment", running.flush.clone(), enrolling);
        let names = ExtraNames::new(store.clone(), Arc::clone(&channels.renewal));
        let keeper = Keeper::new(store.clone(), config.database.clone(), &config.data_dir);
        let metrics = Metrics::new(now);
        let sources = Sources {
            backups: keeper.clone(),
            fleet: fleet.clone(),
            https: channels.https.clone(),
            defender: defender.clone(),
            enrolment: enrolment.clone(),
            names: names.clone(),
            started: now,
        };
        Ok(Self {
            alerts: Alerts::open(store.clone(), sources, hostname()).await?,
            meeting: Meeting::new(fleet.clone(), store.clone(), defender, config.rotation_policy),
            refusals: Refusals::new(fleet.clone(), metrics.clone()),
            rotation: AuthorityRotation {
                renewal: Arc::clone(&channels.renewal),
                names: names.clone(),
                enrolment: enrolment.clone(),
                fleet: fleet.clone(),
                store: store.clone(),
                backups: keeper.clone(),
            },
            access,
            channels,
            enrolment,
            fleet,
            guard,
            keeper,
            metrics,
            names,
            public_url,
            store,
        })
    }
}
