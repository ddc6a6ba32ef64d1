//! Tests of `start.rs`: what is there at start, what comes later, and what must not be taken.

use std::fs;

use tempfile::TempDir;
use testpki::{Ca, Leaf, Pair, Writing, put, write_defender};

use super::*;
use crate::own::Now;

struct Dirs {
    custom: TempDir,
    bundle: TempDir,
    ca: Ca,
    board: Board,
    shutdown: CancellationToken,
}

impl Dirs {
    fn new() -> Self {
        Self {
            custom: tempfile::tempdir().expect("directory"),
            bundle: tempfile::tempdir().expect("directory"),
            ca: Ca::new("console"),
            board: Board::new("wss://console", OffsetDateTime::now_utc()),
            shutdown: CancellationToken::new(),
        }
    }

    fn pair(&self) -> Pair {
        self.ca.issue(&Leaf::client("defender"))
    }

    fn put_bundle(&self) {
        write_defender(self.bundle.path(), &self.ca, &self.pair(), Writing::Atomic);
    }

    /// All but the CA.
    fn put_bundle_pair(&self) {
        let pair = self.pair();
        put(self.bundle.path(), "defender-client-cert.pem", &pair.cert_pem, Writing::Atomic);
        put(self.bundle.path(), "defender-client-key.pem", &pair.key_pem, Writing::Atomic);
    }

    fn put_custom(&self) {
        write_defender(self.custom.path(), &self.ca, &self.pair(), Writing::Atomic);
    }

    async fn find(&self) -> Result<Option<Foundation>, StartError> {
        let custom = CustomDir::open(self.custom.path(), Duration::from_secs(1));
        let data = tempfile::tempdir().expect("directory");
        let sources = Sources {
            own: OwnCertificate::open(data.path(), || 0.0, Now::read()),
            custom,
            bundle_dir: self.bundle.path().to_owned(),
            bundle: None,
            poll: Duration::from_secs(1),
        };
        find(&sources, &self.board, &self.shutdown).await
    }

    /// What the waiting Defender tells `defender status`.
    async fn told(&self, text: &str) {
        let says = |fault: &crate::status::Fault| fault.text.contains(text);
        let mut status = self.board.subscribe();
        status
            .wait_for(|status| status.last_error.as_ref().is_some_and(says))
            .await
            .expect("the board lives");
    }
}

#[tokio::test]
async fn custom_files_win_over_the_bundle_even_over_a_broken_one() {
    let dirs = Dirs::new();
    dirs.put_bundle();
    assert!(dirs.find().await.expect("found").expect("found").custom.is_none());
    dirs.put_custom();
    assert!(dirs.find().await.expect("found").expect("found").custom.is_some());
    fs::write(dirs.bundle.path().join("defender-ca.pem"), "junk").expect("written");
    assert!(dirs.find().await.expect("found").expect("found").custom.is_some());
}

#[tokio::test]
async fn what_is_unusable_at_start_ends_the_start_with_the_line_of_the_contract() {
    let dirs = Dirs::new();
    dirs.put_bundle();
    put(dirs.bundle.path(), "defender-client-key.pem", dirs.pair().key_pem, Writing::Atomic);
    let error = dirs.find().await.expect_err("another key");
    assert!(matches!(error, StartError::Bundle(_)));
    let (cert, key) = ("defender-client-cert.pem", "defender-client-key.pem");
    let (cert, key) = (dirs.bundle.path().join(cert), dirs.bundle.path().join(key));
    let expected = format!(
        "Failed to construct defender client TLS config error reading X509 key pair ({}, {}): tls: private key does \
         not match public key",
        cert.display(),
        key.display()
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
    dirs.put_custom();
    fs::write(dirs.custom.path().join("defender-ca.pem"), "junk").expect("written");
    let error = dirs.find().await.expect_err("no CA");
    assert!(matches!(error, StartError::Custom(_)) && !error.remedy().is_empty());
    let start = "Failed to construct defender client TLS config error reading CA certificate (";
    assert!(error.to_string().starts_with(start), "{error}");
}

#[tokio::test]
async fn a_bundle_may_come_file_by_file() {
    let dirs = Dirs::new();
    let pair = dirs.pair();
    let come = async {
        dirs.told("Waiting for an install bundle of the Console in").await;
        put(dirs.bundle.path(), "defender-client-cert.pem", &pair.cert_pem, Writing::Atomic);
        tokio::task::yield_now().await;
        put(dirs.bundle.path(), "defender-ca.pem", dirs.ca.pem(), Writing::Atomic);
        tokio::task::yield_now().await;
        put(dirs.bundle.path(), "defender-client-key.pem", &pair.key_pem, Writing::InPlace);
    };
    let (found, ()) = tokio::join!(dirs.find(), come);
    assert!(found.expect("waits").expect("found").custom.is_none());
}

#[tokio::test]
async fn a_bad_custom_set_is_refused_while_waiting_and_a_good_one_taken() {
    let dirs = Dirs::new();
    let come = async {
        dirs.told("or for custom certificates in").await;
        let expired = dirs.ca.issue(&Leaf::client("defender").expired());
        write_defender(dirs.custom.path(), &dirs.ca, &expired, Writing::Atomic);
        dirs.told("Failed to load defender client custom certificates: ").await;
        dirs.put_custom();
    };
    let (found, ()) = tokio::join!(dirs.find(), come);
    assert!(found.expect("waits").expect("found").custom.is_some());
}

#[tokio::test]
async fn a_bundle_that_stays_unusable_ends_the_wait() {
    let dirs = Dirs::new();
    let come = async {
        dirs.told("Waiting").await;
        put(dirs.bundle.path(), "defender-ca.pem", "junk", Writing::Atomic);
        dirs.put_bundle_pair();
    };
    let (found, ()) = tokio::join!(dirs.find(), come);
    assert!(matches!(found, Err(StartError::Bundle(_))), "{found:?}");
}

#[tokio::test]
async fn a_stop_ends_the_wait() {
    let dirs = Dirs::new();
    let stop = async {
        dirs.told("Waiting").await;
        dirs.shutdown.cancel();
    };
    let (found, ()) = tokio::join!(dirs.find(), stop);
    assert!(matches!(found, Ok(None)));
}

#[tokio::test]
async fn a_changed_bundle_is_followed_and_a_bad_one_is_not() {
    let dirs = Dirs::new();
    dirs.put_bundle();
    let first = bundle::read(dirs.bundle.path()).expect("good").expect("whole");
    let (sender, mut receiver) = watch::channel(Arc::new(first));
    let poll = Duration::from_secs(1);
    let follow = follow_bundle(dirs.bundle.path().to_owned(), poll, sender, dirs.shutdown.clone());
    let change = async {
        fs::write(dirs.bundle.path().join("defender-client-key.pem"), "junk").expect("written");
        let pair = dirs.pair();
        write_defender(dirs.bundle.path(), &dirs.ca, &pair, Writing::Atomic);
        receiver.changed().await.expect("followed");
        let followed = receiver.borrow().chain_pem();
        assert_eq!(followed.trim(), pair.cert_pem.trim());
        dirs.shutdown.cancel();
    };
    tokio::join!(follow, change);
}
