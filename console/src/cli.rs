//! Flags and environment as they are given: texts, not judged yet. `config.rs` makes the valid [`Config`] of
//! them. Order: default < environment < flag; an empty variable counts as unset.
//!
//! [`Config`]: crate::config::Config

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

macro_rules! tool_flags {
    () => {
        "      --passphrase-file <FILE>  File with the passphrase of the backup, 12 characters or more; - reads\n\
        \x20                               standard input [env: CONSOLE_BACKUP_PASSPHRASE_FILE]\n\
        \x20     --data-dir <DIR>          Data directory of the Console [env: CONSOLE_DATA_DIR]\n\
        \x20                               [default: /var/lib/twistlock/console]\n\
        \x20     --database-url <URL>      PostgreSQL in place of the embedded database\n\
        \x20                               [env: CONSOLE_DATABASE_URL]\n"
    };
}

/// The Console: HTTPS API and the Defenders' WebSocket.
#[derive(Debug, Parser)]
#[command(name = "console", version, about, long_about = None, max_term_width = 110)]
pub struct Cli {
    /// What to do; `serve` when nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of `serve`.
    #[command(flatten)]
    pub serve: Serve,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a backup of the Console to a file, also while it runs
    ///
    /// Database and certificate authority go to one encrypted file, of mode 0600, whole or not at all. Users,
    /// settings, Defenders, reports and the audit log are in it; sessions, tokens, custom certificates and the
    /// passphrase are not.
    #[command(help_template = TOOL_HELP, override_usage = "console backup --passphrase-file FILE FILE", after_help = BACKUP_FLAGS)]
    Backup {
        /// File to write, for example /var/backups/console.backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where the passphrase is.
        #[command(flatten)]
        passphrase: PassphraseSource,
    },
    /// Work with custom certificates
    #[command(
        disable_help_subcommand = true,
        help_template = "{about}\n\n{usage-heading} {usage}\n\n{subcommands}"
    )]
    Certs {
        /// Which work.
        #[command(subcommand)]
        command: Certs,
    },
    /// Write what a Console is deployed with: compose, istio, kubernetes, openshift
    #[command(disable_help_flag = true)]
    Export {
        /// A platform and its flags, read by `cmd/export.rs`: settings of `serve` do not mix with them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        arguments: Vec<OsString>,
    },
    /// Put a backup in the place of the Console's data, while the Console does not run
    ///
    /// The whole file is read and checked before anything is touched. A backup of an older version is brought up to
    /// date, one of a newer version is refused. With --database-url it goes to PostgreSQL, wherever it was made.
    #[command(
        help_template = TOOL_HELP,
        override_usage = "console restore [--replace] --passphrase-file FILE FILE",
        after_help = RESTORE_FLAGS
    )]
    Restore {
        /// File that `console backup` has written, or that was downloaded
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where the passphrase is.
        #[command(flatten)]
        passphrase: PassphraseSource,
        /// Restore also where there is data already; that is kept aside, in a folder that is named at the end
        #[arg(long)]
        replace: bool,
    },
    /// Say whether the running Console of this host is ready; exit status 0 or 1
    Healthcheck,
    /// Run the Console; the same as no command
    Serve,
}

/// Where a passphrase is; never the passphrase, which others could see in the list of processes.
#[derive(Debug, Args)]
pub struct PassphraseSource {
    /// File with the passphrase that the backup is encrypted with, 12 characters or more; - reads standard input
    #[arg(long = "passphrase-file", env = "CONSOLE_BACKUP_PASSPHRASE_FILE", value_name = "FILE")]
    pub passphrase_file: PathBuf,
}

