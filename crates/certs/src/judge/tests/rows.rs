//! Files that appear, change, break and vanish.

use testpki::Ca;

use super::*;

const ROTATED: &str = "INFO Console HTTPS custom certificates rotated, restarting listener";
const USING: &str = "DEBUG Using custom directory certificates";

#[test]
fn starts_on_custom_files_that_are_all_there() {
    let bench = Bench::start(Channel::ConsoleHttps, Folder::good().0);
    assert_eq!(bench.lines(), ["DEBUG Watching custom certificates directory: DIR", USING]);
    let live = bench.subscriber.current();
    assert_eq!((live.generation, live.source), (1, Source::Custom));
    assert_eq!(*live.tls, live.material.leaf().sha256);
}

#[test]
fn an_absent_directory_is_not_watched_and_what_is_none_is_told() {
    let heard = Overheard::listen();
    let folder = Folder::new();
    folder.put("file", "");
    folder.shell("ln -s loop loop");
    let absent = "DEBUG Custom certificates watcher disabled: certificates directory is not mounted";
    let file = "WARN Custom certificates watcher disabled: DIR/file: is not a directory";
    let links = "WARN Custom certificates watcher disabled: DIR/loop: too many levels of symbolic links";
    for (name, expected) in [("nowhere", absent), ("file/below", absent), ("file", file), ("loop", links)] {
        let dir = CustomDir::open(&folder.at(name), Duration::from_secs(10));
        assert!(!dir.is_watched());
        assert!(custom_at_start(Channel::Defender, &dir).expect("nothing to refuse").is_none());
        let lines = heard.take().iter().map(|line| folder.relative(line)).collect::<Vec<_>>();
        assert_eq!(lines, [expected]);
    }
}

#[test]
fn an_unusable_set_at_start_is_the_caller_s_to_report() {
    let heard = Overheard::listen();
    let (folder, _) = Folder::good();
    folder.shell("cp defender-client-key.pem console-key.pem");
    let dir = CustomDir::open(folder.path(), Duration::from_secs(10));
    assert!(dir.is_watched() && dir.path() == folder.path());
    let error = custom_at_start(Channel::ConsoleHttps, &dir).expect_err("a mismatch");
    assert!(error.to_string().contains("tls: private key does not match public key"));
    assert_eq!(heard.take()[1..], [USING]);
}

#[test]
fn doubts_are_warned_about_at_start_and_after_a_swap() {
    let (folder, ca) = Folder::good();
    folder.shell("chmod 604 console-key.pem");
    let mut bench = Bench::start(Channel::ConsoleHttps, folder);
    let doubt = "WARN Doubtful console https server custom certificates: DIR/console-key.pem: private key can be read by others (mode 0604)";
    assert_eq!(bench.lines()[2..], [doubt]);
    bench.folder.put_pair("console", &ca.issue(&Leaf::server(&["new"])));
    bench.look();
    assert_eq!(bench.lines(), [ROTATED, doubt]);
}

#[test]
fn files_that_arrive_one_by_one_are_tried_once_they_are_all_there() {
    let mut bench = Bench::start(Channel::ConsoleDefender, Folder::new());
    bench.lines();
    let (good, _) = Folder::good();
    assert!(matches!(bench.look(), Some(Judgement::Done(None))));
    assert_eq!(bench.lines(), Vec::<String>::new(), "an empty directory is nothing to talk about");
    bench.folder.put("defender-ca.pem", good.text("defender-ca.pem"));
    bench.look();
    let missing = |names: &str| {
        format!("INFO Incomplete console defender server custom certificates, still missing: {names}")
    };
    assert_eq!(bench.lines(), [missing("defender-server-cert.pem, defender-server-key.pem")]);
    bench.folder.put("defender-ca.pem", format!("{}\n", good.text("defender-ca.pem")));
    bench.look();
    assert_eq!(bench.lines(), Vec::<String>::new(), "the same list");
    bench.folder.put("defender-server-key.pem", good.text("defender-server-key.pem"));
    bench.look();
    assert_eq!(bench.lines(), [missing("defender-server-cert.pem")]);
    assert_eq!(bench.subscriber.current().source, Source::SelfSigned);
    bench.folder.put("defender-server-cert.pem", good.text("defender-server-cert.pem"));
    let Some(Judgement::Done(Some(Outcome::Rotated { channel, source, generation, sha256, .. }))) =
        bench.look()
    else {
        panic!("not taken")
    };
    assert_eq!((channel, source, generation), (Channel::ConsoleDefender, Source::Custom, 2));
    assert_eq!(*bench.subscriber.current().tls, sha256);
    let rotated = "INFO Console WebSocket custom certificates rotated, restarting listener";
    assert_eq!(bench.lines(), [USING, rotated]);
}

