//! Memory, descriptors and processor time of this process, from the system.

use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike as _;

/// The figures; `None` where the system does not tell.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    /// Memory in use.
    pub resident_bytes: Option<u64>,
    /// Open files and connections.
    pub open_descriptors: Option<usize>,
    /// How many files and connections may be open.
    pub most_descriptors: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Processor time, of all threads, in user and in system mode.
    pub cpu: Option<Duration>,
}

impl Process {
    /// The figures now. Blocks for as long as it takes to count the descriptors.
    #[must_use]
    pub fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            resident_bytes: resident_bytes(&status),
            open_descriptors: open_descriptors(),
            most_descriptors: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
            threads: field(&status, "Threads:").and_then(|count| count.parse().ok()),
            cpu: cpu(),
        }
    }
}

fn resident_bytes(status: &str) -> Option<u64> {
    let kibibytes: u64 = field(status, "VmRSS:")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
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
        assert!(process.most_descriptors >= process.open_descriptors.and_then(|count| count.try_into().ok()));
        assert!(process.threads.is_some_and(|count| count > 0), "{process:?}");
        assert!(process.cpu.is_some_and(|cpu| !cpu.is_zero()), "{process:?}");
    }
}