/// Work with custom certificates.
#[derive(Debug, Subcommand)]
pub enum Certs {
    /// Judge the custom certificates in a directory as the running Console would
    ///
    /// Prints one line for each finding: file, what is wrong, how to mend it. Exit status 0 when each channel
    /// that has any of its files has them all and would be taken, and at least one channel has them; else 1.
    #[command(
        help_template = "{about}\n\n{usage-heading} {usage}\n\nArguments:\n{positionals}{after-help}",
        override_usage = "console certs check DIR"
    )]
    Check {
        /// Directory with the files, for example /var/lib/twistlock/custom-certificates
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// Settings of `serve`; each may stand before or after the command.
#[derive(Debug, Clone, Default, Args)]
pub struct Serve {
    /// Directory of the embedded database and the self-signed certificates [default: /var/lib/twistlock/console]
    #[arg(long, env = "CONSOLE_DATA_DIR", value_name = "DIR", global = true, help_heading = STORAGE)]
    pub data_dir: Option<OsString>,
    /// PostgreSQL that several Consoles share, postgres://USER:PASSWORD@HOST/DATABASE; as a variable rather than
    /// a flag, which other users of the host can see [default: SQLite in the data directory]
    #[arg(long, env = "CONSOLE_DATABASE_URL", value_name = "URL", global = true, help_heading = STORAGE, hide_env_values = true)]
    pub database_url: Option<String>,

    /// Address of the HTTPS API.
    #[arg(long, help = HTTPS_LISTEN_HELP, env = "CONSOLE_HTTPS_LISTEN", value_name = "IP:PORT", global = true, help_heading = LISTENERS)]
    pub https_listen: Option<String>,
    /// Address that Defenders connect to.
    #[arg(long, help = DEFENDER_LISTEN_HELP, env = "CONSOLE_DEFENDER_LISTEN", value_name = "IP:PORT", global = true, help_heading = LISTENERS)]
    pub defender_listen: Option<String>,
    /// Address of the API over plain HTTP, only for an ingress that terminates TLS, IP:PORT [default: off]
    #[arg(long, env = "CONSOLE_HTTP_LISTEN", value_name = "IP:PORT", global = true, help_heading = LISTENERS)]
    pub http_listen: Option<String>,
    /// URL that users reach the Console by.
    #[arg(long, help = PUBLIC_URL_HELP, env = "CONSOLE_PUBLIC_URL", value_name = "URL", global = true, help_heading = LISTENERS)]
    pub public_url: Option<String>,
    /// Addresses and networks of proxies whose word about their clients is believed.
    #[arg(long, help = TRUSTED_PROXIES_HELP, env = "CONSOLE_TRUSTED_PROXIES", value_name = "ADDRESS[/BITS]", global = true, help_heading = LISTENERS, value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,
    /// The trusted proxies begin each connection to the HTTPS listener with PROXY protocol v2, true or false; who is not
    /// one of them connects without [default: false]
    #[arg(long, env = "CONSOLE_HTTPS_PROXY_PROTOCOL", value_name = "SWITCH", global = true, help_heading = LISTENERS,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub https_proxy_protocol: Option<String>,
    /// The same for the listener of Defenders [default: false]
    #[arg(long, env = "CONSOLE_DEFENDER_PROXY_PROTOCOL", value_name = "SWITCH", global = true, help_heading = LISTENERS,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub defender_proxy_protocol: Option<String>,

    /// Directory watched for custom certificates [default: /var/lib/twistlock/custom-certificates]
    #[arg(long, env = "CONSOLE_CUSTOM_CERTS_DIR", value_name = "DIR", global = true, help_heading = CERTIFICATES)]
    pub custom_certs_dir: Option<OsString>,
    /// How often to look at that directory beside the system's own events, which network file systems do not
    /// raise; a duration such as 10s or 1m [default: 10s]
    #[arg(long, env = "CONSOLE_CUSTOM_CERTS_POLL", value_name = "DURATION", global = true, help_heading = CERTIFICATES)]
    pub custom_certs_poll: Option<String>,
    /// Name or IP address in the self-signed server certificates, beside those that are always there: host name,
    /// localhost, loopback addresses, service names; repeatable, commas in the variable
    #[arg(long, env = "CONSOLE_SANS", value_name = "NAME", global = true, help_heading = CERTIFICATES, value_delimiter = ',')]
    pub san: Vec<String>,
    /// How long connections made before a certificate rotation may finish; 0s resets them at once [default: 60s]
    #[arg(long, env = "CONSOLE_ROTATION_GRACE", value_name = "DURATION", global = true, help_heading = CERTIFICATES)]
    pub rotation_grace: Option<String>,
    /// Take a changed custom set of the Defender listener also when connected Defenders would be lost, with a warning
    /// [default: such a set waits until nobody would be lost, or until it is accepted]
    #[arg(long, env = "CONSOLE_FORCE_ROTATION", global = true, help_heading = CERTIFICATES, value_parser = is_on)]
    pub force_rotation: bool,

    /// Name of the first administrator, made while there is no user and a password file is given
    /// [default: admin]
    #[arg(long, env = "CONSOLE_ADMIN_USER", value_name = "NAME", global = true, help_heading = FIRST_USER)]
    pub admin_user: Option<String>,
    /// File with the first administrator's password; without it a one-time setup token is logged
    #[arg(long, env = "CONSOLE_ADMIN_PASSWORD_FILE", value_name = "FILE", global = true, help_heading = FIRST_USER)]
    pub admin_password_file: Option<OsString>,

    /// How often a Defender must be heard, 1s to 10m [default: 30s]
    #[arg(long, env = "CONSOLE_HEARTBEAT", value_name = "DURATION", global = true, help_heading = DEFENDERS)]
    pub heartbeat: Option<String>,
    /// How long a certificate that a Defender asks for lives, 1h to 730d; it is renewed at half of it [default: 30d]
    #[arg(long, env = "CONSOLE_DEFENDER_CERTIFICATE_LIFE", value_name = "DURATION", global = true, help_heading = DEFENDERS)]
    pub defender_certificate_life: Option<String>,
    /// How long after the end of its certificate a Defender comes back by itself; later an administrator approves it
    /// [default: 30d]
    #[arg(long, env = "CONSOLE_DEFENDER_RETURN_WITHIN", value_name = "DURATION", global = true, help_heading = DEFENDERS)]
    pub defender_return_within: Option<String>,
    /// Directory that a current install bundle is kept in, for a Defender on this host [default: off]
    #[arg(long, env = "CONSOLE_INSTALL_BUNDLE_DIR", value_name = "DIR", global = true, help_heading = DEFENDERS)]
    pub install_bundle_dir: Option<OsString>,

    /// Least important lines that are logged: debug, info, warn or error; dependencies log at warn
    /// [default: debug]
    #[arg(long, env = "CONSOLE_LOG_LEVEL", value_name = "LEVEL", global = true, help_heading = LOGGING)]
    pub log_level: Option<String>,
    /// Shape of log lines: text or json [default: text]
    #[arg(long, env = "CONSOLE_LOG_FORMAT", value_name = "FORMAT", global = true, help_heading = LOGGING)]
    pub log_format: Option<String>,
}

impl Cli {
    /// Reads arguments, the program's name first, and the environment.
    ///
    /// # Errors
    /// Wrong usage, and also `--help` and `--version`: [`clap::Error::exit`] does what each needs.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments = manifests::flags::ask_export_for_help(arguments);
        let mut matches = Self::command().try_get_matches_from(arguments)?;
        let unset: Vec<String> = matches
            .ids()
            .filter(|id| matches.value_source(id.as_str()) == Some(ValueSource::EnvVariable))
            .filter(|id| is_empty(&matches, id.as_str()))
            .map(ToString::to_string)
            .collect();
        for id in unset {
            let _ = matches.try_clear_id(&id);
        }
        Self::from_arg_matches(&matches)
    }
}

