//! `cargo xtask onebox`: a Console and a Defender beside each other on this machine, on an embedded store.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::programs::{Event, Programs};

/// Builds, starts, follows, stops.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    match Options::parse(arguments) {
        Ok(Some(options)) => run(&options).unwrap_or_else(|fault| {
            eprintln!("cargo xtask onebox: {fault}");
            ExitCode::FAILURE
        }),
        Ok(None) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("cargo xtask onebox: {fault}\n\n{USAGE}");
            crate::wrong_usage()
        }
    }
}

/// Which ports the Console listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    /// Whichever are free.
    Any,
    /// 8083 and 8084.
    Default,
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    dir: PathBuf,
    ports: Ports,
}

impl Options {
    /// `None` when only help is asked for.
    fn parse(arguments: &[String]) -> Result<Option<Self>, String> {
        let mut options = Self { dir: crate::root().join("onebox"), ports: Ports::Default };
        let parts = |word: &str| if word.starts_with("--") { 2 } else { 1 };
        let mut words = arguments.iter().flat_map(|word| word.splitn(parts(word), '=')).peekable();
        while let Some(word) = words.next() {
            match (word, words.peek().copied()) {
                ("-h" | "--help", _) => return Ok(None),
                ("--ports", Some("any")) => options.ports = Ports::Any,
                ("--dir", Some(dir)) => options.dir = PathBuf::from(dir),
                ("--ports", _) => return Err("--ports takes `any`".to_owned()),
                ("--dir", None) => return Err("--dir takes a directory".to_owned()),
                (other, _) => return Err(format!("there is no option `{other}`")),
            }
            words.next();
        }
        Ok(Some(options))
    }
}

fn run(options: &Options) -> Result<ExitCode, String> {
    check_ports(options.ports)?;
    println!("Building");
    if !crate::build() {
        return Err("the build failed".to_owned());
    }
    check_ports(options.ports)?;
    let onebox = Onebox::prepare(&options.dir)?;
    // After the build, which Ctrl-C ends in its own way.
    let mut programs = Programs::new().map_err(|error| format!("taking over signals: {error}"))?;
    start(&mut programs, "console", &onebox.console_arguments(options.ports))?;
    let end = follow(&mut programs, &onebox);
    stop(&mut programs);
    end
}

fn check_ports(ports: Ports) -> Result<(), String> {
    let holders: Vec<String> = match ports {
        Ports::Any => Vec::new(),
        Ports::Default => [HTTPS_PORT, DEFENDER_PORT].into_iter().filter_map(crate::ports::holder).collect(),
    };
    if holders.is_empty() {
        return Ok(());
    }
    Err(format!("{}; stop it, or run `cargo xtask onebox --ports any`", holders.join("; ")))
}

fn start(programs: &mut Programs, name: &'static str, arguments: &[String]) -> Result<(), String> {
    let program = crate::release_dir().join(name);
    programs.start(name, &program, arguments).map_err(|error| format!("starting {name}: {error}"))
}

/// Prints what happens until it is time to stop: asked to (exit 0), or because one of the two ended (exit 1).
fn follow(programs: &mut Programs, onebox: &Onebox) -> Result<ExitCode, String> {
    let mut summary = Summary::default();
    loop {
        match programs.next(Duration::from_millis(500)) {
            Some(Event::Line(name, line)) => {
                println!("{name:<8} | {line}");
                if name == "console" && summary.addresses.is_none() {
                    summary.addresses = Addresses::from_ready_line(&line);
                    if let Some(addresses) = &summary.addresses {
                        start(programs, "defender", &onebox.defender_arguments(addresses))?;
                        summary.due = Some(Instant::now() + CONNECT_PATIENCE);
                    }
                }
                if name == "defender" && line.contains(" Connected to Console ") {
                    summary.print(onebox);
                }
            }
            Some(Event::Ended(name, status)) => return Err(format!("the {name} has ended: {status}")),
            Some(Event::Stop) => return Ok(ExitCode::SUCCESS),
            None => {
                if summary.due.is_some_and(|due| Instant::now() > due) {
                    println!("The Defender is not connected yet: its lines above say why.");
                    summary.print(onebox);
                }
            }
        }
    }
}

/// Stops what runs, the Defender first so that it does not see its Console go away; insists after a while.
fn stop(programs: &mut Programs) {
    for name in ["defender", "console"] {
        programs.signal(name, Signal::SIGTERM);
        let begin = Instant::now();
        while programs.is_running(name) {
            match programs.next(Duration::from_millis(100)) {
                Some(Event::Line(name, line)) => println!("{name:<8} | {line}"),
                Some(Event::Ended(name, status)) => println!("{name:<8} | ended: {status}"),
                Some(Event::Stop) | None => {}
            }
            if begin.elapsed() > STOP_PATIENCE {
                eprintln!("the {name} does not stop: killing it");
                programs.signal(name, Signal::SIGKILL);
            }
        }
    }
}

/// The folders and files below the Onebox directory.
struct Onebox {
    dir: PathBuf,
}

