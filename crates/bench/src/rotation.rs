//! `bench rotation`: from the last write of a set to the first handshake with it, while clients come and go and
//! Defenders report. Refused connects and lost reports are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use system_tests::place::Manner;
use system_tests::tls::leaf_sha256;
use system_tests::{Channel, Dialer, OpensslPki, PemSet, TestConsole};
use tokio::task::JoinSet;

use crate::cli::RotationOptions;
use crate::dial;
use crate::figures::{greatest, median, percentile};
use crate::fleet::{Behaviour, Fleet};

/// Rotates both listeners of a Console in turn and prints what was seen.
pub(crate) async fn measure(options: &RotationOptions) -> Result<()> {
    let pki = OpensslPki::new();
    let mut setup = TestConsole::setup()
        .custom(&Channel::Https.files(&pki.server()))
        .custom(&Channel::WebSocket.files(&pki.server()))
        .flag("--heartbeat", "30s")
        .flag("--custom-certs-poll", "10s");
    for flag in &options.server.console_flag {
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        setup = setup.flag(&format!("--{}", name.trim_start_matches('-')), value);
    }
    let console = setup.start().await;
    let bundle = tempfile::tempdir()?;
    Manner::Renamed.place(bundle.path(), &Channel::Defender.files(&pki.client()));
    let dialer = Arc::new(dial::Dialer::new("localhost", console.defenders, bundle.path())?);
    let behaviour = Behaviour {
        count: options.defenders,
        ramp: Duration::from_secs(2),
        report_every: Some(REPORT_EVERY),
        reports_host: true,
    };
    let fleet = Fleet::start(&dialer, behaviour);
    fleet.all_connected(PATIENCE).await?;
    println!("{} rotations of each listener, {} Defenders reporting", options.rotations, options.defenders);
    for (channel, port) in [(Channel::Https, console.https), (Channel::WebSocket, console.defenders)] {
        let load = Load::start(port, channel);
        let (mut took, mut old_after_new) = (Vec::new(), 0);
        for _ in 0..options.rotations {
            let set = pki.server();
            let (latency, back) = rotate(&console, channel, port, &set).await?;
            took.push(latency.as_secs_f64() * 1e3);
            old_after_new += back;
        }
        let (connects, refused) = load.stop().await;
        println!(
            "  {channel:?}: last write to new certificate p50 {:.0} p99 {:.0} max {:.0} ms (goal: p99 at most 400), old after new {old_after_new}, connects {connects}, refused or reset {refused} (goal: 0)",
            median(&took),
            percentile(&took, 0.99),
            greatest(&took),
        );
    }
    tell_reports(&fleet).await;
    Ok(())
}

async fn tell_reports(fleet: &Fleet) {
    let counters = &fleet.counters;
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    // What is on its way gets its time; more are made meanwhile, so it is the number made now that counts.
    let made = load(&counters.reports);
    let begin = Instant::now();
    while load(&counters.acknowledged) < made && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "  reports {made}, lost {} (goal: 0), moves {}, failed attempts {}, connections lost {}",
        made.saturating_sub(load(&counters.acknowledged)),
        load(&counters.moves),
        load(&counters.failed),
        load(&counters.lost),
    );
}

/// Writes a set; returns the time to the first handshake with it, and how many later ones showed another.
async fn rotate(console: &TestConsole, channel: Channel, port: u16, set: &PemSet) -> Result<(Duration, u64)> {
    let wanted = leaf_sha256(&set.cert);
    let client = Dialer::blind();
    Manner::Renamed.place(&console.custom_dir(), &channel.files(set));
    let begin = Instant::now();
    while client.look(port).await.is_ok_and(|seen| seen.leaf_sha256 != wanted) {
        ensure!(begin.elapsed() < PATIENCE, "the set is not taken");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = begin.elapsed();
    let mut old = 0;
    for _ in 0..10 {
        old += u64::from(client.look(port).await.is_ok_and(|seen| seen.leaf_sha256 != wanted));
    }
    Ok((took, old))
}

/// Loops that connect and shake hands; with HTTPS a request is answered too.
struct Load {
    stop: Arc<AtomicBool>,
    connects: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    loops: JoinSet<()>,
}

impl Load {
    fn start(port: u16, channel: Channel) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            connects: Arc::default(),
            refused: Arc::default(),
            loops: JoinSet::new(),
        };
        for _ in 0..2 {
            let (stop, connects, refused) =
                (Arc::clone(&load.stop), Arc::clone(&load.connects), Arc::clone(&load.refused));
            load.loops.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let client = Dialer::blind();
                    let done = match channel {
                        Channel::Https => {
                            client.get(port, "/api/v1/_ping").await.is_ok_and(|(status, _, _)| status == 200)
                        }
                        Channel::Defender | Channel::WebSocket => client.look(port).await.is_ok(),
                    };
                    connects.fetch_add(1, Ordering::Relaxed);
                    refused.fetch_add(u64::from(!done), Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
        load
    }

    /// Stops; how many connects, how many of them refused or reset.
    async fn stop(mut self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        while self.loops.join_next().await.is_some() {}
        (self.connects.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const REPORT_EVERY: Duration = Duration::from_millis(200);
