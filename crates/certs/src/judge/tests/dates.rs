//! Expiry, and fallbacks that change.

use testpki::Ca;
use time::Duration as Days;

use super::*;

#[test]
fn an_expired_leaf_is_taken_at_start_and_reported_at_once_and_hourly() {
    let (folder, ca) = Folder::good();
    folder.put_pair("console", &ca.issue(&Leaf::server(&["x"]).expired()));
    let mut bench = Bench::start(Channel::ConsoleHttps, folder);
    let lines = bench.lines();
    let expected = "ERROR Unfit console https server custom certificates in use: DIR/console-cert.pem: x509: certificate has expired: CN=x, not valid after 20";
    assert!(lines[2].starts_with(expected), "{lines:?}");
    let start = OffsetDateTime::now_utc();
    for (minutes, reports) in [(1, 0), (59, 0), (61, 1), (119, 0), (122, 1)] {
        bench.judge.check_fitness(start + Days::minutes(minutes));
        assert_eq!(bench.lines().len(), reports, "after {minutes} minutes");
    }
    bench.folder.put_pair("console", &ca.issue(&Leaf::server(&["x"])));
    assert!(matches!(bench.look(), Some(Judgement::Done(Some(Outcome::Rotated { .. })))));
    bench.lines();
    bench.judge.check_fitness(start + Days::hours(4));
    assert_eq!(bench.lines(), Vec::<String>::new());
}

#[test]
fn a_leaf_that_expires_while_it_runs_is_reported() {
    let bench = &mut Bench::start(Channel::ConsoleHttps, Folder::good().0);
    bench.lines();
    let end = bench.subscriber.current().material.leaf().not_after;
    assert_eq!(bench.judge.check_fitness(OffsetDateTime::now_utc()), Some(end));
    assert_eq!(bench.lines(), Vec::<String>::new());
    bench.judge.check_fitness(end + Days::SECOND);
    assert_eq!(bench.lines().len(), 1);
}

#[test]
fn an_expired_set_does_not_replace_what_runs() {
    let (folder, ca) = Folder::good();
    let mut bench = Bench::start(Channel::ConsoleHttps, folder);
    bench.lines();
    bench.folder.put_pair("console", &ca.issue(&Leaf::server(&["x"]).expired()));
    assert!(matches!(bench.look(), Some(Judgement::Done(Some(Outcome::Refused { .. })))));
    let lines = bench.lines();
    let expected = "ERROR Failed to load console https server custom certificates: DIR/console-cert.pem: x509: certificate has expired: CN=x";
    assert!(lines[0].starts_with(expected), "{lines:?}");
    assert_eq!(bench.generation(), 1);
}

#[test]
fn a_set_refused_as_not_yet_valid_is_judged_again_when_its_time_has_come() {
    let (folder, ca) = Folder::good();
    let mut bench = Bench::start(Channel::ConsoleHttps, folder);
    let leaf = Leaf::server(&["x"]).not_yet_valid();
    bench.folder.put_pair("console", &ca.issue(&leaf));
    assert!(matches!(bench.look(), Some(Judgement::Done(Some(Outcome::Refused { .. })))));
    let now = OffsetDateTime::now_utc();
    let date = bench.judge.check_fitness(now).expect("a date to wait for");
    assert_eq!((date - now).whole_hours(), 23);
    assert!(bench.look().is_none());
    bench.judge.check_fitness(date + Days::SECOND);
    let look = Look::take(Channel::ConsoleHttps, bench.folder.path());
    assert_eq!(bench.judge.judged(), None);
    let judgement = bench.judge.judge(look, bench.now, HOLD, date + Days::SECOND);
    assert!(matches!(judgement, Judgement::Done(Some(Outcome::Rotated { .. }))));
    assert_eq!(bench.subscriber.last_error(), None);
}

#[test]
fn a_new_fallback_is_published_only_while_the_channel_runs_on_it() {
    let mut bench = Bench::start(Channel::ConsoleHttps, Folder::new());
    bench.lines();
    let now = OffsetDateTime::now_utc();
    let same = Arc::clone(&bench.subscriber.current().material);
    assert_eq!(bench.judge.follow_fallback(same, now), None);
    let new = fallback(Channel::ConsoleHttps);
    let outcome = bench.judge.follow_fallback(Arc::clone(&new), now).expect("published");
    assert!(matches!(outcome, Outcome::Rotated { source: Source::SelfSigned, generation: 2, .. }));
    assert_eq!(bench.lines(), ["INFO Console HTTPS custom certificates rotated, restarting listener"]);
    bench.folder.put_pair("console", &Ca::new("CA").issue(&Leaf::server(&["x"])));
    bench.look();
    assert_eq!(bench.generation(), 3);
    assert_eq!(bench.judge.follow_fallback(fallback(Channel::ConsoleHttps), now), None);
    assert_eq!(bench.generation(), 3);
}

#[test]
fn a_configuration_that_cannot_be_built_is_refused_like_a_broken_file() {
    let heard = Overheard::listen();
    let material = fallback(Channel::ConsoleHttps);
    let name = material.leaf().sha256.clone();
    thread_local!(static FIRST: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) });
    FIRST.set(name);
    let build = |material: &Material| match FIRST.with_borrow(|first| *first == material.leaf().sha256) {
        true => Ok(()),
        false => Err(CertError::Tls(rustls::Error::EncryptError)),
    };
    let start = Judge::start(Channel::ConsoleHttps, Source::SelfSigned, material, build);
    let (mut judge, subscriber) = start.expect("the first builds");
    let outcome = judge.follow_fallback(fallback(Channel::ConsoleHttps), OffsetDateTime::now_utc());
    assert!(matches!(outcome, Some(Outcome::Refused { .. })));
    let expected = "ERROR Failed to load console https server certificates: building the TLS configuration: cannot encrypt message";
    assert_eq!(heard.take(), [expected]);
    let (folder, _) = Folder::good();
    let look = Look::take(Channel::ConsoleHttps, folder.path());
    judge.judge(look, Instant::now(), HOLD, OffsetDateTime::now_utc());
    assert_eq!(heard.take(), [expected.replace("certificates:", "custom certificates:")]);
    assert_eq!(subscriber.current().generation, 1);
    let none =
        Judge::start(Channel::ConsoleHttps, Source::SelfSigned, fallback(Channel::ConsoleHttps), build);
    assert!(none.is_err());
}
