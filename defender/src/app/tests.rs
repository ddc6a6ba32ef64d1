//! Tests of `app.rs`: the whole program in this process, against a Console that does what the test says.

use std::path::PathBuf;

use tempfile::TempDir;
use testpki::{Leaf, Writing, put, write_defender};
use tokio::task::JoinHandle;

use super::*;
use crate::cli::RunArgs;
use crate::fake::{FakeConsole, Peer};

struct Host {
    dir: TempDir,
    console: FakeConsole,
}

struct Process {
    shutdown: CancellationToken,
    ended: JoinHandle<anyhow::Result<Finish>>,
}

impl Host {
    async fn new() -> Self {
        let (dir, console) = (tempfile::tempdir().expect("directory"), FakeConsole::new().await);
        for name in ["custom", "bundle"] {
            std::fs::create_dir(dir.path().join(name)).expect("made");
        }
        Self { dir, console }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str) {
        let pair = self.console.ca.issue(&Leaf::client("defender"));
        write_defender(&self.path(name), &self.console.ca, &pair, Writing::Atomic);
    }

    fn start(&self) -> Process {
        let target = self.console.target();
        let args = RunArgs {
            console_address: Some(target.address.configured().to_owned()),
            data_dir: Some(self.path("data")),
            custom_certs_dir: Some(self.path("custom")),
            install_bundle_dir: Some(self.path("bundle")),
            custom_certs_poll: Some("1s".to_owned()),
            ..RunArgs::default()
        };
        let config = Config::parse(args, None).expect("valid");
        let (journal, tasks, shutdown) = (Journal::new(1 << 20), Tasks::new(), CancellationToken::new());
        let ended = Tasks::new().spawn("defender", run_until(config, journal, tasks, shutdown.clone()));
        Process { shutdown, ended }
    }
}

impl Process {
    async fn stop(self, mut peer: Peer) {
        self.shutdown.cancel();
        assert_eq!(peer.closed().await, 1000);
        drop(peer);
        self.ended.await.expect("no panic").expect("a good end");
    }
}

/// The next `host` report, acknowledged.
async fn host_report(peer: &mut Peer) -> (u64, serde_json::Value) {
    let report = peer.hear_report().await;
    assert_eq!(report.kind, "host");
    peer.acknowledge(report.seq).await;
    (report.seq, serde_json::from_str(report.body.get()).expect("JSON"))
}

#[tokio::test]
async fn a_host_report_follows_the_first_welcome_of_each_process_and_each_change() {
    let host = Host::new().await;
    host.put("bundle");
    let process = host.start();
    let mut peer = host.console.welcome(0).await;
    let id = peer.hello.defender.id;
    let (seq, facts) = host_report(&mut peer).await;
    assert_eq!((seq, &facts["hostname"]), (1, &peer.hello.defender.hostname.into()));
    assert_eq!(facts["custom_certificates"]["would_load"], false);

    host.put("custom");
    let mut peer = host.console.welcome(1).await;
    let (seq, facts) = host_report(&mut peer).await;
    assert_eq!((seq, &facts["custom_certificates"]["would_load"]), (2, &true.into()));

    put(&host.path("custom"), "defender-ca.pem", "junk", Writing::Atomic);
    let (seq, facts) = host_report(&mut peer).await;
    assert_eq!((seq, &facts["custom_certificates"]["would_load"]), (3, &false.into()));
    assert!(
        facts["custom_certificates"]["problem"].as_str().is_some_and(|text| text.contains("defender-ca.pem"))
    );
    process.stop(peer).await;

    std::fs::remove_file(host.path("custom").join("defender-ca.pem")).expect("removed");
    let process = host.start();
    let mut peer = host.console.welcome(3).await;
    assert_eq!(peer.hello.defender.id, id);
    assert_eq!(host_report(&mut peer).await.0, 4);
    process.stop(peer).await;
}

#[tokio::test]
async fn a_report_that_was_not_acknowledged_is_sent_by_the_next_process() {
    let host = Host::new().await;
    host.put("bundle");
    let process = host.start();
    let mut peer = host.console.welcome(0).await;
    let first = peer.hear_report().await;
    process.stop(peer).await;
    let process = host.start();
    let mut peer = host.console.welcome(0).await;
    let again = peer.hear_report().await;
    assert_eq!((again.seq, again.body.get()), (first.seq, first.body.get()));
    assert_eq!(peer.hear_report().await.seq, 2);
    process.stop(peer).await;
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused_and_a_wait_can_be_stopped() {
    let host = Host::new().await;
    let waiting = host.start();
    let status = host.path("data").join("status.json");
    while !status.exists() {
        tokio::task::yield_now().await;
    }
    let error = host.start().ended.await.expect("no panic").expect_err("held");
    assert!(error.to_string().contains("another process uses the data directory"), "{error:#}");
    waiting.shutdown.cancel();
    waiting.ended.await.expect("no panic").expect("a good end");
}
