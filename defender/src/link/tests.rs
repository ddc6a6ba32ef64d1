//! Tests of `link.rs`: real certificates that rotate, and a Console that does what the test says.

use futures_util::StreamExt as _;
use protocol::ToDefender;
use protocol::message::CertificateSource;
use testpki::Ca;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::pace::{RESTART_AGAIN_JITTER, RESTART_JITTER};
use super::*;
use crate::fake::{Bench, Certificates, FakeConsole, Peer, identity};
use crate::status::Status;

struct Fixture {
    console: FakeConsole,
    bench: Bench,
    certificates: Certificates,
}

impl Fixture {
    /// A link at work; all delays are nothing, except the hour of a decommissioned Defender.
    async fn new() -> Self {
        Self::with(|| 0.0).await
    }

    async fn with(share: fn() -> f64) -> Self {
        Self::of(FakeConsole::new().await, share)
    }

    fn of(console: FakeConsole, share: fn() -> f64) -> Self {
        let bench = Bench::new();
        let certificates = Certificates::new(&console.ca, &bench.tasks, &bench.shutdown);
        let link = Link {
            target: console.target(),
            certificates: certificates.subscriber.clone(),
            own: None,
            bundle: None,
            identity: identity(),
            commands: bench.commands.clone(),
            outbox: bench.outbox.clone(),
            board: bench.board.clone(),
            welcomed: watch::Sender::new(false),
            tasks: bench.tasks.clone(),
            share,
        };
        bench.tasks.spawn("link", link.run(bench.shutdown.clone()));
        Self { console, bench, certificates }
    }

    async fn status(&self, condition: impl FnMut(&Status) -> bool) -> Status {
        self.bench.board.subscribe().wait_for(condition).await.expect("the board lives").clone()
    }
}

#[tokio::test]
async fn a_console_s_certificate_that_is_out_of_its_dates_comes_with_what_the_clocks_say() {
    let ca = Ca::new("console");
    let pair = ca.issue(&testpki::Leaf::server(&["localhost"]).not_yet_valid());
    let fixture = Fixture::of(FakeConsole::with(ca, &pair).await, || 0.0);
    assert!(fixture.console.accept_tls().await.is_err(), "refused");
    let mut tls = fixture.console.accept_tls().await.expect("asked for its time, whatever its dates");
    let mut request = [0; 1024];
    let _ = tls.read(&mut request).await.expect("a request");
    let answer = "HTTP/1.1 426 Upgrade Required\r\nDate: Sun, 22 Nov 2099 12:00:00 GMT\r\n\r\n";
    tls.write_all(answer.as_bytes()).await.expect("sent");
    tls.flush().await.expect("sent");
    let status = fixture.status(|status| status.last_error.is_some()).await;
    let error = status.last_error.expect("there").text;
    assert!(error.contains("it is not valid yet: this host's clock is"), "{error}");
    assert!(error.contains("days behind the Console's") && error.contains("NTP"), "{error}");
}

/// The old session works on: a report stored now arrives there.
async fn assert_works(fixture: &Fixture, peer: &mut Peer, seq: u64) {
    fixture.bench.append(1).await;
    assert_eq!(peer.hear_report().await.seq, seq);
}

#[tokio::test]
async fn makes_before_it_breaks_when_certificates_change() {
    let fixture = Fixture::new().await;
    let mut old = fixture.console.welcome(0).await;
    assert_works(&fixture, &mut old, 1).await;
    assert_eq!(old.hello.certificate.source, CertificateSource::SelfSigned);

    fixture.certificates.rotate(&fixture.console.ca);
    let mut new = fixture.console.accept().await;
    assert_eq!(new.hello.certificate.source, CertificateSource::Custom);
    assert_ne!(new.hello.certificate.sha256, old.hello.certificate.sha256);
    assert_eq!(new.hello.boot, old.hello.boot);
    // Not welcomed yet: the old session is the one in use, and takes acknowledgements.
    assert_works(&fixture, &mut old, 2).await;
    old.acknowledge(1).await;

    new.welcome(1, 30).await;
    assert_eq!(new.hear_report().await.seq, 2);
    assert_eq!(old.closed().await, 1000);
    assert_works(&fixture, &mut new, 3).await;
    assert!(fixture.status(|_| true).await.connected);
}

