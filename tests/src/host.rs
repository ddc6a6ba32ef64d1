//! A host that systemd runs: the Debian that `cargo xtask test` unpacks, started in a container of a real Docker Engine.
//! It has no network but its own loopback.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use uuid::Uuid;

use crate::engine::{Engine, done, tried};
use crate::program::binary;
use crate::{SOON, eventually};

/// The host; it ends with the test.
pub struct Host<'a> {
    engine: &'a Engine,
    image: String,
    container: String,
}

impl<'a> Host<'a> {
    /// Starts it, until systemd has started everything. Its other names lead to itself.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(engine: &'a Engine, names: &[&str]) -> Self {
        let root = binary("console").with_file_name("../debian/root");
        assert!(
            root.join("sbin/init").exists(),
            "{} is missing: run `cargo xtask test` once",
            root.display()
        );
        let mut pack = Command::new("tar");
        pack.arg("-C").arg(&root).args(["-c", "."]).stdout(Stdio::piped());
        let mut pack = pack.spawn().expect("tar");
        let image = format!("garrison-test-host-{}:1", Uuid::new_v4());
        let mut import = engine.docker(&["import", "-", &image]);
        let imported = import.stdin(pack.stdout.take().expect("a pipe")).output().expect("docker");
        assert!(pack.wait().expect("tar ends").success() && imported.status.success(), "{imported:?}");

        let container =
            done(&mut engine.docker(&[&["run", "--detach"], CONFINEMENT, &[&image, INIT]].concat()));
        let host = Self { engine, image, container };
        eventually("systemd has started everything", BOOT, async || {
            let said = tried(&mut host.command("systemctl is-system-running"));
            let state = String::from_utf8_lossy(&said.stdout).trim().to_owned();
            if state == "running" { Ok(()) } else { Err(state) }
        })
        .await;
        host.run(&format!("echo 127.0.0.1 {} >> /etc/hosts", names.join(" ")));
        host
    }

    /// A shell on the host, with its own place to work in.
    pub fn command(&self, script: &str) -> Command {
        let script = format!("mkdir -p {PLACE} && cd {PLACE} && {{ {script}\n}}");
        self.engine.docker(&["exec", &self.container, "bash", "-ec", &script])
    }

    /// What a script that must succeed writes to standard output.
    ///
    /// # Panics
    /// With what it said when it fails.
    pub fn run(&self, script: &str) -> String {
        done(&mut self.command(script))
    }

    /// What becomes of a script.
    pub fn tried(&self, script: &str) -> Output {
        tried(&mut self.command(script))
    }

    /// Waits until a script succeeds; what it wrote to standard output.
    ///
    /// # Panics
    /// With what it said last.
    pub async fn comes(&self, script: &str) -> String {
        eventually(script, SOON, async || {
            let output = self.tried(script);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            if output.status.success() {
                Ok(text(&output.stdout))
            } else {
                Err((text(&output.stdout), text(&output.stderr)))
            }
        })
        .await
    }

    /// Copies a file or a folder of this machine to a path below the place to work in.
    pub fn copy(&self, from: &Path, to: &str) {
        let target = format!("{PLACE}/{to}");
        let folder = Path::new(&target).parent().expect("below the place").display().to_string();
        self.run(&format!("mkdir -p {folder}"));
        let target = format!("{}:{target}", self.container);
        done(&mut self.engine.docker(&["cp", &from.to_string_lossy(), &target]));
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        let _ = tried(&mut self.engine.docker(&["rm", "--force", "--volumes", &self.container]));
        let _ = tried(&mut self.engine.docker(&["image", "rm", &self.image]));
    }
}

/// Where scripts run. Out of sight for a confined service.
const PLACE: &str = "/root/garrison";
const INIT: &str = "/sbin/init";
/// What systemd needs in a container: to mount, and groups of processes.
const CONFINEMENT: &[&str] = &[
    "--cap-add=SYS_ADMIN",
    "--cgroupns=host",
    "--network=none",
    "--security-opt=apparmor=unconfined",
    "--security-opt=seccomp=unconfined",
    "--tmpfs=/run",
    "--tmpfs=/tmp",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup",
];
const BOOT: Duration = Duration::from_secs(60);
