//! `bench handshake`: CPU of the server per TCP connect, mutual handshake, upgrade, hello and close.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use futures_util::StreamExt as _;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::cli::HandshakeOptions;
use crate::dial::{Dialer, source_address};
use crate::figures::median;
use crate::target::Target;

/// Rounds on each server in turn; prints the medians.
pub(crate) async fn measure(options: &HandshakeOptions) -> Result<()> {
    let targets = Target::both(&options.server).await?;
    let mut figures: Vec<Vec<f64>> = targets.iter().map(|_| Vec::new()).collect();
    for target in &targets {
        // The first time each Defender is new to its server.
        connect_often(&target.dialer, KNOWN_DEFENDERS).await?;
    }
    for _ in 0..options.rounds {
        for (target, figures) in targets.iter().zip(&mut figures) {
            let before = target.cpu()?;
            connect_often(&target.dialer, options.count).await?;
            let used = target.cpu()?.saturating_sub(before);
            figures.push(used.as_secs_f64() * 1e6 / f64::from(options.count));
        }
    }
    println!("CPU µs per handshake + upgrade + hello + close ({} a round)", options.count);
    for (target, figures) in targets.iter().zip(&figures) {
        println!("  {:<8} median {:7.1}   rounds {figures:.0?}", target.name, median(figures));
    }
    if let [console, bare] = figures.as_slice() {
        println!("  ratio    {:.2} (goal: at most 1.15)", median(console) / median(bare));
    }
    Ok(())
}

/// Connects `count` times, a few at once, each as one of a fixed set of Defenders.
async fn connect_often(dialer: &Arc<Dialer>, count: u32) -> Result<()> {
    let next = Arc::new(AtomicU32::new(0));
    let mut loops = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (dialer, next) = (Arc::clone(dialer), Arc::clone(&next));
        loops.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                let known = number % KNOWN_DEFENDERS;
                let id = Uuid::from_u128(u128::from(known) + 1);
                let (mut socket, _) = dialer.join(source_address(known), id, Uuid::nil()).await?;
                socket.close(None).await?;
                while let Some(Ok(_)) = socket.next().await {}
            }
        });
    }
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    Ok(())
}

const AT_ONCE: u32 = 16;

/// More than are connected at once, so that none replaces another.
const KNOWN_DEFENDERS: u32 = 500;
