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

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser};
use manifests::flags::{self, DefenderFlags};
use manifests::output::{self, Readers};

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
    /// One Defender on each node, with its install bundle
    Kubernetes(Kubernetes),
}

#[derive(Args)]
struct Kubernetes {
    /// File to write, mode 0600 because it holds a key; or - for standard output
    #[arg(long, value_name = "FILE", default_value = "defender.yaml")]
    output: PathBuf,
    #[command(flatten)]
    console: ConsoleFlags,
    #[command(flatten)]
    flags: DefenderFlags,
}

/// Where the Console is, and who asks.
#[derive(Debug, Clone, Default, Args)]
struct ConsoleFlags {
    /// Where the Console's API is.
    #[arg(long, help = ADDRESS_HELP, value_name = "URL", help_heading = CONSOLE)]
    address: Option<String>,
    /// User of the Console: an administrator or operator. Required
    #[arg(long, value_name = "NAME", help_heading = CONSOLE)]
    user: Option<String>,
    /// File with the user's password. Required
    #[arg(long, value_name = "FILE", help_heading = CONSOLE)]
    password_file: Option<PathBuf>,
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
    let given = Kubernetes::from_arg_matches(&given).unwrap_or_else(|usage| usage.exit());
    let asked = match Asked::parse(&given.console, &given.flags) {
        Ok(asked) => asked,
        Err(faults) => {
            eprint!("{faults}\nFor more information, try 'defender export {platform} --help'.\n");
            return ExitCode::from(2);
        }
    };
    match fetch(&asked, &given.flags, &given.output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn fetch(asked: &Asked, flags: &DefenderFlags, to: &Path) -> anyhow::Result<()> {
    let secrets = asked.read()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let text = runtime.block_on(call::fetch(asked, &secrets, "defenders/daemonset.yaml", flags))?;
    output::write(to, &text, Readers::Owner).map_err(|error| {
        let remedy = error.remedy();
        anyhow::Error::new(error).context(remedy)
    })?;
    if to != Path::new("-") {
        eprintln!("Wrote {}. Next: kubectl apply -f {0}", to.display());
    }
    Ok(())
}

/// Not a doc comment: the brackets would be taken for a link.
const ADDRESS_HELP: &str = "Where the Console's API is, https://HOST[:PORT], for example https://console.example.com:8083. \
     Required";
const CONSOLE: &str = "Console";