#[tokio::test]
async fn the_old_session_stays_until_a_new_one_succeeds() {
    let fixture = Fixture::new().await;
    let mut old = fixture.console.welcome(0).await;
    fixture.certificates.rotate(&fixture.console.ca);
    for code in [4000, 1012, 4010] {
        fixture.console.accept().await.close(code).await;
    }
    assert_works(&fixture, &mut old, 1).await;
    let status = fixture.status(|status| status.last_error.is_some()).await;
    assert!(status.connected);
    let mut new = fixture.console.welcome(0).await;
    assert_eq!(new.hear_report().await.seq, 1);
    assert_eq!(old.closed().await, 1000);
}

#[tokio::test]
async fn the_new_dial_goes_on_when_the_old_session_dies_meanwhile() {
    let fixture = Fixture::new().await;
    let old = fixture.console.welcome(0).await;
    fixture.certificates.rotate(&fixture.console.ca);
    let mut new = fixture.console.accept().await;
    drop(old);
    fixture.status(|status| !status.connected).await;
    new.welcome(0, 30).await;
    fixture.status(|status| status.connected).await;
    assert_works(&fixture, &mut new, 1).await;
}

#[tokio::test]
async fn certificates_that_change_while_a_connection_is_made_are_used_by_the_next_one() {
    let fixture = Fixture::new().await;
    let mut old = fixture.console.welcome(0).await;
    fixture.certificates.rotate(&fixture.console.ca);
    let mut new = fixture.console.accept().await;
    fixture.certificates.rotate(&fixture.console.ca);
    new.welcome(0, 30).await;
    let mut newest = fixture.console.welcome(0).await;
    assert_eq!(
        (old.closed().await, new.closed().await),
        (1000, 1000),
        "each was there until the next one was"
    );
    assert_works(&fixture, &mut newest, 1).await;
}

#[tokio::test]
async fn the_console_may_close_the_old_session_first() {
    let fixture = Fixture::new().await;
    let mut old = fixture.console.welcome(0).await;
    fixture.certificates.rotate(&fixture.console.ca);
    let mut new = fixture.console.welcome(0).await;
    old.close(4009).await;
    assert_works(&fixture, &mut new, 1).await;
    assert!(fixture.status(|_| true).await.last_error.is_none());
}

#[tokio::test]
async fn a_request_to_reconnect_is_followed_by_make_before_break() {
    let fixture = Fixture::new().await;
    let mut old = fixture.console.welcome(0).await;
    let reconnect = Reconnect { reason: "certificates rotated".to_owned(), spread_seconds: 600 };
    old.say(&ToDefender::Reconnect(reconnect)).await;
    let mut new = fixture.console.welcome(0).await;
    assert_works(&fixture, &mut new, 1).await;
    assert_eq!(old.closed().await, 1000);
}

