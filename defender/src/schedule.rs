//! When to ask for the next certificate. Pure: time and randomness are arguments. Who asks is `enrol.rs`.

use std::time::Duration;

use tokio::time::Instant;

use crate::own::Kept;

/// What a session runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The certificate that is to be renewed.
    Own,
    /// A registration: there is no certificate yet.
    Registration,
}

/// The requests of one session.
#[derive(Debug)]
pub struct Schedule {
    /// Whether the Console has its reasons to have the certificate renewed before it is time.
    is_told: bool,
    /// When to try again what has failed.
    retry: Option<Instant>,
}

impl Schedule {
    /// For a session that begins `now`. With a registration the first attempt was made before it.
    #[must_use]
    pub fn new(basis: Basis, kept: Option<&Kept>, share: f64, now: Instant) -> Self {
        let retry = (basis == Basis::Registration).then(|| now + pause(kept, share));
        Self { is_told: false, retry }
    }

    /// When to ask; `None`: not by itself.
    #[must_use]
    pub fn due(&self, kept: Option<&Kept>) -> Option<Instant> {
        if self.is_told {
            return self.retry;
        }
        kept.map(|kept| kept.renew_at).into_iter().chain(self.retry).max()
    }

    /// The Console wants it renewed now.
    pub fn tell(&mut self) {
        self.is_told = true;
    }

    /// Notes that an attempt has failed; returns how long the next one waits.
    pub fn fail(&mut self, kept: Option<&Kept>, share: f64, now: Instant) -> Duration {
        let pause = pause(kept, share);
        self.retry = Some(now + pause);
        pause
    }

    /// Notes that there is a new certificate.
    pub fn succeed(&mut self) {
        (self.is_told, self.retry) = (false, None);
    }
}

/// Until the next attempt after one that failed: a twentieth of the certificate's life.
fn pause(kept: Option<&Kept>, share: f64) -> Duration {
    let life = kept.map_or(LONGEST_PAUSE, |kept| {
        let facts = kept.material.leaf();
        Duration::try_from(facts.not_after - facts.not_before).unwrap_or_default()
    });
    (life / 20).clamp(SHORTEST_PAUSE, LONGEST_PAUSE).mul_f64(0.5 + share / 2.0)
}

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