impl Onebox {
    /// Makes what is not there yet, all of it for this user only.
    fn prepare(dir: &Path) -> Result<Self, String> {
        let dir = std::path::absolute(dir).map_err(|error| fault(dir, &error))?;
        for folder in ["console", "defender", "custom-certificates", "bundle"] {
            let folder = dir.join(folder);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|error| fault(&folder, &error))?;
        }
        let onebox = Self { dir };
        let file = onebox.password_file();
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
            Ok(mut open) => {
                open.write_all(new_password()?.as_bytes()).map_err(|error| fault(&file, &error))?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fault(&file, &error)),
        }
        Ok(onebox)
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }

    fn password_file(&self) -> PathBuf {
        self.dir.join("admin-password")
    }

    fn console_arguments(&self, ports: Ports) -> Vec<String> {
        let (https, defender) = match ports {
            Ports::Any => (0, 0),
            Ports::Default => (HTTPS_PORT, DEFENDER_PORT),
        };
        [
            ("--data-dir", self.path("console")),
            ("--custom-certs-dir", self.path("custom-certificates")),
            ("--install-bundle-dir", self.path("bundle")),
            ("--admin-user", ADMIN.to_owned()),
            ("--admin-password-file", self.path("admin-password")),
            ("--https-listen", format!("[::]:{https}")),
            ("--defender-listen", format!("[::]:{defender}")),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }

    fn defender_arguments(&self, console: &Addresses) -> Vec<String> {
        [
            ("--console-address", format!("wss://localhost:{}", console.defender_port)),
            ("--data-dir", self.path("defender")),
            ("--install-bundle-dir", self.path("bundle")),
            ("--custom-certs-dir", self.path("custom-certificates")),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }
}

/// Where the Console listens.
#[derive(Debug, PartialEq, Eq)]
struct Addresses {
    https_port: String,
    defender_port: String,
}

impl Addresses {
    /// Out of the contract's `Console is ready https=ADDR defender=ADDR`.
    fn from_ready_line(line: &str) -> Option<Self> {
        let (_, fields) = line.split_once(" Console is ready ")?;
        let port = |name: &str| {
            let address = fields.split(' ').find_map(|field| field.strip_prefix(name))?;
            Some(address.rsplit_once(':')?.1.to_owned())
        };
        Some(Self { https_port: port("https=")?, defender_port: port("defender=")? })
    }
}

fn fault(path: &Path, error: &std::io::Error) -> String {
    format!("making {}: {error}", path.display())
}

/// What a newcomer needs to know, printed once.
#[derive(Default)]
struct Summary {
    addresses: Option<Addresses>,
    /// When to print it although the Defender has not connected.
    due: Option<Instant>,
}

impl Summary {
    fn print(&mut self, onebox: &Onebox) {
        let (Some(addresses), Some(_)) = (&self.addresses, self.due.take()) else { return };
        let password = std::fs::read_to_string(onebox.password_file()).unwrap_or_default();
        let ca = onebox.path("bundle/defender-ca.pem");
        println!(
            "\n\
             \x20 Console        https://localhost:{https}\n\
             \x20 user           {ADMIN}\n\
             \x20 password       {password}\n\
             \x20 its authority  {ca}\n\
             \x20                {fingerprint}\n\
             \x20 certificates   drop them into {custom}\n\
             \x20                console-cert.pem, console-key.pem                                     the Console's HTTPS\n\
             \x20                defender-ca.pem, defender-server-cert.pem, defender-server-key.pem    its Defender port {defender}\n\
             \x20                defender-ca.pem, defender-client-cert.pem, defender-client-key.pem    the Defender\n\
             \n\
             \x20 Ctrl-C stops both.\n",
            https = addresses.https_port,
            defender = addresses.defender_port,
            password = password.trim_end(),
            fingerprint = fingerprint(&ca),
            custom = onebox.path("custom-certificates"),
        );
    }
}

/// The SHA-256 fingerprint of a certificate, or how to see it.
fn fingerprint(certificate: &str) -> String {
    let arguments = ["x509", "-noout", "-fingerprint", "-sha256", "-in", certificate];
    let output = Command::new("openssl").args(arguments).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => format!("openssl {}", arguments.join(" ")),
    }
}

/// 24 characters of 5 random bits each.
fn new_password() -> Result<String, String> {
    let mut random = [0; 24];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .map_err(|error| format!("reading /dev/urandom: {error}"))?;
    Ok(random
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
        .copied()
        .map(char::from)
        .collect())
}

const ADMIN: &str = "admin";
const HTTPS_PORT: u16 = 8083;
const DEFENDER_PORT: u16 = 8084;

/// 32 characters that are not mistaken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// How long the Defender may take to connect before the summary is printed all the same.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);

/// How long a program may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

const USAGE: &str = "\
Usage: cargo xtask onebox [--ports any] [--dir DIR]

Builds a Console and a Defender and starts them beside each other on this machine, until Ctrl-C.

  --ports any  free ports instead of 8083 (HTTPS) and 8084 (Defenders)
  --dir DIR    where both keep their data, the password and the custom certificates; default: ./onebox at the
               top of the repository";

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn options_are_read_in_both_spellings_and_anything_else_is_refused() {
        for spelling in [words(&["--ports", "any", "--dir", "x"]), words(&["--dir=x", "--ports=any"])] {
            let expected = Options { dir: PathBuf::from("x"), ports: Ports::Any };
            assert_eq!(Options::parse(&spelling), Ok(Some(expected)));
        }
        assert_eq!(Options::parse(&words(&["--help"])), Ok(None));
        for wrong in [words(&["--ports"]), words(&["--ports", "8085"]), words(&["--dir"]), words(&["x"])] {
            assert!(Options::parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_ports_come_from_the_ready_line() {
        let line =
            "INFO 2026-11-22T17:37:46.645 app.rs:45 Console is ready https=[::]:39001 defender=0.0.0.0:39002";
        let addresses = Addresses::from_ready_line(line).expect("ready");
        assert_eq!((addresses.https_port.as_str(), addresses.defender_port.as_str()), ("39001", "39002"));
        assert_eq!(Addresses::from_ready_line("INFO t app.rs:1 Console is almost ready https=x"), None);
    }

    #[test]
    fn passwords_are_long_and_differ() {
        let password = new_password().expect("random");
        assert_eq!(password.len(), 24);
        assert_ne!(password, new_password().expect("random"));
    }
}