#[test]
fn each_broken_set_is_refused_once_and_what_runs_goes_on() {
    let (folder, ca) = Folder::good();
    let mut bench = Bench::start(Channel::ConsoleHttps, folder);
    let good = bench.folder.text("console-key.pem");
    bench.lines();
    bench.folder.put("console-key.pem", bench.folder.text("defender-server-key.pem"));
    let Some(Judgement::Done(Some(Outcome::Refused { channel, error, remedy }))) = bench.look() else {
        panic!("not refused")
    };
    assert_eq!(channel, Channel::ConsoleHttps);
    assert!(remedy.starts_with("copy certificate and key of the same pair"));
    assert_eq!(bench.subscriber.last_error(), Some(error.clone()));
    let line = "ERROR Failed to load console https server custom certificates: error reading X509 key pair (DIR/console-cert.pem, DIR/console-key.pem): tls: private key does not match public key: DIR/console-key.pem does not belong to the leaf of DIR/console-cert.pem";
    assert_eq!(bench.lines(), [line]);
    bench.folder.put("console-key.pem", bench.folder.text("defender-client-key.pem"));
    assert!(
        matches!(bench.look(), Some(Judgement::Done(Some(_)))),
        "another set, refused for the same cause"
    );
    assert_eq!(bench.lines(), [line]);
    assert!(bench.look().is_none(), "nothing new");
    bench.folder.put("console-key.pem", "");
    assert!(matches!(bench.look(), Some(Judgement::Done(Some(_)))), "another cause");
    assert_eq!(bench.lines().len(), 1);
    bench.folder.put("console-key.pem", good);
    assert!(matches!(bench.look(), Some(Judgement::Done(None))), "what runs is back");
    assert_eq!((bench.subscriber.last_error(), bench.generation()), (None, 1));
    bench.folder.put_pair("console", &ca.issue(&Leaf::server(&["new"])));
    bench.look();
    assert_eq!((bench.lines(), bench.generation()), (vec![ROTATED.to_owned()], 2));
    assert!(bench.look().is_none(), "nothing new");
}

#[test]
fn a_good_set_after_a_broken_one_clears_the_error() {
    let (folder, ca) = Folder::good();
    let mut bench = Bench::start(Channel::ConsoleHttps, folder);
    bench.folder.put("console-cert.pem", "");
    bench.look();
    assert!(bench.subscriber.last_error().is_some());
    bench.folder.put_pair("console", &ca.issue(&Leaf::server(&["new"])));
    bench.look();
    assert_eq!((bench.subscriber.last_error(), bench.generation()), (None, 2));
}

#[test]
fn removed_files_are_warned_about_once_and_what_runs_goes_on() {
    let mut bench = Bench::start(Channel::Defender, Folder::good().0);
    bench.lines();
    bench.folder.shell("mkdir away; mv defender-client-*.pem away");
    bench.look();
    let line = "WARN Removed defender client custom certificates, what runs goes on: defender-client-cert.pem, defender-client-key.pem";
    assert_eq!(bench.lines(), [line]);
    bench.folder.shell("rm defender-ca.pem");
    bench.look();
    assert_eq!(
        bench.lines(),
        ["WARN Removed defender client custom certificates, what runs goes on: defender-ca.pem"]
    );
    assert_eq!((bench.generation(), bench.subscriber.current().source), (1, Source::Custom));
    assert_eq!(bench.subscriber.last_error(), None);
}

