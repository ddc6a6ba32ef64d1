//! What is known of certificates in memory, and what of it is not on disk yet.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use time::OffsetDateTime;
use uuid::Uuid;

use super::pace::Pace;
use super::{ClientCredential, Mark, Refused, Return, Rules, State, Use};
use crate::store::enrolment::EnrolmentRows;

/// What is known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) state: State,
    pub(super) pace: Pace,
    /// Defenders of which not everything is on disk yet.
    pub(super) dirty: HashSet<Uuid>,
    /// Uses of registrations that are not on disk yet, by registration and Defender; also while they are written.
    unwritten: BTreeMap<(Uuid, Uuid), Use>,
    /// Defenders that wait for an administrator.
    pub(super) returns: BTreeMap<Uuid, Return>,
}

impl Known {
    pub(super) fn new(state: State) -> Self {
        let pace = Pace::of_fleet();
        Self { state, pace, dirty: HashSet::new(), unwritten: BTreeMap::new(), returns: BTreeMap::new() }
    }

    /// The use to be on disk before the certificate is issued, if there is one.
    pub(super) fn note_enrolment(
        &mut self,
        credential: &ClientCredential,
        id: Uuid,
        address: IpAddr,
        rules: &Rules,
        now: OffsetDateTime,
    ) -> Result<Option<(Uuid, Uuid, Use)>, Refused> {
        let is_first_use = self.state.enrol(credential, id, address, rules, now)?;
        if !matches!(credential.mark, Mark::Own(_)) {
            self.dirty.insert(id);
        }
        let Mark::Registration(of) = credential.mark else { return Ok(None) };
        if is_first_use {
            self.unwritten.insert((of, id), Use { at: now, address });
        }
        let is_counted = self.state.registrations.get(&of).is_some_and(|one| one.max_uses.is_some());
        // Whoever asks again, after a write that failed or during it, waits for the disk like the first time.
        let use_ = self.unwritten.get(&(of, id)).filter(|_| is_counted);
        Ok(use_.map(|use_| (of, id, use_.clone())))
    }

    /// What is to be written; the uses stay until [`Known::wrote`].
    pub(super) fn take_rows(&mut self) -> EnrolmentRows {
        let dirty = std::mem::take(&mut self.dirty);
        let enrolled = dirty.into_iter().filter_map(|id| Some((id, self.state.enrolled.get(&id)?.clone())));
        let uses = self.unwritten.iter().map(|((of, id), use_)| (*of, *id, use_.clone()));
        EnrolmentRows { enrolled: enrolled.collect(), uses: uses.collect() }
    }

    /// Notes that these uses are on disk.
    pub(super) fn wrote(&mut self, uses: &[(Uuid, Uuid, Use)]) {
        for (of, id, _) in uses {
            self.unwritten.remove(&(*of, *id));
        }
    }
}
