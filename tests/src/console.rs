//! A Console in a directory of its own, on free ports.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::place::{Files, Manner, write};
use crate::program::binary;
use crate::setup::setup_methods;
use crate::{Api, Program, SOON};

/// A Console to be started.
pub struct ConsoleSetup {
    dir: TempDir,
    flags: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    user: Option<u32>,
    program: &'static str,
}

/// A running Console. Everything it has is below [`TestConsole::dir`].
pub struct TestConsole {
    setup: ConsoleSetup,
    program: Program,
    earlier: Vec<Program>,
    /// Port of the HTTPS listener.
    pub https: u16,
    /// Port of the Defender listener.
    pub defenders: u16,
}

/// A program that has ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it logged.
    pub program: Program,
}

impl Ended {
    /// Exit status.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

impl ConsoleSetup {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("garrison-console-").tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("custom")).expect("a directory");
        write(&dir.path().join("password"), PASSWORD.as_bytes());
        Self { dir, flags: Vec::new(), variables: Vec::new(), user: None, program: "console" }
            .flag("--heartbeat", "5s")
            .flag("--custom-certs-poll", "250ms")
    }

    setup_methods!();

    /// Defenders' certificates live for this long, a duration that may be shorter than the flag allows.
    #[must_use]
    pub fn short_life(mut self, life: &str) -> Self {
        self.program = "short-lived-console";
        self.variable("SHORT_LIFE", life)
    }

    /// Runs as another user, who then owns all of the directory.
    #[must_use]
    pub fn as_user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> TestConsole {
        let program = self.spawn();
        let ready = program.line("Console is ready").await;
        let port = |name: &str| {
            let address = ready.split(' ').find_map(|field| field.strip_prefix(name)).expect("an address");
            address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port")
        };
        let (https, defenders) = (port("https="), port("defender="));
        let setup = self
            .flag("--https-listen", &format!("[::]:{https}"))
            .flag("--defender-listen", &format!("[::]:{defenders}"));
        TestConsole { setup, program, earlier: Vec::new(), https, defenders }
    }

    /// Starts it and waits for its end: for what must not start.
    pub async fn start_in_vain(&self) -> Ended {
        let mut program = self.spawn();
        let status = program.exit(SOON).await;
        Ended { status, program }
    }

    /// Starts it and waits for nothing: for what is not ready soon.
    pub fn start_early(&self) -> Program {
        self.spawn()
    }

    fn spawn(&self) -> Program {
        let command = match self.user {
            Some(user) => other_user(user, &binary(self.program), self.dir.path()),
            None => Command::new(binary(self.program)),
        };
        let path = |name: &str| self.dir.path().join(name);
        let defaults = [
            ("--data-dir", path("data")),
            ("--custom-certs-dir", path("custom")),
            ("--admin-password-file", path("password")),
            ("--https-listen", "[::]:0".into()),
            ("--defender-listen", "[::]:0".into()),
        ];
        Program::start("console", self.with_settings(command, &defaults))
    }
}

impl TestConsole {
    /// A Console to be started, with an empty custom certificates directory, an administrator, a heartbeat of
    /// 5 s and a poll interval of 250 ms.
    pub fn setup() -> ConsoleSetup {
        ConsoleSetup::new()
    }

    /// A running Console with defaults.
    pub async fn start() -> Self {
        Self::setup().start().await
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

    /// Address of the Defender listener.
    pub fn address(&self) -> String {
        format!("wss://localhost:{}", self.defenders)
    }

    /// Port of the plain HTTP listener, which must be on.
    pub async fn http_port(&self) -> u16 {
        let line = self.program.line("Plain HTTP is on").await;
        let address = line.split(' ').find_map(|field| field.strip_prefix("http=")).expect("an address");
        address
            .trim_end_matches(',')
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .expect("a port")
    }

    /// The API, as the administrator.
    pub async fn api(&self) -> Api {
        Api::sign_in(self.https, "admin", PASSWORD).await
    }

    /// Kills it with SIGKILL and starts it again on the same data and ports.
    pub async fn kill_and_restart(&mut self) {
        self.program.kill();
        self.start_again().await;
    }

    /// Stops it in good order and starts it again on the same data and ports.
    pub async fn restart(&mut self) {
        self.program.signal(Signal::SIGTERM);
        assert!(self.program.exit(SOON).await.success());
        self.start_again().await;
    }

    /// Starts it again after it has ended.
    pub async fn start_again(&mut self) {
        let before = std::mem::replace(&mut self.program, self.setup.spawn());
        self.earlier.push(before);
        self.program.line("Console is ready").await;
    }

    /// Starts it again after it has ended, and waits for its end: for what must not start.
    pub async fn start_again_in_vain(&self) -> Ended {
        self.setup.start_in_vain().await
    }

    /// Changes the flags of the next start.
    pub fn set_flag(&mut self, flag: &str, value: &str) {
        self.setup.flags.retain(|(name, _)| name != flag);
        self.setup.flags.push((flag.to_owned(), value.to_owned()));
    }
}

impl Drop for TestConsole {
    fn drop(&mut self) {
        // Before its directory goes: what it would say about that is not of interest.
        self.program.kill();
        let logs = self.earlier.iter().chain([&self.program]).flat_map(Program::lines);
        assert_no_secrets("console", logs, &[PASSWORD]);
    }
}

/// No key and none of `secrets` is in a log.
///
/// # Panics
/// When one is, unless the test has failed anyway.
pub(crate) fn assert_no_secrets(name: &str, log: impl Iterator<Item = String>, secrets: &[&str]) {
    if std::thread::panicking() {
        return;
    }
    for line in log {
        let told = secrets.iter().chain(&["PRIVATE KEY"]).find(|secret| line.contains(**secret));
        assert!(told.is_none(), "{name} has logged a secret: {line}");
    }
}

/// A command that runs as another user, who gets everything in `dir` and a copy of the program in it: the build
/// directory may be closed to others.
fn other_user(user: u32, program: &Path, dir: &Path) -> Command {
    use std::os::unix::process::CommandExt as _;
    let own = dir.join("program");
    std::fs::copy(program, &own).expect("copying the program");
    let status = Command::new("chown").arg("-R").arg(user.to_string()).arg(dir).status();
    assert!(status.is_ok_and(|status| status.success()), "chown");
    let mut command = Command::new(own);
    command.uid(user).gid(user);
    command
}

/// The administrator's.
pub const PASSWORD: &str = "correct horse battery staple 42";
