//! Between a set that was judged good and its going live: somebody who knows more than the files may hold it back.
//!
//! The channel's loop offers a set and waits; who has the other half answers, and may answer again as long as the set
//! waits. What comes of an answer is in `judge/waiting.rs`.

use std::sync::Arc;

use tokio::sync::watch;

use crate::fingerprint::Fingerprint;
use crate::material::Material;

/// The half of the channel's loop.
#[derive(Debug)]
pub struct Gate {
    offered: watch::Sender<Option<Arc<Material>>>,
    answers: watch::Receiver<Option<Answer>>,
}

/// The half of who decides; without one, everything passes. Clones decide together.
#[derive(Debug, Clone)]
pub struct Gatekeeper {
    offered: watch::Receiver<Option<Arc<Material>>>,
    answers: watch::Sender<Option<Answer>>,
}

#[derive(Debug, Clone)]
struct Answer {
    to: Fingerprint,
    permit: Permit,
}

/// What is to become of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// It goes live at once.
    Granted,
    /// It waits; after a few quiet seconds it is refused, and goes on waiting for another answer.
    Held(Objection),
    /// It goes live after a few quiet seconds, with a warning.
    Warned(Objection),
}

/// Why a set should not go live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The CAUSE of the log line.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
}

/// Both halves.
#[must_use]
pub fn gate() -> (Gate, Gatekeeper) {
    let (offered, offered_receiver) = watch::channel(None);
    let (answers, answers_receiver) = watch::channel(None);
    let keeper = Gatekeeper { offered: offered_receiver, answers };
    (Gate { offered, answers: answers_receiver }, keeper)
}

impl Gatekeeper {
    /// The set that waits now.
    #[must_use]
    pub fn offered(&self) -> Option<Arc<Material>> {
        self.offered.borrow().clone()
    }

    /// Waits until another set waits, or none any more. Never, once the channel's loop has ended. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.offered.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Says what is to become of the set `to`; of no consequence when it waits no more.
    pub fn answer(&self, to: Fingerprint, permit: Permit) {
        self.answers.send_replace(Some(Answer { to, permit }));
    }
}

impl Gate {
    /// Puts a set before the gate, or takes it away.
    pub(crate) fn offer(&self, material: Option<Arc<Material>>) {
        self.offered.send_replace(material);
    }

    /// What was answered about a set; `None` while there is no answer.
    pub(crate) fn answer_to(&self, set: Fingerprint) -> Option<Permit> {
        if self.answers.has_changed().is_err() {
            return Some(Permit::Granted);
        }
        self.answers.borrow().as_ref().filter(|answer| answer.to == set).map(|answer| answer.permit.clone())
    }

    /// Waits for an answer that was not seen. Never, when nobody answers any more. Cancel-safe.
    pub(crate) async fn answered(&mut self) {
        if self.answers.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
