//! `defender export PLATFORM`: asks the Console for what Defenders are deployed with, and writes it to a file. Nothing is
//! rendered here.
//!
//! ```text
//! mod.rs      the command line, and what is said at the end
//! asked.rs    addresses, password, CA: judged and read
//! call.rs     the one call of the Console's API
//! trust.rs    whether it is that Console
//! ```

mod asked;
mod call;
mod trust;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches, Parser};
use manifests::flags::{self, DefenderComposeFlags, DefenderFlags};
use manifests::output::{self, Next, Readers};
use manifests::{Defender, DefenderCompose, Faults};
use serde::Serialize;
use zeroize::Zeroizing;

use asked::Asked;

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

/// Where the Console is, and who asks.
#[derive(Debug, Clone, Default, Args)]
struct ConsoleFlags {
    /// Where the Console's API is.
    #[arg(long, help = ADDRESS_HELP, value_name = "URL", help_heading = CONSOLE)]
    address: Option<String>,
    /// User of the Console: an administrator, operator or defender-manager. Required, or --token-file
    #[arg(long, value_name = "NAME", help_heading = CONSOLE)]
    user: Option<String>,
    /// File with the user's password. Required with --user
    #[arg(long, value_name = "FILE", help_heading = CONSOLE)]
    password_file: Option<PathBuf>,
    /// File with a token of the Console's API, instead of --user and --password-file
    #[arg(long, value_name = "FILE", help_heading = CONSOLE)]
    token_file: Option<PathBuf>,
    /// CA certificates (PEM) that the Console's HTTPS certificate is verified with [default: the system's]
    #[arg(long, value_name = "FILE", conflicts_with = "ca_fingerprint", help_heading = CONSOLE)]
    ca: Option<PathBuf>,
    /// SHA-256 fingerprint, hexadecimal, of the CA certificate that issued the Console's HTTPS certificate
    #[arg(long, value_name = "SHA256", help_heading = CONSOLE)]
    ca_fingerprint: Option<String>,
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
    match fetch(&asked, ask) {
        Ok(content) => output::finish(output, &content, Readers::Owner, next),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn fetch(asked: &Asked, (path, flags): (&str, &impl Serialize)) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let secrets = asked.read()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(call::fetch(asked, &secrets, &format!("defenders/{path}"), flags))
}

/// Not doc comments: the brackets would be taken for links.
const ADDRESS_HELP: &str = "Where the Console's API is, https://HOST[:PORT], for example https://console.example.com:8083. \
     Required";
const OUTPUT_HELP: &str = "File to write, mode 0600 because it holds a key; or - for standard output [default: \
     defender.yaml; with --helm twistlock-defender-helm.tar.gz]";
const CONSOLE: &str = "Console";
/// Name of the release that runbooks use.
const RELEASE: &str = "twistlock-defender-ds";
