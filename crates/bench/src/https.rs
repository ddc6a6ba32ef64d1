//! `https-probe`: latencies of `GET _ping` over kept and over new connections, from a process of its own, until its
//! standard input ends. The latencies are then printed, one line each way, in milliseconds.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use system_tests::Dialer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::cli::ProbeOptions;

/// Probes until standard input ends.
pub(crate) async fn probe(options: &ProbeOptions) -> Result<()> {
    let mut ended =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let dialer = Dialer::blind();
    let mut kept_stream = dialer.dial(options.port).await?;
    ask(&mut kept_stream).await?;
    let (mut kept, mut new, mut failed) = (Vec::new(), Vec::new(), 0);
    eprintln!("probing");
    loop {
        tokio::select! {
            _ = &mut ended => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let begin = Instant::now();
        match ask(&mut kept_stream).await {
            Ok(()) => kept.push(begin.elapsed().as_secs_f64() * 1e3),
            Err(_) => {
                failed += 1;
                kept_stream = dialer.dial(options.port).await?;
            }
        }
        let begin = Instant::now();
        let fresh = async { ask(&mut Dialer::blind().dial(options.port).await?).await };
        match fresh.await {
            Ok(()) => new.push(begin.elapsed().as_secs_f64() * 1e3),
            Err(_) => failed += 1,
        }
    }
    println!("kept {kept:?}\nnew {new:?}\nfailed {failed}");
    Ok(())
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> Result<()> {
    stream.write_all(b"GET /api/v1/_ping HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut answer = Vec::new();
    // The body is `"OK"`, whatever headers come before.
    while !answer.ends_with(b"\"OK\"") {
        let length = stream.read_buf(&mut answer).await?;
        ensure!(length > 0 && answer.len() < 64 * 1024, "no answer");
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "not 200");
    Ok(())
}

/// What a probe has measured.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    /// Over kept connections, ms.
    pub(crate) kept: Vec<f64>,
    /// Over new connections, ms.
    pub(crate) new: Vec<f64>,
    /// Requests that failed.
    pub(crate) failed: u64,
}

impl Latencies {
    /// What `probe` has printed.
    pub(crate) fn parse(output: &str) -> Result<Self> {
        let mut latencies = Self::default();
        for line in output.lines() {
            let (name, value) = line.split_once(' ').context("a name and a value")?;
            match name {
                "kept" => latencies.kept = serde_json::from_str(value)?,
                "new" => latencies.new = serde_json::from_str(value)?,
                "failed" => latencies.failed = value.parse()?,
                _ => {}
            }
        }
        Ok(latencies)
    }
}

const PAUSE: Duration = Duration::from_millis(10);
