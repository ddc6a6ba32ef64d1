//! `console certs check DIR`: what the running Console would say of a directory, one line a finding.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use certs::Channel;
use time::OffsetDateTime;

/// Prints the findings to `out`. Success when the running Console would take the directory.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(dir: &Path, out: &mut impl Write) -> io::Result<ExitCode> {
    let report =
        certs::check(&[Channel::ConsoleHttps, Channel::ConsoleDefender], dir, OffsetDateTime::now_utc());
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    out.flush()?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use testpki::{Ca, Leaf, Writing};

    use super::*;

    fn check(dir: &Path) -> (ExitCode, String) {
        let mut out = Vec::new();
        let code = run(dir, &mut out).expect("memory");
        (code, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_good_set_passes_and_a_missing_directory_or_half_a_set_does_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (code, text) = check(&dir.path().join("missing"));
        assert_eq!(code, ExitCode::FAILURE);
        assert!(text.contains("missing"), "{text}");

        let pair = Ca::new("Check").issue(&Leaf::server(&["console.example.com"]));
        testpki::write_console_https(dir.path(), &pair, Writing::Atomic);
        let (code, text) = check(dir.path());
        assert_eq!(code, ExitCode::SUCCESS, "{text}");

        std::fs::remove_file(dir.path().join("console-key.pem")).expect("was written");
        let (code, text) = check(dir.path());
        assert_eq!(code, ExitCode::FAILURE);
        assert!(text.contains("console-key.pem"), "{text}");
    }
}
