//! `certs check`: the running program's own checks, told to a person.

use std::fmt;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use crate::channel::Channel;

/// How a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The program would refuse this.
    Error,
    /// A channel is fine.
    Ok,
    /// Taken with a warning.
    Warning,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it counts.
    pub verdict: Verdict,
    /// What it is about: a file, or the directory.
    pub path: PathBuf,
    /// What was found.
    pub what: String,
    /// What to do about it; empty when nothing is.
    pub remedy: String,
}

/// All findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order to print.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether the running program would take the directory (exit status 0).
    #[must_use]
    pub fn passed(&self) -> bool {
        unimplemented!()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}

/// Judges `dir` for a program that has `channels`.
#[must_use]
pub fn check(_channels: &[Channel], _dir: &Path, _now: OffsetDateTime) -> Report {
    unimplemented!()
}
