//! The valid configuration, made from what was given (`cli.rs`). Pure: neither files nor the environment are read.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lifecycle::duration;
use lifecycle::logging::{LogFormat, LogLevel};
use rustls_pki_types::ServerName;
use thiserror::Error;

use crate::cli::{self, BundleText, ProxyVariables, RunArgs, StatusArgs};
use crate::dial::Target;
use crate::proxy::{Proxy, is_direct};

/// Everything a Defender needs to know in order to run.
#[derive(Debug)]
pub struct Config {
    /// Where the Console is.
    pub console: ConsoleAddress,
    /// The name that its certificate must carry.
    pub server_name: ServerName<'static>,
    /// The proxy on the way to it.
    pub proxy: Option<Proxy>,
    /// Identity, unsent reports, state.
    pub data_dir: PathBuf,
    /// Where the bundle is looked for.
    pub install_bundle_dir: PathBuf,
    /// A bundle that wins over the directory.
    pub install_bundle: Option<BundleText>,
    /// The watched directory.
    pub custom_certs_dir: PathBuf,
    /// How often certificate directories are looked at beside file events.
    pub custom_certs_poll: Duration,
    /// Name shown in the Console; `None`: the host's.
    pub hostname: Option<String>,
    /// Name of the cluster, shown beside it.
    pub cluster: Option<String>,
    /// Least important lines to log.
    pub log_level: LogLevel,
    /// Shape of a log line.
    pub log_format: LogFormat,
}

/// One setting that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{setting}: {fault}")]
pub struct Fault {
    /// The flag and the variable.
    setting: &'static str,
    /// What is wrong and what is accepted.
    fault: String,
}

/// All settings that cannot be used, each with the accepted form.
#[derive(Debug, Error, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fault| writeln!(f, "error: {fault}"))?;
        write!(f, "\nFor more information, try 'defender --help'.")
    }
}

impl Config {
    /// Makes the configuration of `defender run`.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn parse(args: RunArgs, install_bundle: Option<BundleText>) -> Result<Self, Faults> {
        let mut notes = Notes::default();
        let console = notes.console(text(args.console_address));
        let server_name = match text(args.console_server_name) {
            None => console.as_ref().map(|console| console.name.clone()),
            Some(name) => notes.server_name(&name),
        };
        let poll =
            notes.poll(&text(args.custom_certs_poll).unwrap_or_else(|| cli::CUSTOM_CERTS_POLL.to_owned()));
        let hostname = text(args.hostname);
        notes.hostname(hostname.as_deref());
        let cluster = text(args.cluster);
        notes.cluster(cluster.as_deref());
        let proxy = console.as_ref().and_then(|console| notes.proxy(args.proxy, console));
        let level = notes.choice(LEVEL, &text(args.log_level).unwrap_or_else(|| cli::LOG_LEVEL.to_owned()));
        let format =
            notes.choice(FORMAT, &text(args.log_format).unwrap_or_else(|| cli::LOG_FORMAT.to_owned()));
        match (console, server_name, poll, level, format) {
            (Some(console), Some(server_name), Some(poll), Some(log_level), Some(log_format))
                if notes.0.is_empty() =>
            {
                Ok(Self {
                    console,
                    server_name,
                    proxy,
                    data_dir: path(args.data_dir, cli::DATA_DIR),
                    install_bundle_dir: path(args.install_bundle_dir, cli::INSTALL_BUNDLE_DIR),
                    install_bundle,
                    custom_certs_dir: path(args.custom_certs_dir, cli::CUSTOM_CERTS_DIR),
                    custom_certs_poll: poll,
                    hostname,
                    cluster,
                    log_level,
                    log_format,
                })
            }
            _ => Err(Faults(notes.0)),
        }
    }

    /// Where to, and by which way.
    #[must_use]
    pub fn target(&self) -> Target {
        Target {
            address: self.console.clone(),
            server_name: self.server_name.clone(),
            proxy: self.proxy.clone(),
        }
    }
}

/// Judges one setting at a time and collects the faults; `None` stands for a setting with one.
#[derive(Default)]
struct Notes(Vec<Fault>);

impl Notes {
    fn note(&mut self, setting: &'static str, fault: impl fmt::Display) {
        self.0.push(Fault { setting, fault: fault.to_string() });
    }

    fn console(&mut self, address: Option<String>) -> Option<ConsoleAddress> {
        let Some(address) = address else {
            self.note(CONSOLE_ADDRESS, format!("missing; set it to {ACCEPTED_ADDRESS}"));
            return None;
        };
        address.parse().map_err(|fault: AddressError| self.note(CONSOLE_ADDRESS, fault)).ok()
    }

    fn proxy(&mut self, variables: ProxyVariables, console: &ConsoleAddress) -> Option<Proxy> {
        let proxy = text(variables.https_proxy)?;
        if is_direct(&variables.no_proxy.unwrap_or_default(), &console.host(), console.port()) {
            return None;
        }
        Proxy::parse(&proxy).map_err(|fault| self.note(PROXY, fault)).ok()
    }

