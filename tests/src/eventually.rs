//! Waiting: for a condition, or for time itself to pass. The only place that sleeps.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Looks until `look` finds something, and returns it.
///
/// # Panics
/// With `what` and the last thing seen, when `deadline` passes first.
pub async fn eventually<T, S: Debug>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let begin = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if begin.elapsed() > deadline => {
                panic!("not within {deadline:?}: {what}; seen: {seen:?}")
            }
            Err(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
        }
    }
}

/// Asserts that `look` finds nothing wrong during `span`: for what must *not* happen.
///
/// # Panics
/// With `what` and what was found.
pub async fn holds<S: Debug>(what: &str, span: Duration, mut look: impl AsyncFnMut() -> Result<(), S>) {
    let begin = Instant::now();
    while begin.elapsed() < span {
        if let Err(seen) = look().await {
            panic!("did not hold: {what}; seen after {:?}: {seen:?}", begin.elapsed());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Lets time pass, where it is time that matters and nothing that could be looked at: `why` says what it is for.
pub async fn pass(span: Duration, why: &str) {
    println!("{span:?} pass: {why}");
    tokio::time::sleep(span).await;
}

/// As [`pass`], outside of a runtime.
pub fn pass_blocking(span: Duration, why: &str) {
    println!("{span:?} pass: {why}");
    std::thread::sleep(span);
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
