//! The valid configuration, made from flags and environment in one pure step that reports every fault at once.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lifecycle::duration;
use lifecycle::logging::{LogFormat, LogLevel};
use thiserror::Error;

use crate::cli::Serve;
use crate::meet::Policy;

pub use database::DatabaseUrl;
pub use manifests::{PublicUrl, San};
pub use proxies::{Proxies, TrustedProxies};

mod addresses;
mod database;
mod proxies;

/// What the Console runs with. Only [`Config::parse`] makes one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Directory of the embedded database and the self-signed certificates.
    pub data_dir: PathBuf,
    /// Where the database is.
    pub database: Database,
    /// Address of the HTTPS API.
    pub https_listen: SocketAddr,
    /// Address that Defenders connect to.
    pub defender_listen: SocketAddr,
    /// Address of the API over plain HTTP, for an ingress that terminates TLS.
    pub http_listen: Option<SocketAddr>,
    /// The URL that users reach the Console by; `None`: to be derived.
    pub public_url: Option<PublicUrl>,
    /// Whose word about their clients is believed.
    pub proxies: Proxies,
    /// Directory watched for custom certificates.
    pub custom_certs_dir: PathBuf,
    /// How often to look at it beside the system's events.
    pub custom_certs_poll: Duration,
    /// Names in self-signed server certificates, as given; see [`Config::server_names`].
    pub sans: Vec<San>,
    /// How long connections made before a rotation may finish.
    pub rotation_grace: Duration,
    /// What to do with a custom set that would lose Defenders.
    pub rotation_policy: Policy,
    /// The first administrator.
    pub admin: FirstAdministrator,
    /// How often a Defender must be heard.
    pub heartbeat: Duration,
    /// How long a certificate that a Defender asks for lives.
    pub defender_certificate_life: Duration,
    /// How long after the end of its certificate a Defender comes back by itself.
    pub defender_return_within: Duration,
    /// Directory that a current install bundle is kept in.
    pub install_bundle_dir: Option<PathBuf>,
    /// The least important lines that are logged.
    pub log_level: LogLevel,
    /// The shape of log lines.
    pub log_format: LogFormat,
}

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file.
    Embedded(PathBuf),
    /// A PostgreSQL server.
    Postgres(DatabaseUrl),
}

/// Who becomes the first administrator while there is no user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstAdministrator {
    /// The name.
    pub username: String,
    /// File with the password; without it a setup token is asked for at sign-up.
    pub password_file: Option<PathBuf>,
}

/// Every fault of a configuration, one a line.
#[derive(Debug, Error, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

/// One setting that cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The flag, for example `--heartbeat`.
    flag: &'static str,
    /// What is wrong, and the accepted form.
    cause: String,
}

impl Config {
    /// Makes the configuration out of what was given.
    ///
    /// # Errors
    /// Every setting that cannot be taken, all at once.
    pub fn parse(given: Serve) -> Result<Self, Faults> {
        let mut read = Reader::default();
        let data_dir = read.path("--data-dir", given.data_dir).unwrap_or_else(|| DATA_DIR.into());
        let announced = (given.https_proxy_protocol, given.defender_proxy_protocol);
        let proxies = Proxies::read(&mut read, given.trusted_proxies, announced);
        let config = Self {
            proxies,
            database: match read.text("--database-url", given.database_url, DatabaseUrl::from_str) {
                Some(url) => Database::Postgres(url),
                None => Database::Embedded(data_dir.join(DATABASE_FILE)),
            },
            data_dir,
            https_listen: read.text("--https-listen", given.https_listen, addresses::listen).unwrap_or(HTTPS),
            defender_listen: read
                .text("--defender-listen", given.defender_listen, addresses::listen)
                .unwrap_or(DEFENDER),
            http_listen: read.text("--http-listen", given.http_listen, addresses::listen),
            public_url: read.text("--public-url", given.public_url, PublicUrl::from_str),
            custom_certs_dir: read
                .path("--custom-certs-dir", given.custom_certs_dir)
                .unwrap_or_else(|| CUSTOM_CERTS_DIR.into()),
            custom_certs_poll: read
                .text("--custom-certs-poll", given.custom_certs_poll, poll)
                .unwrap_or(POLL),
            sans: given
                .san
                .into_iter()
                .filter_map(|name| read.text("--san", Some(name), San::from_str))
                .collect(),
            rotation_grace: read
                .text("--rotation-grace", given.rotation_grace, |text| {
                    duration::parse(text).map_err(|e| e.to_string())
                })
                .unwrap_or(ROTATION_GRACE),
            rotation_policy: if given.force_rotation { Policy::Force } else { Policy::Hold },
            admin: FirstAdministrator {
                username: read
                    .text("--admin-user", given.admin_user, username)
                    .unwrap_or_else(|| ADMIN_USER.to_owned()),
                password_file: read.path("--admin-password-file", given.admin_password_file),
            },
            heartbeat: read.text("--heartbeat", given.heartbeat, heartbeat).unwrap_or(HEARTBEAT),
            defender_certificate_life: read
                .text("--defender-certificate-life", given.defender_certificate_life, certificate_life)
                .unwrap_or(CERTIFICATE_LIFE),
            defender_return_within: read
                .text("--defender-return-within", given.defender_return_within, |text| {
                    duration::parse(text).map_err(|e| e.to_string())
                })
                .unwrap_or(RETURN_WITHIN),
            install_bundle_dir: read.path("--install-bundle-dir", given.install_bundle_dir),
            log_level: read.text("--log-level", given.log_level, one_of).unwrap_or(LogLevel::Debug),
            log_format: read.text("--log-format", given.log_format, one_of).unwrap_or(LogFormat::Text),
        };
        read.end(config)
    }

