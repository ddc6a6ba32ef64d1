//! The steps of a rotation of the CA: begin, sign, back, retire. Each is on disk before anything uses it.

use std::sync::PoisonError;

use thiserror::Error;
use time::OffsetDateTime;

use super::ring::{self, Phase, Ring, Stage};
use super::{Authority, AuthorityError};
use crate::certificate::CertificateFacts;

/// One CA as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaState {
    /// Its certificate.
    pub facts: CertificateFacts,
    /// Whether it signs for Defenders now.
    pub signs: bool,
}

/// Why a step was not taken. Nothing has changed.
#[derive(Debug, Error)]
pub enum StepError {
    /// It is no step from where the rotation stands.
    #[error("{0}")]
    NotNow(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] AuthorityError),
}

impl Authority {
    /// The rotation under way.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.ring().phase
    }

    /// Every CA that Defenders are to trust, the present one first.
    #[must_use]
    pub fn trusted(&self) -> Vec<CaState> {
        let ring = self.ring();
        let signer = ring.signer().certificate.facts().sha256.clone();
        let state =
            |facts: &CertificateFacts| CaState { facts: facts.clone(), signs: facts.sha256 == signer };
        ring.trusted().map(|ca| state(ca.certificate.facts())).collect()
    }

    /// Makes the next CA; Defenders are to trust it from now on.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn begin(&self, now: OffsetDateTime, automatic: bool) -> Result<(), StepError> {
        self.step(|ring| match ring.phase {
            None => Ok(ring::begin(&self.dir, ring, now, automatic)?),
            Some(_) => Err(StepError::NotNow("a rotation is under way")),
        })
    }

    /// The next CA signs from now on.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn sign(&self, now: OffsetDateTime) -> Result<(), StepError> {
        self.step(|ring| match ring.phase {
            Some(phase @ Phase { stage: Stage::Trust, .. }) => {
                Ok(ring::write_phase(&self.dir, Phase { stage: Stage::Sign, since: now, ..phase })?)
            }
            _ => Err(StepError::NotNow("only a rotation in the stage trust can go on to sign")),
        })
    }

    /// One stage back: the present CA signs again; or, from the first stage, the next CA is forgotten.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn roll_back(&self, now: OffsetDateTime) -> Result<(), StepError> {
        self.step(|ring| match ring.phase {
            Some(phase @ Phase { stage: Stage::Sign, .. }) => {
                Ok(ring::write_phase(&self.dir, Phase { stage: Stage::Trust, since: now, ..phase })?)
            }
            Some(_) => Ok(ring::give_up(&self.dir, ring)?),
            None => Err(StepError::NotNow("no rotation is under way")),
        })
    }

    /// The next CA takes the place of the present one, whose key is forgotten.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn retire(&self) -> Result<(), StepError> {
        self.step(|ring| match ring.phase {
            Some(Phase { stage: Stage::Sign, .. }) => Ok(ring::retire(&self.dir)?),
            _ => Err(StepError::NotNow("only a rotation in the stage sign can retire the present CA")),
        })
    }

    /// Takes a step on disk, then as the disk has it.
    fn step(&self, take: impl FnOnce(&Ring) -> Result<(), StepError>) -> Result<(), StepError> {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        take(&ring)?;
        *ring = Ring::open(&self.dir)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
