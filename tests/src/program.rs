//! A child process: its log lines as they come, signals, its end. Dropping it kills it, and shows its lines when
//! the test has failed.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::eventually;

/// A running program, or one that has ended.
pub struct Program {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// How many lines there are; closed when the program has closed its standard error.
    count: watch::Receiver<usize>,
}

impl Program {
    /// Starts `command` and follows its standard error.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sender, count) = watch::channel(0);
        let log = child.stderr.take().expect("piped");
        std::thread::spawn({
            let lines = Arc::clone(&lines);
            move || follow(log, &lines, &sender)
        });
        Self { name: name.to_owned(), child, lines, count }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("not poisoned").clone()
    }

    /// How many lines there are; to be given to [`Program::line_after`].
    pub fn mark(&self) -> usize {
        self.lines.lock().expect("not poisoned").len()
    }

    /// The first line that holds `text`, once it is there.
    pub async fn line(&self, text: &str) -> String {
        self.line_after(0, text).await
    }

    /// The first line after `mark` that holds `text`, once it is there.
    pub async fn line_after(&self, mark: usize, text: &str) -> String {
        self.try_line(mark, text, crate::SOON).await.unwrap_or_else(|| {
            let lines = self.lines();
            let last = lines.iter().rev().take(10).rev().map(String::as_str).collect::<Vec<_>>();
            panic!("{}: no line `{text}`; the last are\n{}", self.name, last.join("\n"))
        })
    }

    /// As `line_after`; `None` when the deadline passes or the program ends without it.
    pub async fn try_line(&self, mark: usize, text: &str, deadline: Duration) -> Option<String> {
        let mut count = self.count.clone();
        let wait = async {
            let mut looked = mark;
            loop {
                let new = count.borrow_and_update().to_owned();
                let ended = count.has_changed().is_err();
                let lines: Vec<String> =
                    self.lines.lock().expect("not poisoned").iter().skip(looked).cloned().collect();
                if let Some(line) = lines.into_iter().find(|line| line.contains(text)) {
                    return Some(line);
                }
                looked = looked.max(new);
                if ended {
                    return None;
                }
                let _ = count.changed().await;
            }
        };
        tokio::time::timeout(deadline, wait).await.ok().flatten()
    }

    /// How many lines after `mark` hold `text`.
    pub fn count_after(&self, mark: usize, text: &str) -> usize {
        self.lines().iter().skip(mark).filter(|line| line.contains(text)).count()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, signal).expect("the child is not waited for yet");
    }

    /// Waits for the end.
    pub async fn exit(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} has ended", self.name);
        let child = &mut self.child;
        let look = async || child.try_wait().expect("waiting").ok_or("it runs");
        let status = eventually(&what, deadline, look).await;
        // What it wrote last is still on its way through the pipe.
        let mut count = self.count.clone();
        let _ = tokio::time::timeout(crate::SOON, async { while count.changed().await.is_ok() {} }).await;
        status
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("waiting").is_none()
    }

    /// `kill -9`, at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let lines = self.lines();
            let skipped = lines.len().saturating_sub(SHOWN_LINES);
            let shown = lines.iter().skip(skipped).map(|line| format!("  {line}\n")).collect::<String>();
            // One write: tests run beside each other.
            eprint!("--- log of {} ({skipped} lines before these)\n{shown}", self.name);
        }
    }
}

fn follow(log: impl Read, lines: &Mutex<Vec<String>>, count: &watch::Sender<usize>) {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let mut lines = lines.lock().expect("not poisoned");
        lines.push(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned());
        line.clear();
        count.send_replace(lines.len());
    }
}

/// Path of one of our programs: beside the running test or benchmark.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a path");
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("`{name}` is not built: run `cargo build --release --workspace` first, or `cargo xtask test`")
    })
}

/// Runs a program to its end.
pub fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> Output {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("starting {}: {error}", Path::new(program).display()))
}

const SHOWN_LINES: usize = 200;
