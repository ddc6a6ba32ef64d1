//! Tests of `own.rs`.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A Console's authority, as far as it issues.
struct Console {
    authority: certs::Authority,
    dir: tempfile::TempDir,
}

impl Console {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let now = OffsetDateTime::now_utc();
        let authority = certs::Authority::open_or_create(&dir.path().join("console"), now).expect("made");
        Self { authority, dir }
    }

    fn own(&self) -> OwnCertificate {
        OwnCertificate::open(self.dir.path(), || 0.5, Now::read())
    }

    fn issue(&self, life: Duration, ago: Duration) -> (KeyRequest, String, String) {
        let request = certs::request().expect("made");
        let now = OffsetDateTime::now_utc() - ago;
        let id = "6f9d3f3e-0000-4000-8000-000000000001";
        let chain = self.authority.sign_request(&request.csr_pem, id, life, now).expect("issued");
        (request, chain, self.authority.ca_pem().to_owned())
    }
}

const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn sha256(own: &OwnCertificate) -> Option<String> {
    own.subscribe().borrow().as_ref().map(|kept| kept.material.leaf().sha256.clone())
}

#[tokio::test]
async fn what_was_issued_is_kept_for_the_owner_alone_and_found_again() {
    let console = Console::new();
    let own = console.own();
    assert_eq!(sha256(&own), None);
    let (request, chain, ca) = console.issue(MONTH, Duration::ZERO);
    own.keep(&request, chain, ca, Instant::now()).await.expect("kept");
    let path = console.dir.path().join(FILE);
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    assert!(sha256(&own).is_some());
    assert_eq!(sha256(&console.own()), sha256(&own));
}

#[tokio::test]
async fn other_authorities_are_trusted_with_the_same_key_and_renewal() {
    let (console, other) = (Console::new(), Console::new());
    let own = console.own();
    let (request, chain, ca) = console.issue(MONTH, Duration::ZERO);
    own.keep(&request, chain, ca.clone(), Instant::now()).await.expect("kept");
    let before = own.subscribe().borrow().clone().expect("kept");
    own.trust(format!("{ca}{}", other.authority.ca_pem()), Instant::now()).await.expect("kept");
    let after = own.subscribe().borrow().clone().expect("kept");
    assert_eq!(after.material.leaf(), before.material.leaf());
    assert_eq!((after.material.cas().len(), after.renew_at), (2, before.renew_at));
    assert_eq!(console.own().subscribe().borrow().as_ref().map(|kept| kept.material.cas().len()), Some(2));
    own.trust("nonsense".to_owned(), Instant::now()).await.expect_err("no CA in it");
    assert_eq!(own.subscribe().borrow().as_ref().map(|kept| kept.material.cas().len()), Some(2));
}

#[tokio::test]
async fn a_damaged_file_is_left_out_and_replaced_by_the_next_certificate() {
    let console = Console::new();
    let (request, chain, ca) = console.issue(MONTH, Duration::ZERO);
    console.own().keep(&request, chain, ca, Instant::now()).await.expect("kept");
    let path = console.dir.path().join(FILE);
    let good = std::fs::read(&path).expect("there");
    for damaged in [&b""[..], b"{}", &good[..good.len() / 2], &[0xff; 100]] {
        std::fs::write(&path, damaged).expect("written");
        let own = console.own();
        assert_eq!(sha256(&own), None);
        let (request, chain, ca) = console.issue(MONTH, Duration::ZERO);
        own.keep(&request, chain, ca, Instant::now()).await.expect("kept");
        assert!(sha256(&console.own()).is_some());
    }
}

#[tokio::test]
async fn a_certificate_for_another_key_is_not_kept() {
    let console = Console::new();
    let own = console.own();
    let (_, chain, ca) = console.issue(MONTH, Duration::ZERO);
    let other = certs::request().expect("made");
    assert!(matches!(own.keep(&other, chain, ca, Instant::now()).await, Err(KeepError::Certificates(_))));
    assert_eq!(sha256(&own), None);
}

#[test]
fn renewal_is_due_before_half_the_life_whatever_the_clock_says() {
    let console = Console::new();
    let material = |ago| {
        let (request, chain, ca) = console.issue(MONTH, ago);
        let files = Files { ca, cert: chain, key: request.key_pem };
        parse(Path::new("own"), files).expect("good")
    };
    let days = |due: Duration| due.as_secs_f64() / 86_400.0;
    let new = material(Duration::ZERO);
    for (share, expected) in [(0.0, 15.0), (1.0, 12.0)] {
        assert!((days(due_after(&new, None, share)) - expected).abs() < 0.1);
        let now = OffsetDateTime::now_utc();
        assert!((days(due_after(&new, Some(now), share)) - expected).abs() < 0.1);
        // A clock that is a year behind, and one that is a year ahead.
        let year = time::Duration::days(365);
        assert!(days(due_after(&new, Some(now - year), share)) <= expected + 0.1);
        assert_eq!(due_after(&new, Some(now + year), share), Duration::ZERO);
    }
    let old = material(Duration::from_secs(20 * 24 * 60 * 60));
    assert_eq!(due_after(&old, Some(OffsetDateTime::now_utc()), 0.0), Duration::ZERO);
}

#[tokio::test]
async fn two_sessions_that_change_it_at_a_time_leave_one_whole_file() {
    let console = Console::new();
    let own = console.own();
    let (request, chain, ca) = console.issue(MONTH, Duration::ZERO);
    own.keep(&request, chain, ca.clone(), Instant::now()).await.expect("kept");
    for _ in 0..50 {
        let (request, chain, ca) = console.issue(MONTH, Duration::ZERO);
        let (kept, trusted) = tokio::join!(
            own.keep(&request, chain, ca.clone(), Instant::now()),
            own.trust(ca, Instant::now())
        );
        kept.expect("kept");
        trusted.expect("trusted");
        assert_eq!(sha256(&console.own()), sha256(&own));
    }
}
