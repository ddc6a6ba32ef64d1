//! Argon2id with OWASP's parameters (19 MiB, 2 passes, 1 lane). Each hash takes a processor for some 20 ms, so
//! few run at once and few wait: guessing cannot starve the rest of the Console.

use std::sync::Arc;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use thiserror::Error;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Hashes and verifies, a few at a time.
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    /// Verified in place of the hash of a user who is not there: that takes as long as a real one.
    decoy: Arc<str>,
}

/// No turn within reasonable time.
#[derive(Debug, Error)]
#[error("too many passwords are being checked")]
pub struct PasswordError;

/// A text that cannot be a password.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a password has 8 to 1024 characters")]
pub(super) struct FormError;

impl Passwords {
    /// Makes the decoy, which takes as long as one password.
    ///
    /// # Errors
    /// When hashing fails.
    pub(super) async fn new() -> Result<Self, PasswordError> {
        let mut passwords = Self { turns: Arc::new(Semaphore::new(AT_ONCE)), decoy: Arc::from("") };
        passwords.decoy = Arc::from(passwords.hash("the password of nobody").await?);
        Ok(passwords)
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub(super) async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let password = Zeroizing::new(password.to_owned());
        self.in_turn(move || {
            let salt = lifecycle::random::bytes::<16>();
            let hash = argon2().hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(|_| PasswordError)
        })
        .await?
    }

    /// Whether it is the password of `hash`; `false` after the same time where there is none.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub(super) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, PasswordError> {
        let is_user = hash.is_some();
        let hash = hash.map_or_else(|| Arc::clone(&self.decoy), Arc::from);
        // What is too long for a password is wrong; it is cut so that it costs no more than one.
        let fits = check_form(password).is_ok();
        let cut = password.chars().take(MOST_CHARACTERS).collect::<String>();
        let password = Zeroizing::new(cut);
        let right =
            self.in_turn(move || argon2().verify_password(password.as_bytes(), &*hash).is_ok()).await?;
        Ok(right && is_user && fits)
    }

    /// Keeps everybody from hashing, for tests of what must not hash.
    #[cfg(test)]
    pub(super) async fn hold_all(&self) -> impl Drop + use<> {
        let all = u32::try_from(AT_ONCE).expect("few");
        Arc::clone(&self.turns).acquire_many_owned(all).await.expect("never closed")
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(PATIENCE, turn).await.map_err(|_| PasswordError)?;
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
        .map_err(|_| PasswordError)
    }
}

/// Whether a text can be a password.
pub(super) fn check_form(password: &str) -> Result<(), FormError> {
    let characters = password.chars().take(MOST_CHARACTERS + 1).count();
    if (8..=MOST_CHARACTERS).contains(&characters) { Ok(()) } else { Err(FormError) }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or(Params::DEFAULT);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

const AT_ONCE: usize = 2;
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_CHARACTERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_user_is_right() {
        let passwords = Passwords::new().await.expect("idle");
        let hash = passwords.hash("correct horse").await.expect("idle");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse").await.expect("idle"), "each has a salt of its own");
        assert!(passwords.verify("correct horse", Some(&hash)).await.expect("idle"));
        assert!(!passwords.verify("wrong horse", Some(&hash)).await.expect("idle"));
        assert!(!passwords.verify("the password of nobody", None).await.expect("idle"));
        assert!(!passwords.verify("correct horse", Some("damaged")).await.expect("idle"));
    }

    #[test]
    fn a_password_has_8_to_1024_characters() {
        assert_eq!(check_form("1234567"), Err(FormError));
        assert_eq!(check_form("ääääääää"), Ok(()));
        assert_eq!(check_form(&"x".repeat(1024)), Ok(()));
        assert_eq!(check_form(&"x".repeat(1025)), Err(FormError));
    }
}
