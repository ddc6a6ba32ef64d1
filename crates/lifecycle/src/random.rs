//! The system's randomness, for tokens and jitter.

use std::time::Duration;

/// Fills an array with random bytes, fit for secrets.
///
/// # Panics
/// When the kernel has no randomness to give, which Linux does not do once it has booted.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the kernel gives randomness once it has booted");
    bytes
}

/// A random share, from 0 up to but not including 1, with 32 bits of precision.
#[must_use]
pub fn share() -> f64 {
    f64::from(u32::from_ne_bytes(bytes())) / (f64::from(u32::MAX) + 1.0)
}

/// A random delay below `end`.
#[must_use]
pub fn below(end: Duration) -> Duration {
    end.mul_f64(share())
}
