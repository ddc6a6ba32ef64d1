//! Defenders that come back with nothing that speaks for them any more: they are remembered, and an administrator lets
//! them in.

use std::net::IpAddr;

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Enrolled, Enrolment, Refused};
use crate::store::StoreError;
use crate::store::audits::{Action, Actor, Deed};

/// A Defender that waits for an administrator.
#[derive(Debug, Clone)]
pub struct Return {
    /// When it asked last.
    pub asked_at: OffsetDateTime,
    /// From where.
    pub address: IpAddr,
    /// Why it is not let in.
    pub why: Refused,
}

impl Enrolment {
    /// Those that wait, in no order. The Console forgets them when it stops: they ask again within a minute.
    #[must_use]
    pub fn returns(&self) -> Vec<(Uuid, Return)> {
        self.known().returns.iter().map(|(id, one)| (*id, one.clone())).collect()
    }

    /// Lets a Defender that waits come back within a day, in the name of `actor`. `false` when it does not wait.
    ///
    /// # Errors
    /// When the store cannot keep it; nothing has changed then.
    pub async fn approve(&self, id: Uuid, actor: Actor) -> Result<bool, StoreError> {
        let Some(one) = self.known().returns.get(&id).cloned() else { return Ok(false) };
        let now = OffsetDateTime::now_utc();
        let new = json!({ "address": one.address.to_canonical(), "why": one.why.to_string() });
        let (action, object) = (Action::ReturnApproved, id.to_string());
        let deed = Deed { actor, action, object, old: Value::Null, new };
        self.inner.store.record(&deed, now).await?;
        let mut known = self.known();
        let unknown = || Enrolled::new(OffsetDateTime::UNIX_EPOCH, None);
        known.state.enrolled.entry(id).or_insert_with(unknown).approved_until = Some(now + APPROVED_FOR);
        known.returns.remove(&id);
        known.dirty.insert(id);
        self.inner.changed.notify_one();
        Ok(true)
    }

    pub(super) fn note_return(&self, id: Uuid, address: IpAddr, why: Refused) {
        let waits = matches!(why, Refused::HasItsOwn | Refused::NeedsApproval | Refused::Superseded);
        let mut known = self.known();
        if waits && (known.returns.len() < MOST_RETURNS || known.returns.contains_key(&id)) {
            let one = Return { asked_at: OffsetDateTime::now_utc(), address, why };
            known.returns.insert(id, one);
        }
    }
}

/// How long an approval stands.
const APPROVED_FOR: Duration = Duration::DAY;

/// More are not remembered at a time.
const MOST_RETURNS: usize = 10_000;
