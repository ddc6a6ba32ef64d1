//! A directory that another one is mounted over, as network storage is: a FUSE file system (bindfs) that raises no event
//! when its storage changes behind its back, that can hang, and that can go.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::program::run;
use crate::{Program, SOON, eventually, pass, pass_blocking};

/// The directory and its storage.
pub struct Mount {
    dir: TempDir,
    server: Option<Program>,
}

impl Mount {
    /// Mounts an empty storage.
    pub async fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("garrison-mount-").tempdir().expect("a directory");
        for name in ["storage", "point"] {
            std::fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        let mut mount = Self { dir, server: None };
        mount.mount().await;
        mount
    }

    /// The directory as programs see it.
    pub fn point(&self) -> PathBuf {
        self.dir.path().join("point")
    }

    /// The directory as the server of the storage sees it.
    pub fn storage(&self) -> PathBuf {
        self.dir.path().join("storage")
    }

    /// Mounts it, after it was unmounted.
    pub async fn mount(&mut self) {
        let mut command = Command::new("bindfs");
        // In the foreground; nothing is remembered for longer than a network file system does at most.
        command.args(["-f", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0"]);
        command.arg(self.storage()).arg(self.point());
        self.server = Some(Program::start("bindfs", command));
        eventually("it is mounted", SOON, async || match is_mounted(&self.point()) {
            true => Ok(()),
            false => Err(self.server.as_ref().map(Program::lines)),
        })
        .await;
        let point = self.point();
        let look = tokio::task::spawn_blocking(move || std::fs::read_dir(point).map(drop));
        look.await.expect("no panic").expect("it answers");
    }

    /// Unmounts it: the directory is empty from then on.
    pub async fn unmount(&mut self) {
        unmount(&self.point());
        if let Some(mut server) = self.server.take() {
            server.exit(SOON).await;
        }
        assert!(!is_mounted(&self.point()));
    }

    /// Unmounts what the server has left when it died.
    pub fn unmount_dead(&mut self) {
        unmount(&self.point());
        self.server = None;
    }

    /// The server dies, and each look at the directory fails.
    pub fn kill_server(&mut self) {
        self.server.as_mut().expect("mounted").kill();
    }

    /// The server answers nobody any more: whoever looks at the directory waits.
    ///
    /// It is stopped while it waits for work, and `lookers` ask for none meanwhile: whoever waits for an answer that it
    /// has begun could not even be killed.
    pub async fn hang(&self, lookers: &[&Program]) {
        for looker in lookers {
            looker.signal(Signal::SIGSTOP);
            eventually("nobody looks", SOON, async || threads_that_run(looker.pid())).await;
        }
        let server = self.server.as_ref().expect("mounted");
        let syscall = format!("/proc/{}/syscall", server.pid());
        eventually("the server is stopped while it waits for work", SOON, async || {
            server.signal(Signal::SIGSTOP);
            pass(Duration::from_millis(20), "the signal arrives").await;
            let seen = std::fs::read_to_string(&syscall).unwrap_or_default();
            if seen.starts_with(READ) {
                return Ok(());
            }
            server.signal(Signal::SIGCONT);
            Err(seen)
        })
        .await;
        lookers.iter().for_each(|looker| looker.signal(Signal::SIGCONT));
        // Should it happen all the same, the end of the server lets everybody go.
        let pid = server.pid();
        std::thread::spawn(move || {
            pass_blocking(LONGEST_HANG, "the mount hangs at most");
            if std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "bindfs")
            {
                let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            }
        });
    }

    /// The server answers again.
    pub fn go_on(&self) {
        self.server.as_ref().expect("mounted").signal(Signal::SIGCONT);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // Whoever waits for it gets an error.
            server.kill();
        }
        if is_mounted(&self.point()) {
            unmount(&self.point());
        }
    }
}

/// `Ok` when all threads of the process are stopped, else what they do.
fn threads_that_run(pid: u32) -> Result<(), Vec<String>> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it is there").flatten();
    // One that has ended meanwhile does not run.
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    // `PID (NAME) STATE …`, and the name may hold anything.
    let is_stopped = |stat: &String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
    let running: Vec<_> = stats.filter(|stat| !is_stopped(stat)).collect();
    if running.is_empty() { Ok(()) } else { Err(running) }
}

/// How the kernel shows a process that waits in `read`.
const READ: &str = if cfg!(target_arch = "x86_64") { "0 " } else { "63 " };

const LONGEST_HANG: Duration = Duration::from_secs(60);

/// Also when somebody still looks at it.
fn unmount(point: &Path) {
    let output = run("fusermount", &["-u", "-z", &point.to_string_lossy()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn is_mounted(point: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("Linux");
    let point = point.to_string_lossy();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(&point))
}