    /// The names of the self-signed server certificates: those given, and always the host's name, `localhost`, the
    /// loopback addresses and the names of the Kubernetes service, so that naming one more host never cuts off a
    /// Defender that dials one of these.
    #[must_use]
    pub fn server_names(&self, hostname: &str) -> Vec<String> {
        let given = self.sans.iter().map(ToString::to_string);
        let hostname = hostname.parse::<San>().ok().map(|name| name.to_string());
        let names = given.chain(hostname).chain(DEFAULT_SANS.iter().map(ToString::to_string));
        names.fold(Vec::new(), |mut unique, name| {
            if !unique.contains(&name) {
                unique.push(name);
            }
            unique
        })
    }
}

/// Collects faults while it reads.
#[derive(Default)]
struct Reader(Vec<Fault>);

impl Reader {
    fn text<T>(
        &mut self,
        flag: &'static str,
        given: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(given?.trim()) {
            Ok(value) => Some(value),
            Err(cause) => {
                self.0.push(Fault { flag, cause });
                None
            }
        }
    }

    fn path(&mut self, flag: &'static str, given: Option<OsString>) -> Option<PathBuf> {
        let path = PathBuf::from(given?);
        if path.as_os_str().is_empty() {
            self.0.push(Fault { flag, cause: "a path is missing".to_owned() });
            return None;
        }
        Some(path)
    }

    fn end(mut self, config: Config) -> Result<Config, Faults> {
        let listeners = [Some(config.https_listen), Some(config.defender_listen), config.http_listen];
        let taken: Vec<SocketAddr> = listeners.into_iter().flatten().filter(|a| a.port() != 0).collect();
        if taken
            .iter()
            .enumerate()
            .any(|(at, address)| taken.iter().skip(at + 1).any(|other| other == address))
        {
            let cause = "two listeners have the same address; give each a port of its own".to_owned();
            self.0.push(Fault { flag: "--https-listen, --defender-listen, --http-listen", cause });
        }
        if self.0.is_empty() { Ok(config) } else { Err(Faults(self.0)) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fault| writeln!(f, "error: {fault}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, flag) in self.flag.split(", ").enumerate() {
            let variable = match flag {
                // The variable holds all of them.
                "--san" => "SANS".to_owned(),
                _ => flag.trim_start_matches('-').replace('-', "_").to_ascii_uppercase(),
            };
            write!(f, "{}{flag} (CONSOLE_{variable})", if at == 0 { "" } else { ", " })?;
        }
        write!(f, ": {}", self.cause)
    }
}

/// Whether a text can be a user's name, and the accepted form where it cannot.
///
/// # Errors
/// The accepted form.
pub fn username(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(plain) && !text.starts_with(['-', '.']) {
        Ok(text.to_owned())
    } else {
        let form = "a user name has 1 to 64 letters, digits and . _ - @ +, and does not start with - or .";
        Err(format!("{text:?} is no user name; {form}"))
    }
}

fn poll(text: &str) -> Result<Duration, String> {
    let poll = duration::parse(text).map_err(|e| e.to_string())?;
    if poll.is_zero() { Err("it must be longer than 0s".to_owned()) } else { Ok(poll) }
}

fn heartbeat(text: &str) -> Result<Duration, String> {
    let heartbeat = duration::parse(text).map_err(|e| e.to_string())?;
    if (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&heartbeat) {
        Ok(heartbeat)
    } else {
        Err(format!("`{text}` is out of range; 1s to 10m"))
    }
}

fn certificate_life(text: &str) -> Result<Duration, String> {
    let life = duration::parse(text).map_err(|e| e.to_string())?;
    if (Duration::from_secs(60 * 60)..=Duration::from_secs(730 * 24 * 60 * 60)).contains(&life) {
        Ok(life)
    } else {
        Err(format!("`{text}` is out of range; 1h to 730d"))
    }
}

fn one_of<T: FromStr<Err = &'static str>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|choices| format!("`{text}` is not known; {choices}"))
}

const DATA_DIR: &str = "/var/lib/twistlock/console";
const DATABASE_FILE: &str = "console.db";
const CUSTOM_CERTS_DIR: &str = "/var/lib/twistlock/custom-certificates";
const ADMIN_USER: &str = "admin";
const HTTPS: SocketAddr = addresses::everywhere(8083);
const DEFENDER: SocketAddr = addresses::everywhere(8084);
const POLL: Duration = Duration::from_secs(10);
const ROTATION_GRACE: Duration = Duration::from_secs(60);
const HEARTBEAT: Duration = Duration::from_secs(30);
const CERTIFICATE_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const RETURN_WITHIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const DEFAULT_SANS: &[&str] = &[
    "localhost",
    "127.0.0.1",
    "::1",
    "twistlock-console",
    "twistlock-console.twistlock",
    "twistlock-console.twistlock.svc",
    "twistlock-console.twistlock.svc.cluster.local",
];

#[cfg(test)]
mod tests;
