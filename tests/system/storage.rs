//! Custom certificates on network storage, which raises no events, hangs and goes away. The stand-in is bindfs: a real
//! FUSE file system whose storage is changed behind its back, as another host changes that of NFS.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use system_tests::api::Events;
use system_tests::mount::Mount;
use system_tests::place::Manner;
use system_tests::tls::leaf_sha256;
use system_tests::{
    Channel, Dialer, OpensslPki, PemSet, Program, SOON, TestConsole, TestDefender, eventually, holds, pass,
};

use crate::stage::{Stage, served};

/// No Defender has been reported gone. Where HTTPS rotates, the stream itself ends.
fn assert_never_disconnected(events: &Events) {
    assert_eq!(events.count("defender.disconnected"), 0, "{:?}", events.all());
}

/// All three channels on custom sets, each program with a mount of its own.
struct Remote {
    stage: Stage,
    mounts: [Mount; 2],
}

impl Remote {
    async fn start() -> Self {
        let pki = OpensslPki::new();
        let mounts = [Mount::new().await, Mount::new().await];
        for channel in Channel::ALL {
            store(&mounts, channel, Manner::InPlace, &pki.set_for(channel));
        }
        let dir = |mount: &Mount| mount.point().to_string_lossy().into_owned();
        let console = TestConsole::setup().flag("--custom-certs-dir", &dir(&mounts[0])).start().await;
        let setup = TestDefender::setup(&console.address()).flag("--custom-certs-dir", &dir(&mounts[1]));
        let defender = setup.connect().await;
        Self { stage: Stage::of(pki, console, defender).await, mounts }
    }

    fn program(&self, channel: Channel) -> &Program {
        self.stage.program(channel)
    }

    /// The storage of both programs answers nobody any more.
    async fn hang(&self) {
        for (mount, channel) in self.mounts.iter().zip([Channel::Https, Channel::Defender]) {
            mount.hang(&[self.program(channel)]).await;
        }
    }

    /// Puts a new set on the storage and waits until peers see it.
    async fn rotate(&self, channel: Channel, manner: Manner) {
        let mark = self.program(channel).mark();
        let set = self.stage.pki.set_for(channel);
        store(&self.mounts, channel, manner, &set);
        self.stage.taken(channel, mark, &set).await;
    }

    /// Both programs go on as they are: handshakes on both ports, the API, a page, the Defender.
    async fn goes_on(&self, before: &[(Channel, String)]) {
        let Stage { api, defender, .. } = &self.stage;
        assert_eq!(self.stage.all_in_effect().await, before);
        assert_eq!(api.call(reqwest::Method::GET, "certificates", None).await.status, 200);
        assert_eq!(defender.status().0, Some(0), "{:?}", defender.status());
    }
}

