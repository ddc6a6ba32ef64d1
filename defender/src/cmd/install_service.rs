//! `defender install-service`: writes a unit of systemd for a Defender of this host, enables and starts it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use certs::Channel;
use manifests::output::{self, Readers};
use nix::unistd::Uid;

use crate::cli::{self, RunArgs, ServiceArgs};
use crate::config::Config;
use crate::console_api::Asked;
use crate::{bundle, unit};

/// Runs the command. Exit status 0, 1 or 2.
#[must_use]
pub fn run(args: RunArgs, service: &ServiceArgs) -> ExitCode {
    let unit = program(service).map(|program| (unit::render(&program, &args), program));
    // What the Defender is told comes first: wherever this program lies, it is missing.
    let config = match Config::parse(args, None) {
        Ok(config) => config,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(2);
        }
    };
    let asked = service.console.is_given().then(|| Asked::parse(&service.console, None)).transpose();
    let asked = match asked {
        Ok(asked) => asked,
        Err(wrong) => return output::refuse("defender", "install-service", &wrong),
    };
    let (unit, program) = match unit {
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
        let first = asked.map(|_| {
            let folder = config.install_bundle_dir.display();
            format!("# first: the install bundle of the Console into {folder}\n")
        });
        let then = COMMANDS.map(|words| words.join(" ").trim().to_owned()).join("; ");
        let shown = format!("{}# {UNIT}\n{unit}\n# then: {then}\n", first.unwrap_or_default());
        return written(output::write(Path::new("-"), shown.as_bytes(), Readers::Anyone));
    }
    if let Err(error) = install(&unit, &config, asked.as_ref(), service.root.as_deref()) {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    tell(&program, &config, service.root.as_deref());
    ExitCode::SUCCESS
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

/// Puts the bundle in place where one is asked for, writes the unit below `root`, or this host's, and enables it; starts
/// it on this host.
fn install(unit: &str, config: &Config, asked: Option<&Asked>, root: Option<&Path>) -> anyhow::Result<()> {
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
    if let Some(asked) = asked {
        let files = bundle::unpack(&asked.install_bundle(&config.console)?)?;
        let folder = below(root, &config.install_bundle_dir);
        make_closed(&folder)?;
        for (name, content) in files.by_name() {
            output::write(&folder.join(name), content, Readers::Owner)?;
        }
    }
    let file = below(root, Path::new(UNIT));
    let folder = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    make_closed(&below(root, &config.data_dir))?;
    output::write(&file, unit.as_bytes(), Readers::Anyone)?;
    match root {
        Some(root) => systemctl(&["--root", &root.to_string_lossy(), "enable", SERVICE]),
        None => COMMANDS.iter().try_for_each(|[_, words @ ..]| systemctl(words)),
    }
}

/// Makes a directory for its owner only, unless it is there.
fn make_closed(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("making {}", folder.display()))
}

/// The path as it is below the root of another host.
fn below(root: Option<&Path>, path: &Path) -> PathBuf {
    root.map_or(path.to_owned(), |root| root.join(path.strip_prefix("/").unwrap_or(path)))
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

fn tell(program: &Path, config: &Config, root: Option<&Path>) {
    let Config { data_dir, install_bundle_dir: bundle, custom_certs_dir: custom, .. } = config;
    if root.is_some() {
        eprintln!("Wrote and enabled {SERVICE} below that root. It starts when that host does.");
    } else {
        let mut status = format!("{} status", program.display());
        if data_dir != Path::new(cli::DATA_DIR) {
            status = format!("{status} --data-dir {}", data_dir.display());
        }
        eprintln!("{SERVICE} runs, and starts with this host. See `{status}` and `journalctl -u {SERVICE}`.");
    }
    let has = |folder: &Path| below(root, folder).join(Channel::Defender.files().key).is_file();
    if !has(bundle) && !has(custom) {
        eprintln!(
            "It waits for certificates: fetch an install bundle with --address, --user and --password-file, or put one \
             into {}, or custom certificates into {}.",
            bundle.display(),
            custom.display()
        );
    }
    if config.proxy.is_some() {
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
