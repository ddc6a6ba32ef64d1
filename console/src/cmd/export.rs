//! `console export PLATFORM`: writes what people deploy a Console with. What is in it is in `crates/manifests`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches, Parser};
use manifests::flags::{self, ConsoleComposeFlags, ConsoleFlags, IstioFlags, OpenshiftFlags};
use manifests::output::{self, Next, Readers};
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
    /// File to write, or - for standard output.
    #[arg(long, help = OUTPUT_HELP, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write a Helm chart, a .tar.gz, instead of YAML
    #[arg(long)]
    helm: bool,
}

#[derive(Args)]
struct ComposeFile {
    /// File to write, or - for standard output
    #[arg(long, value_name = "FILE", default_value = "docker-compose.yaml")]
    output: PathBuf,
}

/// What came of it: faults, or the content.
type Written = Result<Result<Zeroizing<Vec<u8>>, YamlError>, Faults>;

/// Runs the command; `arguments` stand behind `export`. Exit status 0, 1 or 2.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let command = flags::with_variables(Export::command(), "CONSOLE_EXPORT");
    let arguments = std::iter::once("console export".into()).chain(arguments).collect();
    let (platform, given) = flags::read(command, arguments).unwrap_or_else(|usage| usage.exit());
    let (output, next, written): (PathBuf, Next<'_>, Written) = match &*platform {
        "compose" => {
            let To { file: ComposeFile { output }, flags } = read(&given);
            (output, Next::Compose, ConsoleCompose::parse(&flags).map(|console| console.write().map(bytes)))
        }
        "istio" => {
            let To { file, flags }: To<IstioFlags, ClusterFile> = read(&given);
            let written = Istio::parse(&flags).map(|console| match file.helm {
                true => console.chart(),
                false => console.write().map(bytes),
            });
            (file.path(), file.next(Next::Kubectl, &given), written)
        }
        "openshift" => {
            let To { file, flags }: To<OpenshiftFlags, ClusterFile> = read(&given);
            let written = Openshift::parse(&flags).map(|console| match file.helm {
                true => console.chart(),
                false => console.write().map(bytes),
            });
            (file.path(), file.next(Next::Oc, &given), written)
        }
        _ => {
            let To { file, flags }: To<ConsoleFlags, ClusterFile> = read(&given);
            let written = Console::parse(&flags).map(|console| match file.helm {
                true => console.chart(),
                false => console.write().map(bytes),
            });
            (file.path(), file.next(Next::Kubectl, &given), written)
        }
    };
    match written {
        Ok(Ok(content)) => output::finish(&output, &content, Readers::Anyone, next),
        Ok(Err(error)) => {
            eprintln!("error: {}", lifecycle::logging::error_chain(&error));
            ExitCode::FAILURE
        }
        Err(faults) => output::refuse("console export", &platform, &faults),
    }
}

impl ClusterFile {
    fn path(&self) -> PathBuf {
        let usual = if self.helm { "twistlock-console-helm.tar.gz" } else { "twistlock_console.yaml" };
        self.output.clone().unwrap_or_else(|| PathBuf::from(usual))
    }

    fn next<'a>(&self, usual: Next<'a>, given: &'a ArgMatches) -> Next<'a> {
        let namespace = given.get_one::<String>("namespace").map_or("twistlock", String::as_str);
        if self.helm { Next::Helm("twistlock-console", namespace) } else { usual }
    }
}

fn read<T: FromArgMatches>(given: &ArgMatches) -> T {
    T::from_arg_matches(given).unwrap_or_else(|usage| usage.exit())
}

fn bytes(mut text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
}

/// Not a doc comment: the brackets would be taken for a link.
const OUTPUT_HELP: &str = "File to write, or - for standard output [default: twistlock_console.yaml; with --helm \
     twistlock-console-helm.tar.gz]";
