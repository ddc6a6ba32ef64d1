//! The command line and the environment as given; no value is judged here, see `config.rs`.
//!
//! Order: default < environment < flag. `defender` is `defender run`, and the flags of `run` are accepted in both
//! places; beside the subcommand they win.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use zeroize::Zeroizing;

use crate::console_api::ConsoleFlags;

/// What the operator asked for.
#[derive(Debug)]
pub enum Cli {
    /// Judge a directory of certificates.
    CertsCheck(PathBuf),
    /// Say what is wrong between this host and the Console; whether in JSON.
    Doctor(Box<RunArgs>, Option<BundleText>, bool),
    /// Write what Defenders are deployed with; what stands behind `export`.
    Export(Vec<OsString>),
    /// Write a unit of systemd for a Defender of this host, enable and start it.
    InstallService(Box<RunArgs>, Box<ServiceArgs>),
    /// Run until stopped.
    Run(Box<RunArgs>, Option<BundleText>),
    /// Say whether the running Defender is connected.
    Status(StatusArgs),
}

/// The content of `INSTALL_BUNDLE`, which holds a private key.
#[derive(Clone)]
pub struct BundleText(Zeroizing<String>);

impl BundleText {
    /// Wraps the secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The base64 text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BundleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BundleText(***)")
    }
}

impl Cli {
    /// Reads the arguments (the program's name first) and the environment.
    ///
    /// # Errors
    /// What clap says of wrong usage; also for `--help` and `--version`, which are no failures.
    pub fn read(arguments: impl IntoIterator<Item: Into<OsString>>) -> Result<Self, clap::Error> {
        let arguments = manifests::flags::ask_export_for_help(arguments.into_iter().map(Into::into));
        let matches = TopLevel::command().try_get_matches_from(arguments)?;
        refuse_empty_flags(&matches)?;
        let TopLevel { run: outer, command } = TopLevel::from_arg_matches(&matches)?;
        Ok(match command {
            Some(Command::Certs { command: CertsCommand::Check { dir } }) => Self::CertsCheck(dir),
            Some(Command::Doctor { args, json }) => {
                let merged = args.over(outer, &GivenBeside(matches.subcommand_matches("doctor")));
                Self::Doctor(Box::new(merged.in_this_environment()), install_bundle()?, json)
            }
            Some(Command::Export { arguments }) => Self::Export(arguments),
            Some(Command::InstallService { args, service }) => {
                let merged = args.over(outer, &GivenBeside(matches.subcommand_matches("install-service")));
                Self::InstallService(Box::new(merged.in_this_environment()), service)
            }
            Some(Command::Status(inner)) => {
                let given = GivenBeside(matches.subcommand_matches("status"));
                Self::Status(StatusArgs { data_dir: given.pick("data_dir", inner.data_dir, outer.data_dir) })
            }
            Some(Command::Run(inner)) => {
                let merged = inner.over(outer, &GivenBeside(matches.subcommand_matches("run")));
                Self::Run(Box::new(merged.in_this_environment()), install_bundle()?)
            }
            None => Self::Run(Box::new(outer.in_this_environment()), install_bundle()?),
        })
    }
}

/// Default of `--data-dir`.
pub const DATA_DIR: &str = "/var/lib/twistlock/defender";
/// Default of `--install-bundle-dir`.
pub const INSTALL_BUNDLE_DIR: &str = "/var/lib/twistlock/certificates";
/// Default of `--custom-certs-dir`.
pub const CUSTOM_CERTS_DIR: &str = "/var/lib/twistlock/custom-certificates";
/// Default of `--custom-certs-poll`.
pub const CUSTOM_CERTS_POLL: &str = "10s";
/// Default of `--log-level`.
pub const LOG_LEVEL: &str = "debug";
/// Default of `--log-format`.
pub const LOG_FORMAT: &str = "text";

/// Not a doc comment: the brackets would be taken for a link.
const CONSOLE_ADDRESS_HELP: &str =
    "Where the Console accepts Defenders: wss://HOST[:PORT]; the port is 8084 when absent. Required";

/// What gives an install bundle to a service.
const API_HELP: &str = "Ask the Console whose API is here, https://HOST[:PORT], for an install bundle, and put it into \
     --install-bundle-dir; needs --user and --password-file, or --token-file";

