//! `cargo xtask kustomize`: writes the bases in `deploy/kubernetes/` anew, from what the exports write.

use std::process::ExitCode;

/// Writes the files; a test says when they are stale.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    if !arguments.is_empty() {
        println!("{USAGE}");
        let asked = arguments.iter().all(|argument| argument == "-h" || argument == "--help");
        return if asked { ExitCode::SUCCESS } else { crate::wrong_usage() };
    }
    let build = crate::cargo(&["build", "--release", "--workspace", "--example", "kustomize"]);
    let write = || crate::test::run(crate::test::command("target/release/examples/kustomize", &[]));
    match crate::test::run(build).and_then(|()| write()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "\
Usage: cargo xtask kustomize

Writes the bases in deploy/kubernetes/ anew, from what the exports write.";
