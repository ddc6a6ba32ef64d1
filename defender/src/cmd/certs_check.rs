//! `defender certs check DIR`: what the running Defender would say of the directory, one line a finding.

use std::io::{self, Write};
use std::path::Path;

use certs::Channel;
use time::OffsetDateTime;

/// Prints the findings and returns the exit status.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(dir: &Path, out: &mut impl Write) -> io::Result<u8> {
    let report = certs::check(&[Channel::Defender], dir, OffsetDateTime::now_utc());
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    out.flush()?;
    Ok(u8::from(!report.passed()))
}
