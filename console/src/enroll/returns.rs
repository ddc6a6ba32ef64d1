//! Defenders that come back with nothing that speaks for them any more: they are remembered, and an administrator lets
//! them in.

use std::net::IpAddr;

use protocol::message::Hello;
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
    /// Name of its host, as it says.
    pub hostname: String,
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

    /// Lets a Defender that waits come back within a day, in the name of `actor`; `None` when it does not wait.
    ///
    /// # Errors
    /// When the store cannot keep it; nothing has changed then.
    pub async fn approve(
        &self,
        id: Uuid,
        actor: Actor,
        now: OffsetDateTime,
    ) -> Result<Option<Return>, StoreError> {
        let Some(one) = self.known().returns.get(&id).cloned() else { return Ok(None) };
        let new = json!({ "hostname": one.hostname, "address": one.address.to_canonical(), "why": one.why.to_string() });
        let (action, object) = (Action::ReturnApproved, id.to_string());
        let deed = Deed { actor, action, object, old: Value::Null, new };
        let until = Some(now + APPROVED_FOR);
        let unknown = || Enrolled::new(OffsetDateTime::UNIX_EPOCH, None);
        let enrolled = self.look(|enrolled| enrolled.get(&id).cloned()).unwrap_or_else(unknown);
        let enrolled = Enrolled { approved_until: until, ..enrolled };
        self.inner.store.approve_return(id, &enrolled, &deed, now).await?;
        {
            let mut known = self.known();
            known.state.enrolled.entry(id).or_insert_with(unknown).approved_until = until;
            known.returns.remove(&id);
            // What came to be known of it during the write is not in the row that was written.
            known.dirty.insert(id);
        }
        self.inner.changed.notify_one();
        Ok(Some(one))
    }

    /// Whether a Defender waits.
    #[must_use]
    pub fn is_waiting(&self, id: Uuid) -> bool {
        self.known().returns.contains_key(&id)
    }

    /// Forgets a Defender that waits.
    pub fn forget_return(&self, id: Uuid) {
        self.known().returns.remove(&id);
    }

    pub(super) fn note_return(&self, hello: &Hello, address: IpAddr, why: Refused, now: OffsetDateTime) {
        let id = hello.defender.id;
        let waits = matches!(why, Refused::HasItsOwn | Refused::NeedsApproval | Refused::Superseded);
        let mut known = self.known();
        if waits && (known.returns.len() < MOST_RETURNS || known.returns.contains_key(&id)) {
            let hostname = hello.defender.hostname.clone();
            let one = Return { asked_at: now, hostname, address, why };
            known.returns.insert(id, one);
        }
    }
}

/// How long an approval stands.
const APPROVED_FOR: Duration = Duration::DAY;

/// More are not remembered at a time.
const MOST_RETURNS: usize = 10_000;