#[test]
fn an_error_goes_with_the_files_that_caused_it() {
    let mut bench = Bench::start(Channel::ConsoleHttps, Folder::new());
    bench.folder.shell("touch console-cert.pem console-key.pem");
    bench.look();
    assert!(bench.subscriber.last_error().is_some());
    bench.lines();
    bench.folder.shell("rm console-*");
    bench.look();
    assert_eq!(bench.subscriber.last_error(), None);
    bench.folder.shell("touch console-cert.pem console-key.pem");
    assert!(matches!(bench.look(), Some(Judgement::Done(Some(Outcome::Refused { .. })))), "told again");
}

#[test]
fn a_set_that_looks_half_copied_is_held_and_then_taken_with_a_warning() {
    let mut bench = Bench::start(Channel::Defender, Folder::good().0);
    let other = Ca::new("Other CA");
    bench.folder.put_pair("defender-client", &other.issue(&Leaf::client("x")));
    let until = bench.now + HOLD;
    assert!(matches!(bench.look(), Some(Judgement::Hold(at)) if at == until));
    bench.now += Duration::from_secs(2);
    assert!(matches!(bench.look(), Some(Judgement::Hold(at)) if at == until), "still the same");
    bench.folder.put("defender-ca.pem", bench.folder.text("defender-ca.pem") + "\n");
    let later = bench.now + HOLD;
    assert!(matches!(bench.look(), Some(Judgement::Hold(at)) if at == later), "it moved");
    bench.lines();
    bench.now = later;
    assert!(matches!(bench.look(), Some(Judgement::Done(Some(Outcome::Rotated { .. })))));
    let lines = bench.lines();
    assert_eq!(lines[0], "INFO Defender custom certificates rotated, resetting connection");
    assert!(lines[1].starts_with("WARN Doubtful defender client custom certificates: DIR/defender-client-cert.pem: certificate was issued by none of the CAs"));
    bench.folder.put("defender-ca.pem", other.pem());
    assert!(matches!(bench.look(), Some(Judgement::Done(Some(_)))), "at once when it fits");
}

#[test]
fn one_channel_s_files_say_nothing_to_another() {
    let (folder, ca) = Folder::good();
    let mut bench = Bench::start(Channel::ConsoleHttps, folder);
    bench.lines();
    bench.folder.put_pair("defender-server", &ca.issue(&Leaf::server(&["new"])));
    bench.folder.put("defender-ca.pem", "");
    bench.folder.put("note", "");
    assert!(bench.look().is_none());
    bench.folder.shell("touch console-*");
    assert!(bench.look().is_none(), "times do not matter");
}

#[test]
fn a_directory_that_may_not_be_entered_is_no_fault_of_a_channel_without_files() {
    let close = |bench: &Bench| bench.folder.shell("chmod 000 .");
    let mut without = Bench::start(Channel::ConsoleHttps, Folder::new());
    without.lines();
    close(&without);
    let judgement = {
        let _nobody = Nobody::new();
        without.look()
    };
    assert!(matches!(judgement, Some(Judgement::Done(None))), "{judgement:?}");
    assert_eq!((without.lines(), without.subscriber.last_error()), (Vec::new(), None));
    let mut with = Bench::start(Channel::ConsoleHttps, Folder::good().0);
    with.lines();
    close(&with);
    let judgement = {
        let _nobody = Nobody::new();
        with.look()
    };
    assert!(matches!(judgement, Some(Judgement::Done(Some(Outcome::Refused { .. })))), "{judgement:?}");
    let expected = "ERROR Failed to load console https server custom certificates: error reading X509 key pair (DIR/console-cert.pem, DIR/console-key.pem): open DIR/console-cert.pem: permission denied";
    assert_eq!((with.lines(), with.generation()), (vec![expected.to_owned()], 1));
    for bench in [without, with] {
        bench.folder.reopen();
    }
}
