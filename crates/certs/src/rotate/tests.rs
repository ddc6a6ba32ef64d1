//! Tests of `rotate.rs`: real files, real events, real time, and nothing but waiting for what must come.

use testpki::{Ca, Leaf, Pair, Writing, put};
use tokio::task::JoinSet;

use super::*;
use crate::overhear::Overheard;
use crate::stranger::Folder;
use crate::{Live, custom_at_start};

/// A channel that runs on the directory `certs` of a folder.
struct Running {
    folder: Folder,
    ca: Ca,
    subscriber: Subscriber<String>,
    outcomes: mpsc::Receiver<Outcome>,
    fallback: watch::Sender<Arc<Material>>,
    heard: Overheard,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

/// No poll comes in the time of a test: what is noticed is noticed by events.
const NEVER: Duration = Duration::from_secs(3600);

impl Running {
    /// Sets the scene with `script`, which may move `certs`, the directory of a good set.
    fn start(channel: Channel, poll: Duration, script: &str) -> Self {
        let heard = Overheard::listen();
        let (folder, ca) = Folder::good();
        folder.shell(&format!("mkdir certs; mv *.pem certs; {script}"));
        let dir = CustomDir::open(&folder.at("certs"), poll);
        let custom = custom_at_start(channel, &dir).expect("usable");
        let own = Material::parse(match crate::RawMaterial::read(channel, Folder::good().0.path()) {
            Ok(crate::Found::Complete(raw)) => raw,
            other => panic!("{other:?}"),
        });
        let (fallback, receiver) = watch::channel(Arc::new(own.expect("usable")));
        let build = |material: &Material| Ok(material.leaf().subject.clone());
        let (subscriber, rotation) = Rotation::start(channel, &dir, custom, receiver, build).expect("builds");
        let (sender, outcomes) = mpsc::channel(8);
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(rotation.run(sender, shutdown.clone()));
        Self { folder, ca, subscriber, outcomes, fallback, heard, shutdown, tasks }
    }

    fn issue(&self, name: &str) -> Pair {
        self.ca.issue(&Leaf::server(&[name]))
    }

    /// Waits for the next set and checks that it is `name`'s.
    async fn expect(&mut self, name: &str) -> Arc<Live<String>> {
        let live = tokio::time::timeout(Duration::from_secs(20), self.subscriber.changed());
        let live =
            live.await.unwrap_or_else(|_| panic!("no {name}: {:#?}", self.heard.take())).expect("running");
        assert_eq!(*live.tls, format!("CN={name}"));
        live
    }

