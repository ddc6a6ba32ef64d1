//! A server under measure, in a process of its own: a Console with default settings, or the bare one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use system_tests::place::{Channel, Manner};
use system_tests::{Api, Program, TestConsole};
use tempfile::TempDir;

use crate::cli::ServerOptions;
use crate::dial::Dialer;
use crate::{bare, process};

/// A running server.
pub(crate) struct Target {
    /// `console` or `bare`.
    pub(crate) name: &'static str,
    /// How to reach it as a Defender.
    pub(crate) dialer: Arc<Dialer>,
    /// The Console, when it is one.
    pub(crate) console: Option<(TestConsole, Api)>,
    bare: Option<Program>,
    /// Bundle, and all that the bare server has.
    _dir: TempDir,
}

impl Target {
    /// The Console, and the bare server unless it is not wanted.
    pub(crate) async fn both(options: &ServerOptions) -> Result<Vec<Self>> {
        let mut all = vec![Self::console(options).await?];
        if !options.no_bare {
            all.push(Self::bare().await?);
        }
        Ok(all)
    }

    /// A Console.
    pub(crate) async fn console(options: &ServerOptions) -> Result<Self> {
        let mut setup = TestConsole::setup().flag("--heartbeat", "30s").flag("--custom-certs-poll", "10s");
        for flag in &options.console_flag {
            let (name, value) = flag.split_once('=').context("--console-flag takes FLAG=VALUE")?;
            setup = setup.flag(&format!("--{}", name.trim_start_matches('-')), value);
        }
        let console = setup.start().await;
        let api = console.api().await;
        let dir = tempfile::tempdir()?;
        let bundle = api.bundle().await.to_set();
        Manner::Renamed.place(dir.path(), &Channel::Defender.files(&bundle));
        let dialer = Arc::new(Dialer::new("localhost", console.defenders, dir.path())?);
        Ok(Self { name: "console", dialer, console: Some((console, api)), bare: None, _dir: dir })
    }

    /// The bare server.
    pub(crate) async fn bare() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.arg("bare-server").arg("--dir").arg(dir.path());
        let program = Program::start("bare server", command);
        let ready = program.line(bare::READY).await;
        let port = ready.strip_prefix(bare::READY).context("the ready line")?.parse()?;
        let dialer = Arc::new(Dialer::new("localhost", port, &dir.path().join("bundle"))?);
        Ok(Self { name: "bare", dialer, console: None, bare: Some(program), _dir: dir })
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        process::cpu(self.pid())
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<f64> {
        process::resident_kib(self.pid())
    }

    fn pid(&self) -> u32 {
        let console = self.console.as_ref().map(|(console, _)| console.program().pid());
        console.or(self.bare.as_ref().map(Program::pid)).unwrap_or_default()
    }
}
