//! `console export PLATFORM`: writes what people deploy a Console with. What is in it is in `crates/manifests`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser};
use manifests::flags::{self, ConsoleFlags};
use manifests::output::{self, Readers};
use manifests::{Console, Faults, YamlError};
use zeroize::Zeroizing;

/// Write what a Console is deployed with
#[derive(Parser)]
#[command(
    name = "console export",
    bin_name = "console export",
    disable_help_subcommand = true,
    max_term_width = 110
)]
enum Export {
    /// A Deployment on one volume, with its Service, settings and network policy
    Kubernetes(Kubernetes),
}

#[derive(Args)]
struct Kubernetes {
    /// File to write, or - for standard output
    #[arg(long, value_name = "FILE", default_value = "twistlock_console.yaml")]
    output: PathBuf,
    #[command(flatten)]
    flags: ConsoleFlags,
}

/// Runs the command; `arguments` stand behind `export`. Exit status 0, 1 or 2.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let command = flags::with_variables(Export::command(), "CONSOLE_EXPORT");
    let arguments = std::iter::once("console export".into()).chain(arguments).collect();
    let (platform, given) = flags::read(command, arguments).unwrap_or_else(|usage| usage.exit());
    let Kubernetes { output, flags } =
        Kubernetes::from_arg_matches(&given).unwrap_or_else(|usage| usage.exit());
    match Console::parse(&flags) {
        Ok(console) => finish(&output, console.kubernetes()),
        Err(faults) => refuse(&platform, &faults),
    }
}

fn finish(output: &Path, text: Result<Zeroizing<String>, YamlError>) -> ExitCode {
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: {}", lifecycle::logging::error_chain(&error));
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = output::write(output, &text, Readers::Anyone) {
        eprintln!("error: {}; {}", lifecycle::logging::error_chain(&error), error.remedy());
        return ExitCode::FAILURE;
    }
    if output != Path::new("-") {
        eprintln!("Wrote {}. Next: kubectl apply -f {0}", output.display());
    }
    ExitCode::SUCCESS
}

fn refuse(platform: &str, faults: &Faults) -> ExitCode {
    eprint!("{faults}\nFor more information, try 'console export {platform} --help'.\n");
    ExitCode::from(2)
}
