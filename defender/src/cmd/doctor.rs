//! `defender doctor`: one line a step, or JSON; exit status 0 when nothing failed.

use std::io::{self, Write};

use serde_json::json;
use time::OffsetDateTime;

use crate::config::Config;
use crate::doctor::{self, Verdict};

/// Looks, prints the findings and returns the exit status.
///
/// # Errors
/// When the system gives no resources, or standard output cannot be written.
pub fn run(config: &Config, as_json: bool, out: &mut impl Write) -> io::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(doctor::examine(config, OffsetDateTime::now_utc()));
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    let is_well = findings.iter().all(|finding| finding.verdict != Verdict::Fail);
    if as_json {
        writeln!(out, "{}", json!({ "ok": is_well, "steps": findings }))?;
    } else {
        for finding in &findings {
            writeln!(out, "{finding}")?;
        }
    }
    out.flush()?;
    Ok(u8::from(!is_well))
}
