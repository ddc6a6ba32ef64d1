//! Storage that is not well: the directory may be on a network, which hangs or breaks. What runs must never wait for it.

use std::fmt::Display;
use std::future;
use std::io;
use std::panic;
use std::time::Duration;

use nix::errno::Errno;
use tokio::task::{JoinError, spawn_blocking};

/// What a program does while its directory does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meanwhile {
    /// It runs, on what it has.
    GoesOn,
    /// It has nothing yet, and waits.
    Waits,
}

/// Whether the storage itself has failed, so that nothing is known of what is there.
pub(crate) fn is_broken(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| BROKEN.contains(&Errno::from_raw(code)))
}

/// Does `work`, which looks at `place`, off the runtime's threads, for as long as it takes. Says so when that is long,
/// unless `is_told`, which holds afterwards whether it was long. A panic of `work` goes on here.
pub async fn look<T: Send + 'static>(
    place: impl Display,
    meanwhile: Meanwhile,
    is_told: &mut bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    match patiently(place, meanwhile, is_told, work).await {
        Ok(seen) => seen,
        Err(error) => match error.try_into_panic() {
            Ok(cause) => panic::resume_unwind(cause),
            // The runtime goes down, and the caller with it.
            Err(_) => future::pending().await,
        },
    }
}

/// Does `work`, which looks at `place`, off the runtime's threads, for as long as it takes. Says so when that is long,
/// unless `is_told`, which holds afterwards whether it was long.
///
/// # Errors
/// `work` panicked.
pub(crate) async fn patiently<T: Send + 'static>(
    place: impl Display,
    meanwhile: Meanwhile,
    is_told: &mut bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let mut work = spawn_blocking(work);
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
        *is_told = false;
        return done;
    }
    if !std::mem::replace(is_told, true) {
        let meanwhile = match meanwhile {
            Meanwhile::GoesOn => "what runs goes on",
            Meanwhile::Waits => "waiting for it",
        };
        tracing::warn!(
            remedy = "find out why the storage that is mounted there does not answer",
            "Certificates directory does not answer, {meanwhile}: {place}"
        );
    }
    work.await
}

/// How long a look may take before somebody is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server that is gone, a handle that it no longer knows, a network or a disk that fails.
const BROKEN: [Errno; 9] = [
    Errno::EHOSTDOWN,
    Errno::EHOSTUNREACH,
    Errno::EIO,
    Errno::ENETDOWN,
    Errno::ENETUNREACH,
    Errno::ENOTCONN,
    Errno::EREMOTEIO,
    Errno::ESTALE,
    Errno::ETIMEDOUT,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_storage_is_told_from_files_that_are_missing_or_closed() {
        for (errno, broken) in [
            (Errno::ENOTCONN, true),
            (Errno::ESTALE, true),
            (Errno::EIO, true),
            (Errno::ENOENT, false),
            (Errno::EACCES, false),
            (Errno::ELOOP, false),
        ] {
            assert_eq!(is_broken(&errno.into()), broken, "{errno}");
        }
        assert!(!is_broken(&io::Error::other("of our own")));
    }

    #[tokio::test]
    async fn what_takes_long_is_told_once_until_it_is_quick_again() {
        let heard = crate::overhear::Overheard::listen();
        let (place, mut is_told) = ("/remote", false);
        let slow = || std::thread::sleep(PATIENCE + Duration::from_millis(200));
        for _ in 0..2 {
            patiently(place, Meanwhile::GoesOn, &mut is_told, slow).await.expect("done");
        }
        let lines = heard.take();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains("does not answer, what runs goes on: /remote"), "{lines:#?}");
        assert_eq!(patiently(place, Meanwhile::Waits, &mut is_told, || 7).await.expect("done"), 7);
        assert!(!is_told);
    }
}
