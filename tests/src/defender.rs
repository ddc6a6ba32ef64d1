//! A Defender in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::console::{Ended, assert_no_secrets};
use crate::place::{Files, Manner};
use crate::program::{binary, run};
use crate::setup::setup_methods;
use crate::{Channel, Identity, Program, SOON, TestConsole};

/// A Defender to be started.
pub struct DefenderSetup {
    dir: TempDir,
    flags: Vec<(String, String)>,
    variables: Vec<(String, String)>,
}

/// A running Defender. Everything it has is below [`TestDefender::dir`].
pub struct TestDefender {
    setup: DefenderSetup,
    program: Program,
    earlier: Vec<Program>,
}

impl DefenderSetup {
    setup_methods!();

    /// With an install bundle in its directory.
    #[must_use]
    pub fn bundle(self, bundle: &Identity) -> Self {
        Manner::InPlace.place(&self.bundle_dir(), &Channel::Defender.files(&bundle.to_set()));
        self
    }

    /// The directory of the install bundle.
    pub fn bundle_dir(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    /// Starts it.
    pub fn start(self) -> TestDefender {
        let program = self.spawn();
        TestDefender { setup: self, program, earlier: Vec::new() }
    }

    /// Starts it and waits until it is connected.
    pub async fn connect(self) -> TestDefender {
        let defender = self.start();
        defender.program.line("Connected to Console").await;
        defender
    }

    /// Starts it and waits for its end: for what must not start.
    pub async fn start_in_vain(&self) -> Ended {
        let mut program = self.spawn();
        let status = program.exit(SOON).await;
        Ended { status, program }
    }

    /// `defender doctor` with the same settings: its exit status and what it says.
    pub fn doctor(&self, more: &[&str]) -> (Option<i32>, String) {
        let output = self.command(&["doctor"]).args(more).stdin(Stdio::null()).output().expect("started");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    fn spawn(&self) -> Program {
        Program::start("defender", self.command(&[]))
    }

    fn command(&self, subcommand: &[&str]) -> Command {
        let mut command = Command::new(binary("defender"));
        command.args(subcommand);
        // The machine that runs the tests may be behind a proxy.
        for name in ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
            command.env_remove(name);
        }
        let path = |name: &str| self.dir.path().join(name);
        let defaults = [
            ("--data-dir", path("data")),
            ("--custom-certs-dir", path("custom")),
            ("--install-bundle-dir", path("bundle")),
        ];
        self.with_settings(command, &defaults)
    }
}

impl TestDefender {
    /// A Defender to be started, with empty directories for custom certificates and for an install bundle.
    pub fn setup(console_address: &str) -> DefenderSetup {
        let dir = tempfile::Builder::new().prefix("garrison-defender-").tempdir().expect("a directory");
        for name in ["custom", "bundle"] {
            std::fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        DefenderSetup { dir, flags: Vec::new(), variables: Vec::new() }
            .flag("--console-address", console_address)
            .flag("--custom-certs-poll", "250ms")
    }

    /// A Defender of this Console, with an install bundle, connected.
    pub async fn of(console: &TestConsole) -> Self {
        let bundle = console.api().await.bundle().await;
        Self::setup(&console.address()).bundle(&bundle).connect().await
    }

    /// The process that runs now.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The process that runs now.
    pub fn program_mut(&mut self) -> &mut Program {
        &mut self.program
    }

    /// The directory of everything.
    pub fn dir(&self) -> &Path {
        self.setup.dir()
    }

    /// The custom certificates directory.
    pub fn custom_dir(&self) -> PathBuf {
        self.setup.custom_dir()
    }

    /// The directory of the install bundle.
    pub fn bundle_dir(&self) -> PathBuf {
        self.setup.bundle_dir()
    }

    /// `defender status`: its exit status and what it says.
    pub fn status(&self) -> (Option<i32>, String) {
        let data = self.dir().join("data");
        let output = run(binary("defender"), &["status", "--data-dir", &data.to_string_lossy()]);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// `defender doctor` beside it: its exit status and what it says.
    pub fn doctor(&self, more: &[&str]) -> (Option<i32>, String) {
        self.setup.doctor(more)
    }

    /// Kills it with SIGKILL and starts it again on the same data.
    pub async fn kill_and_restart(&mut self) {
        self.program.kill();
        self.start_again();
        self.program.line("Connected to Console").await;
    }

    /// Stops it in good order.
    pub async fn stop(&mut self) {
        self.program.signal(Signal::SIGTERM);
        assert_eq!(self.program.exit(SOON).await.code(), Some(0));
    }

    /// Starts it again after it has ended.
    pub fn start_again(&mut self) {
        let before = std::mem::replace(&mut self.program, self.setup.spawn());
        self.earlier.push(before);
    }
}

impl Drop for TestDefender {
    fn drop(&mut self) {
        // Before its directory goes: what it would say about that is not of interest.
        self.program.kill();
        let logs = self.earlier.iter().chain([&self.program]).flat_map(Program::lines);
        assert_no_secrets("defender", logs, &[]);
    }
}