#[tokio::test]
async fn a_console_that_asks_each_connection_for_the_next_one_does_not_make_the_defender_spin() {
    let fixture = Fixture::with(|| 1.0).await;
    let mut took = Vec::new();
    let mut sessions = vec![fixture.console.welcome(0).await];
    for _ in 0..3 {
        let asked = Instant::now();
        let reconnect = Reconnect { reason: "again".to_owned(), spread_seconds: 0 };
        sessions.last_mut().expect("a session").say(&ToDefender::Reconnect(reconnect)).await;
        sessions.push(fixture.console.welcome(0).await);
        took.push(asked.elapsed());
    }
    let [first, second, third] = took[..] else { panic!("{took:?}") };
    assert!(first < Duration::from_secs(1), "{first:?}");
    assert!(second >= Duration::from_secs(1) && third >= Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_restart_is_followed_at_once_and_nothing_is_lost() {
    let fixture = Fixture::new().await;
    let mut peer = fixture.console.welcome(0).await;
    fixture.bench.append(3).await;
    for seq in 1..=3 {
        assert_eq!(peer.hear_report().await.seq, seq);
    }
    peer.acknowledge(1).await;
    peer.close(1012).await;
    let mut peer = fixture.console.welcome(2).await;
    assert_eq!(peer.hear_report().await.seq, 3);
}

#[tokio::test]
async fn a_broken_connection_is_made_anew() {
    let fixture = Fixture::new().await;
    drop(fixture.console.welcome(0).await);
    let mut peer = fixture.console.welcome(0).await;
    assert_works(&fixture, &mut peer, 1).await;
}

#[tokio::test]
async fn a_decommissioned_defender_idles_until_its_certificates_change() {
    let fixture = Fixture::new().await;
    let mut peer = fixture.console.welcome(0).await;
    peer.close(4003).await;
    let status = fixture.status(|status| !status.connected && status.last_error.is_some()).await;
    let fault = status.last_error.expect("told").text;
    assert!(fault.contains("decommissioned") && fault.contains("install it anew"), "{fault}");
    // No attempt is under way: the next one is the one that the change of certificates begins.
    fixture.certificates.rotate(&fixture.console.ca);
    let mut peer = fixture.console.accept().await;
    assert_eq!(peer.hello.certificate.source, CertificateSource::Custom);
    peer.close(4003).await;
    drop(peer);
    fixture.certificates.rotate(&fixture.console.ca);
    let peer = fixture.console.welcome(0).await;
    fixture.status(|status| status.connected).await;
    drop(peer);
}

#[tokio::test]
async fn certificates_that_the_console_refuses_leave_the_session_as_it_is() {
    let fixture = Fixture::new().await;
    let mut old = fixture.console.welcome(0).await;
    fixture.certificates.rotate(&Ca::new("stranger"));
    assert!(fixture.console.accept_tls().await.is_err());
    let status = fixture.status(|status| status.last_error.is_some()).await;
    assert!(status.connected);
    assert!(status.last_error.is_some_and(|fault| fault.text.contains("no CA that issued it")));
    assert_works(&fixture, &mut old, 1).await;
}

#[tokio::test]
async fn a_stop_closes_the_session_with_1000() {
    let fixture = Fixture::new().await;
    let mut peer = fixture.console.welcome(0).await;
    fixture.status(|status| status.connected).await;
    fixture.bench.shutdown.cancel();
    assert_eq!(peer.closed().await, 1000);
    drop(peer);
    fixture.bench.tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn failures_back_off_and_a_restart_in_a_row_waits_a_little_longer() {
    let (console, bench) = (FakeConsole::new().await, Bench::new());
    let certificates = Certificates::new(&console.ca, &bench.tasks, &bench.shutdown);
    let link = Link {
        target: console.target(),
        certificates: certificates.subscriber.clone(),
        own: None,
        bundle: None,
        identity: identity(),
        commands: bench.commands.clone(),
        outbox: bench.outbox.clone(),
        board: bench.board.clone(),
        welcomed: watch::Sender::new(false),
        tasks: bench.tasks.clone(),
        share: || 1.0,
    };
    let mut state = State::new(link, bench.shutdown.clone());
    let seconds: Vec<u64> = (0..3).map(|_| state.delay(Next::BackOff).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4]);
    assert_eq!(state.delay(Next::Now), RESTART_JITTER);
    assert_eq!(state.delay(Next::Now), RESTART_AGAIN_JITTER);
    assert_eq!(state.delay(Next::Hourly), HOURLY);
}

#[tokio::test]
async fn a_replacement_that_is_told_before_the_welcome_is_no_disconnection() {
    let fixture = Fixture::new().await;
    let mut old = fixture.console.welcome(0).await;
    fixture.status(|status| status.connected).await;
    let before = fixture.status(|_| true).await.since;
    fixture.certificates.rotate(&fixture.console.ca);
    let mut new = fixture.console.accept().await;
    old.close(4009).await;
    // The Defender has read the close: its answer is here.
    while old.socket.next().await.is_some_and(|frame| frame.is_ok()) {}
    new.welcome(0, 30).await;
    assert_works(&fixture, &mut new, 1).await;
    let status = fixture.status(|_| true).await;
    assert!(status.connected && status.last_error.is_none());
    assert_eq!(status.since, before);
}
