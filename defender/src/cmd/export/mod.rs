//! `defender export PLATFORM`: asks the Console for what Defenders are deployed with, and writes it to a file. Nothing is
//! rendered here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches, Parser};
use manifests::flags::{self, DefenderComposeFlags, DefenderFlags};
use manifests::output::{self, Next, Readers};
use manifests::{Defender, DefenderCompose, Faults};
use serde::Serialize;

use crate::console_api::{Asked, ConsoleFlags};

/// Write what Defenders are deployed with, as the Console says
#[derive(Parser)]
#[command(
    name = "defender export",
    bin_name = "defender export",
    disable_help_subcommand = true,
    max_term_width = 110
)]
enum Export {
    /// docker-compose: a Defender on one host, with its install bundle
    Compose(To<DefenderComposeFlags, ComposeFile>),
    /// Kubernetes: one Defender on each node, with the install bundle
    Kubernetes(To<DefenderFlags, ClusterFile>),
    /// OpenShift: the same with SecurityContextConstraints
    Openshift(To<DefenderFlags, ClusterFile>),
}

/// What to write, who is asked, and where to.
#[derive(Args)]
struct To<F: Args, O: Args> {
    #[command(flatten)]
    file: O,
    #[command(flatten)]
    console: ConsoleFlags,
    #[command(flatten)]
    flags: F,
}

#[derive(Args)]
struct ClusterFile {
    /// File to write, mode 0600 because it holds a key.
    #[arg(long, help = OUTPUT_HELP, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write a Helm chart, a .tar.gz, instead of YAML
    #[arg(long)]
    helm: bool,
}

#[derive(Args)]
struct ComposeFile {
    /// File to write, mode 0600 because it holds a key; or - for standard output
    #[arg(long, value_name = "FILE", default_value = "docker-compose.yaml")]
    output: PathBuf,
}

/// Runs the command; `arguments` stand behind `export`. Exit status 0, 1 or 2.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let command = flags::with_variables(Export::command(), "DEFENDER_EXPORT");
    let arguments = std::iter::once("defender export".into()).chain(arguments).collect();
    let (platform, given) = flags::read(command, arguments).unwrap_or_else(|usage| usage.exit());
    // The Console judges the flags too: what can be known here is told before anybody is asked.
    match &*platform {
        "compose" => {
            let To { file: ComposeFile { output }, console, flags } = read(&given);
            let faults = DefenderCompose::parse(&flags).err();
            export(&platform, &console, faults, ("docker-compose.yaml", &flags), &output, Next::Compose)
        }
        _ => {
            let To { file, console, flags }: To<DefenderFlags, ClusterFile> = read(&given);
            let namespace = flags.workload.namespace.as_deref().unwrap_or("twistlock");
            let (path, next) = match (&*platform, file.helm) {
                ("openshift", true) => ("openshift-helm.tar.gz", Next::Helm(RELEASE, namespace)),
                ("openshift", false) => ("openshift.yaml", Next::Oc),
                (_, true) => ("daemonset-helm.tar.gz", Next::Helm(RELEASE, namespace)),
                (_, false) => ("daemonset.yaml", Next::Kubectl),
            };
            let faults = Defender::parse(&flags).err();
            let usual = if file.helm { "twistlock-defender-helm.tar.gz" } else { "defender.yaml" };
            let output = file.output.unwrap_or_else(|| PathBuf::from(usual));
            export(&platform, &console, faults, (path, &flags), &output, next)
        }
    }
}

fn read<T: FromArgMatches>(given: &ArgMatches) -> T {
    T::from_arg_matches(given).unwrap_or_else(|usage| usage.exit())
}

/// `ask` is a file of the API below `defenders/`, and what it is asked with.
fn export(
    platform: &str,
    console: &ConsoleFlags,
    faults: Option<Faults>,
    ask: (&str, &impl Serialize),
    output: &Path,
    next: Next<'_>,
) -> ExitCode {
    let asked = match Asked::parse(console, faults) {
        Ok(asked) => asked,
        Err(faults) => return output::refuse("defender export", platform, &faults),
    };
    // A registration is made for each bundle: none for a file that cannot be written.
    if let Err(error) = output::check(output) {
        return output::fail(&error);
    }
    let (path, flags) = ask;
    match asked.file(&format!("defenders/{path}"), flags) {
        Ok(content) => output::finish(output, &content, Readers::Owner, next),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Not a doc comment: the brackets would be taken for links.
const OUTPUT_HELP: &str = "File to write, mode 0600 because it holds a key; or - for standard output [default: \
     defender.yaml; with --helm twistlock-defender-helm.tar.gz]";
/// Name of the release that runbooks use.
const RELEASE: &str = "twistlock-defender-ds";
