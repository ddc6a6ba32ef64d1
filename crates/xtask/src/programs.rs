//! Long-running children: their log lines, their end, and the signals that this program gets, as one stream of
//! events.
//!
//! A child is started through this program itself (`LAUNCH`): signals are blocked here so that they can be
//! waited for, a child would inherit that, and without `unsafe` only the child itself can undo it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

/// The hidden command that starts a child.
pub(crate) const LAUNCH: &str = "__launch";

/// What happened to one of the programs, or to this one.
#[derive(Debug)]
pub(crate) enum Event {
    /// A program ended.
    Ended(&'static str, ExitStatus),
    /// A program logged a line.
    Line(&'static str, String),
    /// This program is asked to stop.
    Stop,
}

/// The running programs. Dropping this process in any way ends them too (parent-death signal).
pub(crate) struct Programs {
    events: Receiver<Event>,
    sender: Sender<Event>,
    running: Vec<(&'static str, Pid)>,
}

impl Programs {
    /// Takes over SIGINT, SIGTERM and SIGHUP. Call it first, in a process with one thread.
    pub(crate) fn new() -> nix::Result<Self> {
        let (sender, events) = channel();
        let signals: SigSet = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        signals.thread_block()?;
        let stop = sender.clone();
        std::thread::spawn(move || while signals.wait().is_ok() && stop.send(Event::Stop).is_ok() {});
        Ok(Self { events, sender, running: Vec::new() })
    }

    /// Starts a program under a name; its lines and its end become events. It has a process group of its own,
    /// so that Ctrl-C reaches this program alone, which then stops the others in order.
    pub(crate) fn start(
        &mut self,
        name: &'static str,
        program: &Path,
        arguments: &[String],
    ) -> std::io::Result<()> {
        let mut child = Command::new("/proc/self/exe")
            .arg(LAUNCH)
            .arg(program)
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Ok(pid) = i32::try_from(child.id()) {
            self.running.push((name, Pid::from_raw(pid)));
        }
        let events = self.sender.clone();
        std::thread::spawn(move || follow(name, &mut child, &events));
        Ok(())
    }

    /// The next event; `None` after `timeout`.
    pub(crate) fn next(&mut self, timeout: Duration) -> Option<Event> {
        match self.events.recv_timeout(timeout) {
            Ok(event) => {
                if let Event::Ended(name, _) = event {
                    self.running.retain(|(running, _)| *running != name);
                }
                Some(event)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Sends a signal to one program, if it runs.
    pub(crate) fn signal(&self, name: &str, signal: Signal) {
        for (_, pid) in self.running.iter().filter(|(running, _)| *running == name) {
            // It may have ended this moment: then there is nothing to signal.
            let _ = kill(*pid, signal);
        }
    }

    /// Whether a program of that name runs.
    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.running.iter().any(|(running, _)| *running == name)
    }
}

fn follow(name: &'static str, child: &mut Child, events: &Sender<Event>) {
    if let Some(log) = child.stderr.take() {
        let mut log = BufReader::new(log);
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if events.send(Event::Line(name, text)).is_err() {
                return;
            }
        }
    }
    if let Ok(status) = child.wait() {
        let _ = events.send(Event::Ended(name, status));
    }
}

/// In the child: ends with its parent, unblocks signals, and becomes the program. Returns only on failure.
pub(crate) fn launch(arguments: &[String]) -> ExitCode {
    let Some((program, arguments)) = arguments.split_first() else { return crate::wrong_usage() };
    let prepared = prctl::set_pdeathsig(Signal::SIGTERM).and_then(|()| SigSet::all().thread_unblock());
    if let Err(error) = prepared {
        eprintln!("preparing {program}: {error}");
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("starting {program}: {error}");
    ExitCode::FAILURE
}