    /// The loop ends by returning when the program stops.
    async fn stop(mut self) {
        self.shutdown.cancel();
        self.tasks.join_next().await.expect("one task").expect("no panic");
        assert!(self.subscriber.changed().await.is_none());
    }
}

#[tokio::test]
async fn copies_in_place_and_renames_rotate_ten_times_in_a_row() {
    let mut running = Running::start(Channel::ConsoleHttps, NEVER, "true");
    for number in 0..10_u64 {
        let writing = if number % 2 == 0 { Writing::InPlace } else { Writing::Atomic };
        let name = format!("set-{number}");
        testpki::write_console_https(&running.folder.at("certs"), &running.issue(&name), writing);
        let live = running.expect(&name).await;
        assert_eq!((live.generation, live.source), (number + 2, Source::Custom));
        let outcome = running.outcomes.recv().await;
        assert!(
            matches!(outcome, Some(Outcome::Rotated { generation, .. }) if generation == live.generation)
        );
    }
    let lines = running.heard.take();
    let rotated = "INFO Console HTTPS custom certificates rotated, restarting listener";
    assert_eq!(lines.iter().filter(|line| *line == rotated).count(), 10, "{lines:#?}");
    assert_eq!(lines.len(), 12, "and nothing else: {lines:#?}");
    running.stop().await;
}

#[tokio::test]
async fn a_volume_of_kubernetes_is_followed_through_its_swaps() {
    let mut running = Running::start(
        Channel::ConsoleHttps,
        NEVER,
        "mkdir certs/..1; mv certs/*.pem certs/..1; ln -s ..1 certs/..data
         for file in console-cert.pem console-key.pem; do ln -s ..data/$file certs/$file; done",
    );
    for number in 2..5 {
        let name = format!("set-{number}");
        let next = running.folder.at(&format!("certs/..{number}"));
        std::fs::create_dir(&next).expect("new");
        testpki::write_console_https(&next, &running.issue(&name), Writing::InPlace);
        let script = "cd certs; ln -s ..N ..tmp; mv -T ..tmp ..data; rm -r ..O";
        let script = script.replace('N', &number.to_string()).replace('O', &(number - 1).to_string());
        running.folder.shell(&script);
        running.expect(&name).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn links_to_files_elsewhere_are_followed() {
    let mut running = Running::start(
        Channel::ConsoleHttps,
        NEVER,
        "mkdir live archive; mv certs/console-*.pem archive
         for file in console-cert.pem console-key.pem; do ln -s ../archive/$file live/$file; ln -s ../live/$file certs/$file; done",
    );
    testpki::write_console_https(
        &running.folder.at("archive"),
        &running.issue("in-archive"),
        Writing::Atomic,
    );
    running.expect("in-archive").await;
    running.folder.shell("mkdir archive2");
    testpki::write_console_https(
        &running.folder.at("archive2"),
        &running.issue("in-archive2"),
        Writing::Atomic,
    );
    running
        .folder
        .shell("for file in console-cert.pem console-key.pem; do ln -sfn ../archive2/$file live/$file; done");
    running.expect("in-archive2").await;
    testpki::write_console_https(&running.folder.at("archive2"), &running.issue("again"), Writing::InPlace);
    running.expect("again").await;
    running.stop().await;
}

#[tokio::test]
async fn a_directory_that_is_replaced_or_deleted_and_made_again_is_survived() {
    let mut running = Running::start(Channel::ConsoleHttps, NEVER, "true");
    running.folder.shell("mkdir new");
    testpki::write_console_https(&running.folder.at("new"), &running.issue("replaced"), Writing::InPlace);
    running.folder.shell("mv certs old; mv new certs");
    running.expect("replaced").await;
    testpki::write_console_https(
        &running.folder.at("certs"),
        &running.issue("in the new one"),
        Writing::Atomic,
    );
    running.expect("in the new one").await;
    running.folder.shell("rm -r certs");
    running.heard.until("WARN Removed console https server custom certificates, what runs goes on: console-cert.pem, console-key.pem").await;
    running.folder.shell("mkdir certs");
    testpki::write_console_https(&running.folder.at("certs"), &running.issue("made again"), Writing::InPlace);
    running.expect("made again").await;
    running.stop().await;
}

#[tokio::test]
async fn a_change_without_an_event_is_found_by_polling() {
    // Moving a folder far above a link's target raises no event in any folder on the way to it.
    let mut running = Running::start(
        Channel::ConsoleHttps,
        Duration::from_millis(300),
        "mkdir -p far/a/b far/next/b; mv certs/console-*.pem far/a/b
         for file in console-cert.pem console-key.pem; do ln -s ../far/a/b/$file certs/$file; done",
    );
    testpki::write_console_https(&running.folder.at("far/next/b"), &running.issue("moved"), Writing::InPlace);
    running.folder.shell("mv far/a far/old; mv far/next far/a");
    running.expect("moved").await;
    running.stop().await;
}

/// A file system mounted on `certs`, if this process may do that.
struct Mounted<'a>(&'a Folder);

impl<'a> Mounted<'a> {
    fn try_new(folder: &'a Folder) -> Option<Self> {
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs"])
            .arg(folder.at("certs"))
            .output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        self.0.shell("umount -l certs");
    }
}

#[tokio::test]
async fn a_directory_that_is_mounted_over_unmounted_and_mounted_again_is_survived() {
    let mut running = Running::start(Channel::ConsoleHttps, Duration::from_millis(300), "true");
    let below = running.issue("below");
    for name in ["first mount", "second mount"] {
        let pair = running.issue(name);
        let folder = std::mem::replace(&mut running.folder, Folder::new());
        let Some(mounted) = Mounted::try_new(&folder) else { return };
        testpki::write_console_https(&folder.at("certs"), &pair, Writing::InPlace);
        running.expect(name).await;
        testpki::write_console_https(&folder.at("certs"), &running.issue("changed"), Writing::InPlace);
        running.expect("changed").await;
        drop(mounted);
        testpki::write_console_https(&folder.at("certs"), &below, Writing::InPlace);
        running.expect("below").await;
        running.folder = folder;
    }
    running.stop().await;
}

#[tokio::test]
async fn starts_self_signed_takes_the_complete_set_and_refuses_a_broken_one() {
    let mut running = Running::start(Channel::ConsoleHttps, NEVER, "rm certs/console-key.pem");
    assert_eq!(running.subscriber.current().source, Source::SelfSigned);
    running
        .heard
        .until("INFO Incomplete console https server custom certificates, still missing: console-key.pem")
        .await;
    let pair = running.issue("complete");
    testpki::write_console_https(&running.folder.at("certs"), &pair, Writing::InPlace);
    let live = running.expect("complete").await;
    assert_eq!((live.generation, live.source), (2, Source::Custom));
    put(&running.folder.at("certs"), "console-key.pem", running.issue("other").key_pem, Writing::Atomic);
    running
        .heard
        .until("ERROR Failed to load console https server custom certificates: error reading X509 key pair")
        .await;
    running.outcomes.recv().await.expect("rotated");
    assert!(matches!(running.outcomes.recv().await, Some(Outcome::Refused { .. })));
    assert!(running.subscriber.last_error().expect("an error").contains("does not match"));
    assert_eq!(running.subscriber.current().generation, 2);
    put(&running.folder.at("certs"), "console-key.pem", pair.key_pem, Writing::Atomic);
    testpki::write_console_https(&running.folder.at("certs"), &running.issue("good again"), Writing::Atomic);
    running.expect("good again").await;
    assert_eq!(running.subscriber.last_error(), None);
    running.stop().await;
}

#[tokio::test]
async fn what_changed_between_the_first_reading_and_the_loop_is_not_lost() {
    let heard = Overheard::listen();
    let (folder, ca) = Folder::good();
    let dir = CustomDir::open(folder.path(), NEVER);
    let custom = custom_at_start(Channel::ConsoleHttps, &dir).expect("usable");
    testpki::write_console_https(folder.path(), &ca.issue(&Leaf::server(&["late"])), Writing::Atomic);
    let (_sender, receiver) = watch::channel(Arc::new(folder.parse(Channel::ConsoleHttps).expect("usable")));
    let build = |material: &Material| Ok(material.leaf().subject.clone());
    let (mut subscriber, rotation) =
        Rotation::start(Channel::ConsoleHttps, &dir, custom, receiver, build).expect("builds");
    let (sender, _outcomes) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    tasks.spawn(rotation.run(sender, CancellationToken::new()));
    let live = tokio::time::timeout(Duration::from_secs(20), subscriber.changed()).await;
    assert_eq!(*live.expect("in time").expect("running").tls, "CN=late");
    drop(heard);
}

#[tokio::test]
async fn a_new_fallback_is_followed_where_nothing_is_watched_and_its_end_is_survived() {
    let mut running = Running::start(Channel::ConsoleHttps, NEVER, "rm -r certs");
    let fallback = |name: &str| {
        running.folder.put_pair("console", &running.ca.issue(&Leaf::server(&[name])));
        running.fallback.send_replace(Arc::new(running.folder.parse(Channel::ConsoleHttps).expect("usable")));
    };
    fallback("second");
    let live = running.expect("second").await;
    assert_eq!((live.generation, live.source), (2, Source::SelfSigned));
    let Running { fallback, shutdown, mut tasks, .. } = running;
    drop(fallback);
    shutdown.cancel();
    tasks.join_next().await.expect("one task").expect("no panic");
}