/// The flags of `run`. An empty variable counts as absent; an empty flag is wrong usage.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// Where the Console accepts Defenders.
    #[arg(long, help = CONSOLE_ADDRESS_HELP, env = "WS_ADDRESS", value_name = "URL", help_heading = "Console")]
    pub console_address: Option<String>,

    /// Name expected in the Console's certificate [default: the host of the address]
    #[arg(long, env = "DEFENDER_CONSOLE_SERVER_NAME", value_name = "NAME", help_heading = "Console")]
    pub console_server_name: Option<String>,

    /// Directory of the identity, unsent reports (at most 64 MiB) and the state for `defender status`
    #[arg(long, env = "DEFENDER_DATA_DIR", value_name = "DIR", default_value = DATA_DIR, help_heading = "Host")]
    pub data_dir: Option<PathBuf>,

    /// Name shown in the Console [default: the host's name]
    #[arg(long, env = "DEFENDER_HOSTNAME", value_name = "NAME", help_heading = "Host")]
    pub hostname: Option<String>,

    /// Name of the cluster that the host belongs to, shown beside it in the Console [default: none]
    #[arg(long, env = "DEFENDER_CLUSTER", value_name = "NAME", help_heading = "Host")]
    pub cluster: Option<String>,

    /// Directory of the install bundle: defender-ca.pem, defender-client-cert.pem, defender-client-key.pem from the
    /// Console. The variable INSTALL_BUNDLE holds the same files as one string and wins
    #[arg(
        long,
        env = "DEFENDER_INSTALL_BUNDLE_DIR",
        value_name = "DIR",
        default_value = INSTALL_BUNDLE_DIR,
        help_heading = "Certificates"
    )]
    pub install_bundle_dir: Option<PathBuf>,

    /// Watched directory of custom certificates: the same three file names; a complete set wins over the bundle
    #[arg(
        long,
        env = "DEFENDER_CUSTOM_CERTS_DIR",
        value_name = "DIR",
        default_value = CUSTOM_CERTS_DIR,
        help_heading = "Certificates"
    )]
    pub custom_certs_dir: Option<PathBuf>,

    /// How often certificate directories are looked at beside file events (network file systems raise none): a
    /// whole number and ms, s, m, h or d
    #[arg(
        long,
        env = "DEFENDER_CUSTOM_CERTS_POLL",
        value_name = "DURATION",
        default_value = CUSTOM_CERTS_POLL,
        help_heading = "Certificates"
    )]
    pub custom_certs_poll: Option<String>,

    /// Least important lines to log: debug, info, warn or error
    #[arg(
        long,
        env = "DEFENDER_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = LOG_LEVEL,
        help_heading = "Logging"
    )]
    pub log_level: Option<String>,

    /// Shape of the lines on standard error: text or json
    #[arg(
        long,
        env = "DEFENDER_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = LOG_FORMAT,
        help_heading = "Logging"
    )]
    pub log_format: Option<String>,

    /// From the environment alone: arguments are visible to others, and a proxy's URL may hold a password.
    #[arg(skip)]
    pub proxy: ProxyVariables,
}

/// The proxy on the way to the Console, as most programs are told of it.
#[derive(Clone, Default)]
pub struct ProxyVariables {
    /// `HTTPS_PROXY`, else `https_proxy`: which.
    pub https_proxy: Option<String>,
    /// `NO_PROXY`, else `no_proxy`: what is reached without.
    pub no_proxy: Option<String>,
}

impl ProxyVariables {
    /// What this process was started with.
    pub(crate) fn of_this_process() -> Self {
        // What is no text names no host.
        let read = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        Self {
            https_proxy: read("HTTPS_PROXY").or_else(|| read("https_proxy")),
            no_proxy: read("NO_PROXY").or_else(|| read("no_proxy")),
        }
    }
}

impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyVariables(***)")
    }
}

impl RunArgs {
    fn in_this_environment(self) -> Self {
        Self { proxy: ProxyVariables::of_this_process(), ..self }
    }

    /// These, given beside the subcommand, over those given before it.
    fn over(self, outer: Self, given: &GivenBeside<'_>) -> Self {
        Self {
            console_address: given.pick("console_address", self.console_address, outer.console_address),
            console_server_name: given.pick(
                "console_server_name",
                self.console_server_name,
                outer.console_server_name,
            ),
            data_dir: given.pick("data_dir", self.data_dir, outer.data_dir),
            hostname: given.pick("hostname", self.hostname, outer.hostname),
            cluster: given.pick("cluster", self.cluster, outer.cluster),
            install_bundle_dir: given.pick(
                "install_bundle_dir",
                self.install_bundle_dir,
                outer.install_bundle_dir,
            ),
            custom_certs_dir: given.pick("custom_certs_dir", self.custom_certs_dir, outer.custom_certs_dir),
            custom_certs_poll: given.pick(
                "custom_certs_poll",
                self.custom_certs_poll,
                outer.custom_certs_poll,
            ),
            log_level: given.pick("log_level", self.log_level, outer.log_level),
            log_format: given.pick("log_format", self.log_format, outer.log_format),
            proxy: self.proxy,
        }
    }
}

/// The flags of `install-service` beside those of `run`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServiceArgs {
    /// Program file that the unit starts [default: this one]
    #[arg(long, value_name = "FILE", help_heading = "Service")]
    pub program: Option<PathBuf>,

    /// Show the unit and the commands, and change nothing
    #[arg(long, conflicts_with_all = ["output", "root"], help_heading = "Service")]
    pub dry_run: bool,

    /// Write the unit to this file, or to standard output with -, and change nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["root", "address"], help_heading = "Service")]
    pub output: Option<PathBuf>,

    /// Write and enable the unit below this directory, for the image of a host that does not run yet
    #[arg(long, value_name = "DIR", help_heading = "Service")]
    pub root: Option<PathBuf>,

    /// Whom to ask for the install bundle.
    #[command(flatten)]
    pub console: ConsoleFlags,
}

