//! `cargo xtask bench …` and `cargo xtask fleet …`: builds everything and hands over to the binary of
//! `crates/bench`, which knows the options.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// Becomes `target/release/bench`: `bench rotation …` for `cargo xtask bench rotation …`, `bench fleet …` for
/// `cargo xtask fleet …`.
pub(crate) fn main(command: &str, arguments: &[String]) -> ExitCode {
    if !crate::build() {
        return ExitCode::FAILURE;
    }
    let program = crate::release_dir().join("bench");
    let subcommand = (command == "fleet").then_some("fleet");
    let error = Command::new(&program).args(subcommand).args(arguments).exec();
    eprintln!("starting {}: {error}", program.display());
    ExitCode::FAILURE
}
