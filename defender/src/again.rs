//! The program once more, in the same process: same id, arguments and environment. So a restart needs no supervisor,
//! and works as the first process of a container and under systemd.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How this process was started.
#[derive(Debug)]
pub struct Start {
    /// The program's file; another one may lie there when it is started again.
    program: Option<PathBuf>,
    arguments: Vec<OsString>,
}

impl Start {
    /// To be called first of all, while the program's file still has its name.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self { program: std::env::current_exe().ok(), arguments: std::env::args_os().collect() }
    }

    /// Becomes the program anew. Nothing may be left that others rely on: every thread ends here. The file under the
    /// program's name is started, so that an upgrade takes effect; where there is none, the one that runs.
    ///
    /// Returns only when that fails.
    #[must_use]
    pub fn again(&self) -> io::Error {
        let error = self.program.as_deref().map(|program| self.become_program(program));
        match error {
            Some(error) if error.kind() != io::ErrorKind::NotFound => error,
            _ => self.become_program(Path::new(RUNNING)),
        }
    }

    fn become_program(&self, program: &Path) -> io::Error {
        let mut arguments = self.arguments.iter();
        let mut command = Command::new(program);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).exec()
    }
}

/// The file that this process was made of, also after it was removed.
const RUNNING: &str = "/proc/self/exe";
