//! `defender status`: one line that says whether the running Defender is connected, and why not.

use std::io::{self, Write};
use std::path::Path;

use time::OffsetDateTime;

use crate::status;

/// Prints the line and returns the exit status.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(data_dir: &Path, out: &mut impl Write) -> io::Result<u8> {
    let (connected, line) = status::judge(data_dir, OffsetDateTime::now_utc());
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(u8::from(!connected))
}
