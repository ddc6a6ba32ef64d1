//! `bench herd`: all Defenders dropped at once. Time till all are back, failed attempts, and how HTTPS fares
//! meanwhile.

use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::cli::HerdOptions;
use crate::figures::{greatest, median, percentile};
use crate::fleet::{Behaviour, Fleet};
use crate::https::Latencies;
use crate::target::Target;

/// What the herds of one server came to.
#[derive(Default)]
struct Herds {
    seconds: Vec<f64>,
    failed: u64,
    resident_kib: Vec<f64>,
    https: Latencies,
}

/// Herds on each server in turn; one fleet is connected at a time.
pub(crate) async fn measure(options: &HerdOptions) -> Result<()> {
    let targets = Target::both(&options.server).await?;
    let mut all: Vec<Herds> = targets.iter().map(|_| Herds::default()).collect();
    for _ in 0..options.rounds {
        for (target, herds) in targets.iter().zip(&mut all) {
            one(target, options.count, herds).await?;
        }
    }
    println!("{} Defenders dropped at once, {} times", options.count, options.rounds);
    for (target, herds) in targets.iter().zip(&all) {
        println!(
            "  {:<8} all back after median {:.1} s {:.1?}, failed attempts {}, resident MiB after each {:.0?}",
            target.name,
            median(&herds.seconds),
            herds.seconds,
            herds.failed,
            herds.resident_kib.iter().map(|kib| kib / 1024.0).collect::<Vec<_>>(),
        );
        for (name, values) in [("kept", &herds.https.kept), ("new", &herds.https.new)] {
            if !values.is_empty() {
                println!(
                    "           HTTPS over {name} connections meanwhile: p50 {:.1} p99 {:.1} max {:.1} ms ({} requests, {} failed)",
                    median(values),
                    percentile(values, 0.99),
                    greatest(values),
                    values.len(),
                    herds.https.failed,
                );
            }
        }
    }
    if let [console, bare] = all.as_slice() {
        println!("  ratio    {:.2} (goal: at most 1.2)", median(&console.seconds) / median(&bare.seconds));
    }
    Ok(())
}

async fn one(target: &Target, count: u32, herds: &mut Herds) -> Result<()> {
    let ramp = Duration::from_millis(u64::from(count));
    let behaviour = Behaviour { count, ramp, report_every: None, reports_host: false };
    let fleet = Fleet::start(&target.dialer, behaviour);
    fleet.all_connected(PATIENCE).await?;
    tokio::time::sleep(SETTLE).await;
    let failed_before = fleet.counters.failed.load(Ordering::Relaxed);
    let probe = match &target.console {
        Some((console, _)) => Some(Probe::start(console.https).await?),
        None => None,
    };
    fleet.drop_all().await?;
    fleet.run_all();
    let took = fleet.all_connected(PATIENCE).await?;
    if let Some(probe) = probe {
        let latencies = probe.stop().await?;
        herds.https.kept.extend(latencies.kept);
        herds.https.new.extend(latencies.new);
        herds.https.failed += latencies.failed;
    }
    herds.seconds.push(took.as_secs_f64());
    herds.failed += fleet.counters.failed.load(Ordering::Relaxed) - failed_before;
    fleet.drop_all().await?;
    drop(fleet);
    tokio::time::sleep(SETTLE).await;
    herds.resident_kib.push(target.resident_kib()?);
    Ok(())
}

/// A running `https-probe`.
struct Probe(tokio::process::Child);

impl Probe {
    /// Starts it and waits until it is at work.
    async fn start(port: u16) -> Result<Self> {
        let mut child = tokio::process::Command::new(std::env::current_exe()?)
            .args(["https-probe", "--port", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let ready = child.stderr.take().context("piped")?;
        BufReader::new(ready).read_line(&mut String::new()).await?;
        Ok(Self(child))
    }

    /// Ends it and returns what it has measured.
    async fn stop(mut self) -> Result<Latencies> {
        drop(self.0.stdin.take());
        let mut output = String::new();
        self.0.stdout.take().context("piped")?.read_to_string(&mut output).await?;
        self.0.wait().await?;
        Latencies::parse(&output)
    }
}

const PATIENCE: Duration = Duration::from_secs(180);
const SETTLE: Duration = Duration::from_secs(2);
