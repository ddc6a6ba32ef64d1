//! `console export PLATFORM`: writes what people deploy a Console with. What is in it is in `crates/manifests`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches, Parser};
use manifests::flags::{self, ConsoleComposeFlags, ConsoleFlags, IstioFlags, OpenshiftFlags};
use manifests::output::{self, Readers};
use manifests::{Console, ConsoleCompose, Faults, Istio, Openshift, YamlError};
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
    /// docker-compose: a Console, or with --onebox a Console and a Defender on one host
    Compose(To<ConsoleComposeFlags, ComposeFile>),
    /// Kubernetes behind the ingress gateway of Istio, or one of the Gateway API
    Istio(To<IstioFlags, ClusterFile>),
    /// Kubernetes: a Deployment on one volume, with its Service, settings and network policy
    Kubernetes(To<ConsoleFlags, ClusterFile>),
    /// OpenShift: the same with Routes and SecurityContextConstraints
    Openshift(To<OpenshiftFlags, ClusterFile>),
}

/// What to write, and where to.
#[derive(Args)]
struct To<F: Args, O: Args> {
    #[command(flatten)]
    file: O,
    #[command(flatten)]
    flags: F,
}

#[derive(Args)]
struct ClusterFile {
    /// File to write, or - for standard output
    #[arg(long, value_name = "FILE", default_value = "twistlock_console.yaml")]
    output: PathBuf,
}

#[derive(Args)]
struct ComposeFile {
    /// File to write, or - for standard output
    #[arg(long, value_name = "FILE", default_value = "docker-compose.yaml")]
    output: PathBuf,
}

/// What came of it: faults, or the text and what to do with the file.
type Written = Result<Result<Zeroizing<String>, YamlError>, Faults>;

/// Runs the command; `arguments` stand behind `export`. Exit status 0, 1 or 2.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let command = flags::with_variables(Export::command(), "CONSOLE_EXPORT");
    let arguments = std::iter::once("console export".into()).chain(arguments).collect();
    let (platform, given) = flags::read(command, arguments).unwrap_or_else(|usage| usage.exit());
    let (output, next, written): (PathBuf, &str, Written) = match &*platform {
        "compose" => {
            let To { file: ComposeFile { output }, flags } = read(&given);
            (output, COMPOSE, ConsoleCompose::parse(&flags).map(|console| console.write()))
        }
        "istio" => {
            let To { file: ClusterFile { output }, flags } = read(&given);
            (output, KUBECTL, Istio::parse(&flags).map(|console| console.write()))
        }
        "openshift" => {
            let To { file: ClusterFile { output }, flags } = read(&given);
            (output, OC, Openshift::parse(&flags).map(|console| console.write()))
        }
        _ => {
            let To { file: ClusterFile { output }, flags } = read(&given);
            (output, KUBECTL, Console::parse(&flags).map(|console| console.kubernetes()))
        }
    };
    match written {
        Ok(text) => finish(&output, next, text),
        Err(faults) => refuse(&platform, &faults),
    }
}

fn read<T: FromArgMatches>(given: &ArgMatches) -> T {
    T::from_arg_matches(given).unwrap_or_else(|usage| usage.exit())
}

fn finish(output: &Path, next: &str, text: Result<Zeroizing<String>, YamlError>) -> ExitCode {
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
        eprintln!(
            "Wrote {}. Next: {next} {0}{}",
            output.display(),
            if next == COMPOSE { " up -d" } else { "" }
        );
    }
    ExitCode::SUCCESS
}

fn refuse(platform: &str, faults: &Faults) -> ExitCode {
    eprint!("{faults}\nFor more information, try 'console export {platform} --help'.\n");
    ExitCode::from(2)
}

const COMPOSE: &str = "docker-compose -f";
const KUBECTL: &str = "kubectl apply -f";
const OC: &str = "oc apply -f";
