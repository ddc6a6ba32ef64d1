//! `bench idle`: resident memory per idle Defender, and the CPU that silence costs.

use std::time::Duration;

use anyhow::Result;

use crate::cli::IdleOptions;
use crate::fleet::{Behaviour, Fleet};
use crate::target::Target;

/// A fresh server for each count, the two in turn.
pub(crate) async fn measure(options: &IdleOptions) -> Result<()> {
    println!("resident KiB per idle Defender; CPU of a core while all are silent for {:?}", options.watch);
    for count in &options.count {
        for target in Target::both(&options.server).await? {
            one(&target, *count, options.watch).await?;
        }
    }
    println!("  goal: at most 16 KiB, equal within 5 % at 9,500 and 18,000");
    Ok(())
}

async fn one(target: &Target, count: u32, watch: Duration) -> Result<()> {
    // Code and allocator warm, nobody connected.
    let behaviour = Behaviour { count: 20, ramp: Duration::ZERO, report_every: None, reports_host: false };
    let warm_up = Fleet::start(&target.dialer, behaviour);
    warm_up.all_connected(PATIENCE).await?;
    warm_up.drop_all().await?;
    drop(warm_up);
    tokio::time::sleep(SETTLE).await;
    let before = target.resident_kib()?;
    let ramp = Duration::from_millis(u64::from(count));
    let fleet = Fleet::start(&target.dialer, Behaviour { count, ramp, ..behaviour });
    fleet.all_connected(PATIENCE).await?;
    tokio::time::sleep(SETTLE).await;
    let resident = target.resident_kib()?;
    let cpu = target.cpu()?;
    tokio::time::sleep(watch).await;
    let used = target.cpu()?.saturating_sub(cpu);
    println!(
        "  {:<8} {count:>6} Defenders: {:5.1} KiB each ({:.1} MiB in all), CPU {:.2} %",
        target.name,
        (resident - before) / f64::from(count),
        resident / 1024.0,
        100.0 * used.as_secs_f64() / watch.as_secs_f64(),
    );
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(120);
const SETTLE: Duration = Duration::from_secs(3);