    fn server_name(&mut self, name: &str) -> Option<ServerName<'static>> {
        let parsed = server_name(name);
        if parsed.is_none() {
            self.note(SERVER_NAME, format!("`{}` is neither a DNS name nor an IP address", masked(name)));
        }
        parsed
    }

    fn poll(&mut self, poll: &str) -> Option<Duration> {
        match duration::parse(poll) {
            Ok(duration) if duration.is_zero() => {
                self.note(POLL, format!("`{poll}` would poll without a pause; write 1s or more"));
                None
            }
            Ok(duration) => Some(duration),
            Err(fault) => {
                self.note(POLL, fault);
                None
            }
        }
    }

    fn hostname(&mut self, name: Option<&str>) {
        if let Some(name) = name.filter(|name| !is_host_name(name)) {
            self.note(
                HOSTNAME,
                format!("`{}` is no name; write 1 to 253 characters without spaces", masked(name)),
            );
        }
    }

    fn cluster(&mut self, name: Option<&str>) {
        if let Some(name) = name.filter(|name| !is_cluster_name(name)) {
            self.note(
                CLUSTER,
                format!(
                    "`{}` is no name; write 1 to 63 letters, digits, - _ and . (not at an end)",
                    masked(name)
                ),
            );
        }
    }

    fn choice<T: FromStr<Err = &'static str>>(&mut self, setting: &'static str, text: &str) -> Option<T> {
        text.parse().map_err(|fault| self.note(setting, format!("`{}`: {fault}", masked(text)))).ok()
    }
}

/// The data directory that `defender status` asks about.
#[must_use]
pub fn status_data_dir(args: StatusArgs) -> PathBuf {
    path(args.data_dir, cli::DATA_DIR)
}

/// `wss://HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleAddress {
    configured: String,
    name: ServerName<'static>,
    port: u16,
}

impl ConsoleAddress {
    /// As the operator wrote it.
    #[must_use]
    pub fn configured(&self) -> &str {
        &self.configured
    }

    /// The host, to be resolved; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> String {
        self.name.to_str().into_owned()
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `HOST:PORT` as in a URL.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.host().parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]:{}", self.port),
            Err(_) => format!("{}:{}", self.host(), self.port),
        }
    }
}

/// Why a text is no Console address.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{text}` {what}; write {ACCEPTED_ADDRESS}")]
pub struct AddressError {
    /// As written, without what may be a password.
    text: String,
    what: &'static str,
}

impl FromStr for ConsoleAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = |what| AddressError { text: masked(text), what };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| fault("has no scheme"))?;
        if !scheme.eq_ignore_ascii_case("wss") {
            return Err(fault("does not start with wss://, the only scheme that is spoken"));
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(fault("has a path, which the Console does not know"));
        }
        if authority.contains('@') {
            return Err(fault("names a user, which the Console does not ask for"));
        }
        let (host, port) = split_port(authority).ok_or_else(|| fault("has no readable host and port"))?;
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) => digits
                .parse::<u16>()
                .ok()
                .filter(|port| *port != 0 && digits.bytes().all(|byte| byte.is_ascii_digit()))
                .ok_or_else(|| fault("has a port that is not 1 to 65535"))?,
        };
        let name =
            server_name(host).ok_or_else(|| fault("has a host that is neither a name nor an address"))?;
        Ok(Self { configured: text.to_owned(), name, port })
    }
}

/// What stands before an `@` may be a password: it is not repeated where others read it.
fn masked(text: &str) -> String {
    let Some((before, behind)) = text.rsplit_once('@') else { return text.to_owned() };
    let scheme = before.find("://").and_then(|at| before.get(..at + 3)).unwrap_or_default();
    let scheme = if scheme.contains('@') { "" } else { scheme };
    format!("{scheme}***@{behind}")
}

/// Host (brackets removed) and the text behind the colon; `None` when the brackets do not fit.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, behind) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return if behind.is_empty() {
            Some((host, None))
        } else {
            Some((host, Some(behind.strip_prefix(':')?)))
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

/// A DNS name or an IP address. A name that looks like a number is refused: it is a mistyped address.
fn server_name(text: &str) -> Option<ServerName<'static>> {
    let last_label = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let numeric = last_label.bytes().all(|byte| byte.is_ascii_digit());
    if numeric && text.parse::<IpAddr>().is_err() {
        return None;
    }
    ServerName::try_from(text.to_owned()).ok()
}

fn is_host_name(name: &str) -> bool {
    (1..=253).contains(&name.len()) && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// As the value of a label in a cluster.
fn is_cluster_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ends = ['-', '_', '.'];
    (1..=63).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with(ends)
        && !name.ends_with(ends)
}

/// An empty value counts as absent: that is what an unset variable of a manifest looks like.
fn text(value: Option<String>) -> Option<String> {
    value.filter(|text| !text.is_empty())
}

fn path(value: Option<PathBuf>, default: &str) -> PathBuf {
    value.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| PathBuf::from(default))
}

/// The Console's Defender listener, unless the address says otherwise.
const DEFAULT_PORT: u16 = 8084;

const ACCEPTED_ADDRESS: &str = "wss://HOST[:PORT], for example wss://console.example.com:8084";
const CONSOLE_ADDRESS: &str = "--console-address (WS_ADDRESS)";
const SERVER_NAME: &str = "--console-server-name (DEFENDER_CONSOLE_SERVER_NAME)";
const PROXY: &str = "HTTPS_PROXY";
const POLL: &str = "--custom-certs-poll (DEFENDER_CUSTOM_CERTS_POLL)";
const CLUSTER: &str = "--cluster (DEFENDER_CLUSTER)";
const HOSTNAME: &str = "--hostname (DEFENDER_HOSTNAME)";
const LEVEL: &str = "--log-level (DEFENDER_LOG_LEVEL)";
const FORMAT: &str = "--log-format (DEFENDER_LOG_FORMAT)";

#[cfg(test)]
mod tests;
