//! `cargo xtask COMMAND`: the developer's commands.
//!
//! ```text
//! onebox.rs        a Console and a Defender beside each other on this machine
//! test.rs          everything that must hold before a commit; CI runs it and nothing else
//! browser.rs       `screenshots`, and what the browser tests need
//! measure.rs       `bench` and `fleet`: builds crates/bench and hands over to it
//! debian.rs        a small Debian, for the tests of services
//! python.rs        programs from PyPI, for the tests
//! dependencies.rs  which crates, sources and licences may be in the tree
//! kubernetes.rs    helm and kubectl, for the tests of deployment files
//! maps.rs          tests only: maps like this one match their folders
//! kustomize.rs     the bases in deploy/kubernetes/
//! images/          the container images
//! ports.rs         who holds a TCP port
//! programs.rs      long-running children: their log lines, their end, signals
//! ```
//!
//! Everything is built by one shape of command, `cargo … --release --workspace`, so that no crate is compiled
//! twice with other features.
#![expect(clippy::print_stdout, reason = "a developer's command talks to its user")]

mod browser;
mod debian;
mod dependencies;
mod images;
mod kubernetes;
mod kustomize;
#[cfg(test)]
mod maps;
mod measure;
mod onebox;
mod ports;
mod programs;
mod python;
mod test;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    match command.as_str() {
        "bench" | "fleet" => measure::main(&command, &arguments),
        "images" => images::main(&arguments),
        "kustomize" => kustomize::main(&arguments),
        "onebox" => onebox::main(&arguments),
        "screenshots" => browser::screenshots(&arguments),
        "test" => test::main(&arguments),
        programs::LAUNCH => programs::launch(&arguments),
        "" | "help" | "-h" | "--help" => {
            println!("{USAGE}");
            if command.is_empty() { wrong_usage() } else { ExitCode::SUCCESS }
        }
        other => {
            eprintln!("cargo xtask: there is no command `{other}`\n\n{USAGE}");
            wrong_usage()
        }
    }
}

/// Top folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

/// Where cargo puts what it builds: this program too.
fn release_dir() -> PathBuf {
    let own = std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    own.unwrap_or_else(|| root().join("target/release"))
}

/// The cargo that runs this program, at the top of the repository.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Builds every package; `false` when that failed, which cargo has explained.
fn build() -> bool {
    cargo(&["build", "--release", "--workspace"]).status().is_ok_and(|status| status.success())
}

/// Exit status of a command that was called wrongly.
fn wrong_usage() -> ExitCode {
    ExitCode::from(2)
}

const USAGE: &str = "\
Usage: cargo xtask COMMAND [--help]

  onebox       builds and starts a Console and a Defender below ./onebox/ until Ctrl-C
  images       builds the container images without a base image
  kustomize    writes the bases in deploy/kubernetes/ anew
  test         installs what is missing, then checks formatting, lints and dependencies and runs every test
  screenshots  writes a picture of every page to docs/images/
  bench        measures api, rotation, handshake, idle or herd beside a bare server
  fleet        simulates Defenders that connect to a running Console";
