//! The limit of open files: each connection takes one, so it is raised as far as the system allows.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one and returns what is in force.
#[must_use]
pub fn raise_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return ASSUMED };
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

/// What POSIX systems give at least in practice.
const ASSUMED: u64 = 1024;
