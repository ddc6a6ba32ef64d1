//! Memory, descriptors and processor time of this process, from the system.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// The figures; `None` where the system does not tell.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    /// Memory in use.
    pub resident_bytes: Option<u64>,
    /// Open files and connections.
    pub open_descriptors: Option<usize>,
    /// Processor time, of all threads, in user and in system mode.
    pub cpu: Option<Duration>,
}

impl Process {
    /// The figures now. Blocks for as long as it takes to count the descriptors.
    #[must_use]
    pub fn now() -> Self {
        Self { resident_bytes: resident_bytes(), open_descriptors: open_descriptors(), cpu: cpu() }
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// One of them is that of the folder that is being read.
fn open_descriptors() -> Option<usize> {
    std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1))
}

fn cpu() -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    u64::try_from(micros).ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_all_figures_on_linux() {
        let process = Process::now();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 1024 * 1024), "{process:?}");
        assert!(process.open_descriptors.is_some_and(|count| count > 2), "{process:?}");
        assert!(process.cpu.is_some_and(|cpu| !cpu.is_zero()), "{process:?}");
    }
}
