//! `defender install-service`: writes a unit of systemd for a Defender of this host, enables and starts it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use manifests::output::{self, Readers};
use nix::unistd::Uid;

use crate::cli::{self, RunArgs, ServiceArgs};
use crate::config::Config;
use crate::unit;

/// Runs the command. Exit status 0, 1 or 2.
#[must_use]
pub fn run(args: RunArgs, service: &ServiceArgs) -> ExitCode {
    let unit = program(service).map(|program| unit::render(&program, &args));
    let places = Places::of(&args);
    let has_proxy = args.proxy.https_proxy.is_some();
    // What the Defender is told comes first: wherever this program lies, it is missing.
    if let Err(faults) = Config::parse(args, None) {
        eprintln!("{faults}");
        return ExitCode::from(2);
    }
    let unit = match unit {
        Ok(unit) => unit,
        Err(fault) => {
            eprintln!("error: {fault}\n\nFor more information, try 'defender install-service --help'.");
            return ExitCode::from(2);
        }
    };
    if let Some(file) = &service.output {
        return written(output::write(file, unit.as_bytes(), Readers::Anyone));
    }
    if service.dry_run {
        let shown = format!(
            "# {UNIT}\n{unit}\n# then: {}\n",
            COMMANDS.map(|words| words.join(" ").trim().to_owned()).join("; ")
        );
        return written(output::write(Path::new("-"), shown.as_bytes(), Readers::Anyone));
    }
    if let Err(error) = install(&unit, &places, service.root.as_deref()) {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    tell(&places, service.root.is_some(), has_proxy);
    ExitCode::SUCCESS
}

/// Directories that the service uses.
struct Places {
    data: PathBuf,
    bundle: PathBuf,
    custom: PathBuf,
}

impl Places {
    fn of(args: &RunArgs) -> Self {
        let path = |given: &Option<PathBuf>, usual: &str| given.clone().unwrap_or_else(|| usual.into());
        Self {
            data: path(&args.data_dir, cli::DATA_DIR),
            bundle: path(&args.install_bundle_dir, cli::INSTALL_BUNDLE_DIR),
            custom: path(&args.custom_certs_dir, cli::CUSTOM_CERTS_DIR),
        }
    }
}

/// The program file that the unit starts.
fn program(service: &ServiceArgs) -> Result<PathBuf, String> {
    let (path, remedy) = match &service.program {
        Some(path) => (path.clone(), "write an absolute path with --program"),
        None => {
            let own = std::env::current_exe();
            let own = own.map_err(|error| format!("this program does not know its own file: {error}"))?;
            (own, "copy this program to /usr/local/bin/garrison-defender and run it from there")
        }
    };
    let is_plain = path
        .to_str()
        .is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\$%;".contains(&byte)));
    let is_hidden = HIDDEN.iter().any(|folder| path.starts_with(folder));
    if !path.is_absolute() || !is_plain {
        return Err(format!("{} cannot be started by a unit; {remedy}", path.display()));
    }
    // Only where the host is that of the unit.
    if is_hidden && service.output.is_none() && !service.dry_run && service.root.is_none() {
        return Err(format!("{} is out of sight for a confined service; {remedy}", path.display()));
    }
    Ok(path)
}

/// Writes the unit below `root`, or this host's, and enables it; starts it on this host.
fn install(unit: &str, places: &Places, root: Option<&Path>) -> anyhow::Result<()> {
    if root.is_none() {
        if !Uid::effective().is_root() {
            bail!(
                "only root may install a service; run it with sudo, look with --dry-run, or write the unit with \
                 --output FILE"
            );
        }
        if !Path::new("/run/systemd/system").is_dir() {
            bail!(
                "this host is not run by systemd; write the unit with --output FILE, or run the Defender by what runs \
                 services here"
            );
        }
    }
    let at =
        |path: &Path| root.map_or(path.to_owned(), |root| root.join(path.strip_prefix("/").unwrap_or(path)));
    let file = at(Path::new(UNIT));
    let folder = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let data = at(&places.data);
    let mut closed = DirBuilder::new();
    closed.recursive(true).mode(0o700);
    closed.create(&data).with_context(|| format!("making {}", data.display()))?;
    output::write(&file, unit.as_bytes(), Readers::Anyone)?;
    match root {
        Some(root) => systemctl(&["--root", &root.to_string_lossy(), "enable", SERVICE]),
        None => COMMANDS.iter().try_for_each(|[_, words @ ..]| systemctl(words)),
    }
}

fn systemctl(words: &[&str]) -> anyhow::Result<()> {
    let shown = words.join(" ");
    let output = Command::new("systemctl").args(words.iter().filter(|word| !word.is_empty())).output();
    let output = output.with_context(|| format!("running systemctl {shown}"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("systemctl {shown}: {told}; see `systemctl status {SERVICE}`");
    }
    Ok(())
}

fn tell(places: &Places, is_elsewhere: bool, has_proxy: bool) {
    if is_elsewhere {
        eprintln!("Wrote and enabled {SERVICE} below that root. It starts when that host does.");
    } else {
        eprintln!(
            "{SERVICE} runs, and starts with this host. See `defender status` and `journalctl -u {SERVICE}`."
        );
        let has = |folder: &Path| folder.join("defender-client-key.pem").is_file();
        if !has(&places.bundle) && !has(&places.custom) {
            eprintln!(
                "It waits for certificates: put an install bundle into {}, or custom certificates into {}.",
                places.bundle.display(),
                places.custom.display()
            );
        }
    }
    if has_proxy {
        eprintln!(
            "A unit can be read by everybody, so HTTPS_PROXY is not in it: write it into {}.",
            unit::DEFAULTS
        );
    }
}

fn written(done: Result<(), output::OutputError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let remedy = error.remedy();
            eprintln!("error: {:#}; {remedy}", anyhow::Error::new(error));
            ExitCode::FAILURE
        }
    }
}

const SERVICE: &str = "garrison-defender";
const UNIT: &str = "/etc/systemd/system/garrison-defender.service";

/// A unit that runs already is started anew with its new settings.
const COMMANDS: [[&str; 3]; 3] =
    [["systemctl", "daemon-reload", ""], ["systemctl", "enable", SERVICE], ["systemctl", "restart", SERVICE]];

/// What `ProtectHome` and `PrivateTmp` hide.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
