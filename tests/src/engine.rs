//! A real Docker Engine: the one that runs, or one of its own, empty, on a socket of its own, that ends with the test.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::program::{Program, binary};
use crate::{SOON, eventually, pass_blocking};

/// A Docker Engine that answers.
pub struct Engine {
    /// Where `docker` and `docker-compose` find it; `None` for their default.
    host: Option<String>,
    /// Set when this test started it.
    own: Option<Own>,
}

struct Own {
    program: Program,
    /// Images and containers: below the build directory, which is on a real disk.
    data: PathBuf,
    _dir: TempDir,
}

impl Engine {
    /// The engine that `docker` finds. Where there is none, one is started: first as it likes it, then with the
    /// storage driver that needs nothing of the file system.
    ///
    /// # Panics
    /// With the one command that helps, when there is none and none can be started.
    pub async fn start() -> Self {
        let running = Self { host: None, own: None };
        if running.answers() {
            return running;
        }
        let mut said = Vec::new();
        for driver in [None, Some("vfs")] {
            match Self::own(driver).await {
                Ok(engine) => return engine,
                Err(lines) => said = lines,
            }
        }
        panic!(
            "no Docker Engine can be started here: {said:#?}\nStart one as root, then test again: dockerd &"
        );
    }

    /// A command of the engine's client.
    pub fn docker(&self, arguments: &[&str]) -> Command {
        self.client("docker", arguments)
    }

    /// A command that finds this engine, `docker` or `docker-compose`.
    pub fn client(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments);
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    fn answers(&self) -> bool {
        let asked = self.docker(&["info", "--format", "{{.ServerVersion}}"]).stdin(Stdio::null()).output();
        let answer = asked.unwrap_or_else(|error| panic!("docker: {error}; {INSTALL}"));
        answer.status.success() && !answer.stdout.trim_ascii().is_empty()
    }

    /// One of our own; what it said when it does not start.
    async fn own(driver: Option<&str>) -> Result<Self, Vec<String>> {
        let dir = tempfile::Builder::new().prefix("garrison-docker-").tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let data = binary("console").with_file_name("docker").join(dir.path().file_name().expect("a name"));
        let host = format!("unix://{}", path("socket"));
        // Its sockets are in the short path: a name of one is at most 108 bytes long.
        let mut command = Command::new("dockerd");
        command.arg("--data-root").arg(&data).args(["--exec-root", &path("run"), "--pidfile", &path("pid")]);
        command.args(["--config-file", &path("none.json"), "--host", &host, "--bridge", "none"]);
        command.args(driver.map(|driver| format!("--storage-driver={driver}")));
        fs::write(path("none.json"), "{}").expect("ours");
        fs::create_dir_all(&data).expect("below the build directory");
        let program = Program::start("dockerd", command);
        let ready = program.try_line(0, "API listen on", START).await;
        let own = Self { host: Some(host), own: Some(Own { program, data, _dir: dir }) };
        if ready.is_some() && own.answers() {
            return Ok(own);
        }
        Err(own.own.as_ref().map(|own| own.program.lines()).unwrap_or_default())
    }

    /// Ends it in good order when this test started it, and asserts that nothing of it is left.
    pub async fn stop(mut self) {
        let Some(own) = &mut self.own else { return };
        own.program.signal(Signal::SIGTERM);
        own.program.exit(SOON * 2).await;
        let mounts = fs::read_to_string("/proc/mounts").expect("on Linux");
        let data = own.data.to_string_lossy();
        assert!(!mounts.contains(&*data), "mounts are left below {data}: {mounts}");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Some(own) = &mut self.own else { return };
        if own.program.is_running() {
            // A test that failed: the engine still unmounts what it can.
            own.program.signal(Signal::SIGTERM);
            for _ in 0..STOP_TRIES {
                if !own.program.is_running() {
                    break;
                }
                pass_blocking(Duration::from_millis(250), "the engine stops");
            }
        }
        let _ = fs::remove_dir_all(&own.data);
    }
}

/// Runs a command that must succeed; what it wrote to standard output.
///
/// # Panics
/// With what it said when it fails.
pub fn done(command: &mut Command) -> String {
    let output = tried(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn tried(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}; {INSTALL}"))
}

/// Waits until what a command writes is this.
pub async fn shows(what: &str, deadline: Duration, mut command: Command, expected: &str) {
    eventually(what, deadline, async || {
        let output = tried(&mut command);
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if text == expected {
            Ok(())
        } else {
            Err((text, String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    })
    .await;
}

const INSTALL: &str = "install it: apt-get install docker.io docker-compose";
/// How long it may take to start; a second or two is usual.
const START: Duration = Duration::from_secs(30);
/// Of a quarter of a second each.
const STOP_TRIES: u32 = 120;