/// The value of a variable for a flag that takes none; an empty one counts as unset.
fn is_on(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "" | "false" | "0" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

fn is_empty(matches: &clap::ArgMatches, id: &str) -> bool {
    matches.get_raw(id).is_some_and(|mut values| values.all(|value| value.is_empty()))
}

// Not doc comments: the brackets would be taken for links.
const HTTPS_LISTEN_HELP: &str =
    "Address of the HTTPS API, IP:PORT; port 0 picks a free one [default: [::]:8083]";
const DEFENDER_LISTEN_HELP: &str = "Address that Defenders connect to (WebSocket, mutual TLS), IP:PORT; port 0 picks a free one \
     [default: [::]:8084]";
const TRUSTED_PROXIES_HELP: &str = "Addresses and networks of proxies whose word about their clients is believed: Forwarded, X-Forwarded-For, \
     X-Forwarded-Proto and X-Forwarded-Host; repeatable, commas as well [default: nobody's]";
const PUBLIC_URL_HELP: &str =
    "URL that users reach the Console by, https://HOST[:PORT] [default: derived from the request]";

// By hand: clap would list the settings of `serve` too, most of which have no meaning here.
const TOOL_HELP: &str = "{about}\n\n{usage-heading} {usage}\n\nArguments:\n{positionals}{after-help}";
const BACKUP_FLAGS: &str = concat!("\nOptions:\n", tool_flags!());
const RESTORE_FLAGS: &str = concat!(
    "\nOptions:\n",
    "      --replace                 Restore also where there is data already; that is kept aside, in a\n",
    "                                folder that is named at the end\n",
    tool_flags!()
);

const STORAGE: &str = "Storage";
const LISTENERS: &str = "Listeners";
const CERTIFICATES: &str = "Certificates";
const FIRST_USER: &str = "First user";
const DEFENDERS: &str = "Defenders";
const LOGGING: &str = "Logging";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Cli {
        Cli::read(std::iter::once(&"console").chain(arguments).map(OsString::from)).expect("good usage")
    }

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_after_serve_or_without_it() {
        for arguments in
            [&["--heartbeat", "5s"][..], &["serve", "--heartbeat", "5s"], &["--heartbeat", "5s", "serve"]]
        {
            assert_eq!(read(arguments).serve.heartbeat.as_deref(), Some("5s"), "{arguments:?}");
        }
        let both = read(&["--san", "a.example", "serve", "--heartbeat=5s"]).serve;
        assert_eq!((both.san, both.heartbeat.as_deref()), (vec!["a.example".to_owned()], Some("5s")));
    }

    #[test]
    fn help_names_each_variable_and_groups_flags_by_topic() {
        let help = Cli::command().render_long_help().to_string();
        for heading in [STORAGE, LISTENERS, CERTIFICATES, FIRST_USER, DEFENDERS, LOGGING] {
            assert!(help.contains(&format!("\n{heading}:\n")), "{heading} in {help}");
        }
        let settings = Cli::command();
        for setting in settings.get_arguments().filter(|a| !matches!(a.get_id().as_str(), "help" | "version"))
        {
            let variable = setting.get_env().expect("each setting has a variable").to_str().expect("ASCII");
            assert!(variable.starts_with("CONSOLE_") && help.contains(variable), "{variable}");
        }
    }

    #[test]
    fn certs_check_takes_a_directory() {
        let Some(Command::Certs { command: Certs::Check { dir } }) =
            read(&["certs", "check", "/etc"]).command
        else {
            panic!("the command was read as another one");
        };
        assert_eq!(dir, PathBuf::from("/etc"));
        let error = Cli::read(["console", "certs", "check"].map(OsString::from)).expect_err("no directory");
        assert_eq!(error.exit_code(), 2);
    }
}