/// The flags of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Data directory of the running Defender
    #[arg(long, env = "DEFENDER_DATA_DIR", value_name = "DIR", default_value = DATA_DIR)]
    pub data_dir: Option<PathBuf>,
}

/// Runs on a host, dials its Console and reports.
#[derive(Debug, Parser)]
#[command(
    name = "defender",
    version,
    after_help = "Every flag has the environment variable shown beside it; a flag wins. INSTALL_BUNDLE has no flag, \
                  because arguments are visible to other users of the host.\nHTTPS_PROXY \
                  (http://[USER:PASSWORD@]HOST[:PORT]) names a proxy on the way to the Console, NO_PROXY what is \
                  reached without it (names, .suffixes, addresses, networks, *).\nExit status: 0 done or stopped by \
                  SIGTERM or SIGINT, 1 a failure that is logged, 2 wrong usage."
)]
struct TopLevel {
    #[command(flatten)]
    run: RunArgs,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work on certificate files
    Certs {
        #[command(subcommand)]
        command: CertsCommand,
    },
    /// Say which of certificates, proxy, DNS, route, TLS, trust, chain, name, clock, access and version is wrong between
    /// this host and the Console, and how to mend it; exit status 0 or 1. A running Defender is not disturbed
    Doctor {
        /// As for `run`.
        #[command(flatten)]
        args: Box<RunArgs>,
        /// One JSON object instead of one line a step
        #[arg(long)]
        json: bool,
    },
    /// Write what Defenders are deployed with, as the Console says: compose, kubernetes, openshift
    #[command(disable_help_flag = true)]
    Export {
        /// A platform and its flags, read by `cmd/export`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        arguments: Vec<OsString>,
    },
    /// Write a unit of systemd for a Defender of this host, enable and start it; the settings given stand in it. With
    /// --address the Console is asked for an install bundle first
    #[command(mut_arg("address", |address| address.help(API_HELP)))]
    InstallService {
        /// As for `run`.
        #[command(flatten)]
        args: Box<RunArgs>,
        /// Where to.
        #[command(flatten)]
        service: Box<ServiceArgs>,
    },
    /// Run until stopped; what `defender` does without a command
    Run(Box<RunArgs>),
    /// Say whether the running Defender is connected, and why not; exit status 0 or 1
    Status(StatusArgs),
}

#[derive(Debug, Subcommand)]
enum CertsCommand {
    /// Judge a directory as the running Defender would: one line a finding; exit status 0 or 1
    Check {
        /// Directory to judge
        dir: PathBuf,
    },
}

/// Which flags stand beside the subcommand, as opposed to coming from the environment or a default.
struct GivenBeside<'a>(Option<&'a ArgMatches>);

impl GivenBeside<'_> {
    fn pick<T>(&self, id: &str, beside: Option<T>, before: Option<T>) -> Option<T> {
        let given = self.0.and_then(|matches| matches.value_source(id)) == Some(ValueSource::CommandLine);
        if given { beside } else { before }
    }
}

/// An empty variable is what an unset value of a manifest looks like; an empty flag was written on purpose, or its value
/// was forgotten.
fn refuse_empty_flags(matches: &ArgMatches) -> Result<(), clap::Error> {
    let beside = ["run", "doctor", "install-service", "status"].map(|name| matches.subcommand_matches(name));
    for matches in [Some(matches)].into_iter().chain(beside).flatten() {
        let given = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        for id in matches.ids().filter(given) {
            let mut values = matches.try_get_raw(id.as_str()).ok().flatten().into_iter().flatten();
            if values.any(|value| value.is_empty()) {
                let flag = id.as_str().replace('_', "-");
                let text = format!("--{flag} is empty; give a value, or leave the flag out");
                return Err(TopLevel::command().error(clap::error::ErrorKind::InvalidValue, text));
            }
        }
    }
    Ok(())
}

fn install_bundle() -> Result<Option<BundleText>, clap::Error> {
    match std::env::var_os(INSTALL_BUNDLE).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) if text.trim().is_empty() => Ok(None),
        Some(Ok(text)) => Ok(Some(BundleText::new(text))),
        Some(Err(_)) => Err(TopLevel::command().error(
            clap::error::ErrorKind::InvalidUtf8,
            format!("{INSTALL_BUNDLE} is not text; set it to the base64 string that the Console shows"),
        )),
    }
}

/// The variable that holds a bundle as one string.
pub const INSTALL_BUNDLE: &str = "INSTALL_BUNDLE";

#[cfg(test)]
mod tests;
