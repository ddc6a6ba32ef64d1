//! A good set before the gate: it goes live, waits, or is refused until there is another answer.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::Judge;
use crate::gate::{Gate, Objection, Permit};
use crate::material::Material;
use crate::publish::Refusal;
use crate::rotate::Outcome;

/// A good set that is not live yet.
#[derive(Debug)]
pub(super) struct Waiting {
    material: Arc<Material>,
    /// Until then nothing is said: both sides may be getting their files at this moment.
    quiet_until: Option<Instant>,
    /// Whether it was refused meanwhile.
    is_refused: bool,
}

impl<T> Judge<T> {
    /// From now on `gate` has a say.
    pub(crate) fn set_gate(&mut self, gate: Gate) {
        self.gate = Some(gate);
    }

    /// Has a good set go live, or puts it before the gate.
    pub(super) fn offer(
        &mut self,
        material: Material,
        now: Instant,
        date: OffsetDateTime,
    ) -> Option<Outcome> {
        let material = Arc::new(material);
        let Some(gate) = &self.gate else { return self.take(&material, date) };
        self.judged = Some(material.fingerprint());
        self.missing.clear();
        gate.offer(Some(Arc::clone(&material)));
        self.waiting = Some(Waiting { material, quiet_until: Some(now + QUIET), is_refused: false });
        self.knock(now, date)
    }

    /// Does what the gate says of the set that waits.
    pub(crate) fn knock(&mut self, now: Instant, date: OffsetDateTime) -> Option<Outcome> {
        let (gate, waiting) = (self.gate.as_ref()?, self.waiting.as_mut()?);
        if waiting.quiet_until.is_some_and(|until| until <= now) {
            waiting.quiet_until = None;
        }
        let is_quiet = waiting.quiet_until.is_some();
        match gate.answer_to(waiting.material.fingerprint())? {
            Permit::Granted => self.pass(date),
            _ if is_quiet => None,
            Permit::Held(objection) => self.hold_back(objection),
            Permit::Warned(Objection { cause, remedy }) => {
                let channel = self.channel.log_name();
                tracing::warn!(remedy, "Taking {channel} custom certificates although {cause}");
                self.pass(date)
            }
        }
    }

    /// When to knock again without an answer.
    pub(crate) fn knock_at(&self) -> Option<Instant> {
        self.waiting.as_ref()?.quiet_until
    }

    /// Waits for an answer. Cancel-safe.
    pub(crate) async fn answered(&mut self) {
        match &mut self.gate {
            Some(gate) => gate.answered().await,
            None => std::future::pending().await,
        }
    }

    /// The files are other ones now.
    pub(super) fn withdraw(&mut self) {
        let Some(waiting) = self.waiting.take() else { return };
        if let Some(gate) = &self.gate {
            gate.offer(None);
        }
        if waiting.is_refused {
            self.reported = None;
            self.publisher.set_refusal(None);
        }
    }

    fn pass(&mut self, date: OffsetDateTime) -> Option<Outcome> {
        let waiting = self.waiting.take()?;
        if let Some(gate) = &self.gate {
            gate.offer(None);
        }
        if let Some(error) = waiting.material.unfit(date) {
            let outcome = self.refuse(waiting.material.fingerprint(), &error);
            self.retry_at = waiting.material.next_date(date);
            return outcome;
        }
        self.take(&waiting.material, date)
    }

    /// Refuses the set, once; afterwards only what is told about it changes.
    fn hold_back(&mut self, objection: Objection) -> Option<Outcome> {
        let waiting = self.waiting.as_mut()?;
        let set = Some(waiting.material.leaf().sha256.clone());
        let seen = waiting.material.fingerprint();
        if !std::mem::replace(&mut waiting.is_refused, true) {
            return self.refuse_for(seen, objection.cause, objection.remedy, set);
        }
        let Objection { cause: error, remedy } = objection;
        let reported = Some((seen, error.clone()));
        if self.reported != reported {
            self.reported = reported;
            let at = self.publisher.refusal().map_or_else(OffsetDateTime::now_utc, |before| before.at);
            self.publisher.set_refusal(Some(Refusal { error, remedy, at, set }));
        }
        None
    }
}

/// Files often come to both sides at the same time, and what a Defender has is known a second later.
const QUIET: Duration = Duration::from_secs(5);