/// Puts a set on the storage of its program, where nobody watches.
fn store(mounts: &[Mount; 2], channel: Channel, manner: Manner, set: &PemSet) {
    let [console, defender] = mounts;
    let mount = if channel == Channel::Defender { defender } else { console };
    manner.place(&mount.storage(), &channel.files(set));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_raise_no_event_are_found_by_polling_and_all_three_channels_rotate() {
    let remote = Remote::start().await;
    let events = remote.stage.api.events().await;
    // A Console on the same mount that looks once an hour shows that no event comes.
    let dir = remote.mounts[0].point().to_string_lossy().into_owned();
    let setup = TestConsole::setup().flag("--custom-certs-dir", &dir).flag("--custom-certs-poll", "1h");
    let waiting = setup.start().await;
    let before = served(waiting.https).await;
    for manner in [Manner::InPlace, Manner::Renamed, Manner::Projected] {
        for channel in Channel::ALL {
            remote.rotate(channel, manner).await;
        }
    }
    holds("no event tells of it", Duration::from_secs(1), async || {
        let seen = served(waiting.https).await;
        if seen == before { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_never_disconnected(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_is_unmounted_is_a_warning_and_comes_back_with_new_certificates() {
    let mut remote = Remote::start().await;
    let events = remote.stage.api.events().await;
    let before = remote.stage.all_in_effect().await;
    let marks = Channel::ALL.map(|channel| remote.program(channel).mark());
    for mount in &mut remote.mounts {
        mount.unmount().await;
    }
    for (channel, mark) in Channel::ALL.into_iter().zip(marks) {
        let line = format!("Removed {} custom certificates, what runs goes on", log_name(channel));
        assert!(remote.program(channel).line_after(mark, &line).await.contains("WARN"));
    }
    remote.goes_on(&before).await;
    for mount in &mut remote.mounts {
        mount.mount().await;
    }
    for channel in Channel::ALL {
        remote.rotate(channel, Manner::InPlace).await;
    }
    assert_never_disconnected(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_breaks_is_one_error_a_channel_and_is_followed_again_once_mounted_anew() {
    let mut remote = Remote::start().await;
    let events = remote.stage.api.events().await;
    let before = remote.stage.all_in_effect().await;
    let marks = Channel::ALL.map(|channel| remote.program(channel).mark());
    for mount in &mut remote.mounts {
        mount.kill_server();
    }
    let line = |channel| format!("Failed to load {} custom certificates", log_name(channel));
    for (channel, mark) in Channel::ALL.into_iter().zip(marks) {
        let told = remote.program(channel).line_after(mark, &line(channel)).await;
        assert!(told.contains("ERRO") && told.contains("transport endpoint is not connected"), "{told}");
        assert!(told.contains("mount"), "a remedy: {told}");
    }
    holds("each channel tells once", Duration::from_secs(2), async || {
        let told = Channel::ALL
            .into_iter()
            .zip(marks)
            .map(|(channel, mark)| remote.program(channel).count_after(mark, &line(channel)))
            .collect::<Vec<_>>();
        if told == [1; 3] { Ok(()) } else { Err(told) }
    })
    .await;
    remote.goes_on(&before).await;
    for mount in &mut remote.mounts {
        mount.unmount_dead();
        mount.mount().await;
    }
    eventually("the refusal is forgotten", SOON, async || {
        let refusal = remote.stage.api.certificate("console-https").await["last_error"].clone();
        if refusal.is_null() { Ok(()) } else { Err(refusal) }
    })
    .await;
    for channel in Channel::ALL {
        remote.rotate(channel, Manner::Renamed).await;
    }
    assert_never_disconnected(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_hangs_holds_up_nothing_but_itself() {
    let remote = Remote::start().await;
    let events = remote.stage.api.events().await;
    let before = remote.stage.all_in_effect().await;
    let marks = Channel::ALL.map(|channel| remote.program(channel).mark());
    remote.hang().await;
    for (channel, mark) in Channel::ALL.into_iter().zip(marks) {
        let line = remote.program(channel).line_after(mark, DOES_NOT_ANSWER).await;
        assert!(line.contains("WARN") && line.contains("what runs goes on"), "{line}");
    }
    remote.goes_on(&before).await;
    let page = Dialer::blind().get(remote.stage.console.https, "/login").await.expect("served");
    assert_eq!(page.0, 200);
    remote.mounts.iter().for_each(Mount::go_on);
    for channel in Channel::ALL {
        remote.rotate(channel, Manner::InPlace).await;
    }
    assert_never_disconnected(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_programs_stop_in_time_while_their_storage_hangs() {
    let mut remote = Remote::start().await;
    let marks = Channel::ALL.map(|channel| remote.program(channel).mark());
    remote.hang().await;
    for (channel, mark) in Channel::ALL.into_iter().zip(marks) {
        remote.program(channel).line_after(mark, DOES_NOT_ANSWER).await;
    }
    for program in [remote.stage.defender.program_mut(), remote.stage.console.program_mut()] {
        let begin = Instant::now();
        program.signal(Signal::SIGTERM);
        let status = program.exit(SOON).await;
        assert_eq!(status.code(), Some(0), "{:?}", program.lines());
        assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_storage_that_hangs_says_so_goes_on_when_it_answers_and_can_be_stopped() {
    let (pki, mount) = (OpensslPki::new(), Mount::new().await);
    let set = pki.server();
    Manner::InPlace.place(&mount.storage(), &Channel::Https.files(&set));
    mount.hang(&[]).await;
    let start = |dir: &Path| {
        let dir = dir.to_string_lossy().into_owned();
        let console = TestConsole::setup().flag("--custom-certs-dir", &dir);
        let defender = TestDefender::setup("wss://localhost:1").flag("--custom-certs-dir", &dir).start();
        (console, defender)
    };
    let (setup, mut defender) = start(&mount.point());
    let mut stopped = setup.start_early();
    for program in [&mut stopped, defender.program_mut()] {
        let line = program.line(DOES_NOT_ANSWER).await;
        assert!(line.contains("WARN") && line.contains("mount"), "{line}");
        program.signal(Signal::SIGTERM);
        assert_eq!(program.exit(SOON).await.code(), Some(0), "{:?}", program.lines());
    }
    let (setup, _defender) = start(&mount.point());
    let late = async {
        pass(Duration::from_millis(500), "the start waits for the storage").await;
        mount.go_on();
    };
    let (console, ()) = tokio::join!(setup.start(), late);
    assert_eq!(served(console.https).await, leaf_sha256(&set.cert));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defender_that_waits_for_certificates_can_be_stopped_while_their_storage_hangs() {
    for flag in ["--custom-certs-dir", "--install-bundle-dir"] {
        let mount = Mount::new().await;
        let dir = mount.point().to_string_lossy().into_owned();
        let mut defender = TestDefender::setup("wss://localhost:1").flag(flag, &dir).start();
        let program = defender.program_mut();
        program.line("Waiting for an install bundle").await;
        mount.hang(&[program]).await;
        let line = program.line(DOES_NOT_ANSWER).await;
        assert!(line.contains("WARN") && line.contains(&dir), "{line}");
        program.signal(Signal::SIGTERM);
        assert_eq!(program.exit(SOON).await.code(), Some(0), "{:?}", program.lines());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_directory_that_hangs_holds_up_neither_the_start_of_the_console_nor_rotations_nor_its_stop()
{
    let (pki, mount) = (OpensslPki::new(), Mount::new().await);
    mount.hang(&[]).await;
    let dir = mount.point().to_string_lossy().into_owned();
    let mut console = TestConsole::setup().flag("--install-bundle-dir", &dir).start().await;
    let line = console.program().line(DOES_NOT_ANSWER).await;
    assert!(line.contains("WARN") && line.contains(&dir), "{line}");
    let events = console.api().await.events().await;
    let set = pki.server();
    Manner::Renamed.place(&console.custom_dir(), &Channel::Https.files(&set));
    let expected = leaf_sha256(&set.cert);
    events.expect("certificates.rotated", |data| data["sha256"] == expected.as_str()).await;

    let begin = Instant::now();
    console.program().signal(Signal::SIGTERM);
    assert_eq!(console.program_mut().exit(SOON).await.code(), Some(0), "{:?}", console.program().lines());
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());

    mount.go_on();
    console.start_again().await;
    console.program().line("Install bundle written").await;
    for file in ["defender-ca.pem", "defender-client-cert.pem", "defender-client-key.pem"] {
        assert!(mount.storage().join(file).is_file(), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_broken_storage_ends_with_the_cause_instead_of_other_certificates() {
    let mut mount = Mount::new().await;
    mount.kill_server();
    let dir = mount.point().to_string_lossy().into_owned();
    let console = TestConsole::setup().flag("--custom-certs-dir", &dir).start_in_vain().await;
    let defender =
        TestDefender::setup("wss://localhost:1").flag("--custom-certs-dir", &dir).start_in_vain().await;
    for ended in [console, defender] {
        assert_eq!(ended.code(), Some(1));
        let lines = ended.program.lines();
        let told = lines.iter().find(|line| line.contains("CRIT")).expect("a cause");
        assert!(told.contains("transport endpoint is not connected") && told.contains("mount"), "{told}");
    }
}

/// What a channel is called in log lines.
fn log_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Defender => "defender client",
        Channel::Https => "console https server",
        Channel::WebSocket => "console defender server",
    }
}

const DOES_NOT_ANSWER: &str = "Certificates directory does not answer";
