//! A real Envoy as Istio's ingress gateway, on a loopback address of its own, set up by what `console export istio` has
//! written.
//!
//! ```text
//! mod.rs         Envoy: one process
//! istio.rs       the export, as Istio reads it
//! bootstrap.rs   Gateway and VirtualService -> Envoy's configuration
//! ```

mod bootstrap;
pub mod istio;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use bootstrap::{Translation, outer_port};
use tempfile::TempDir;
use tokio::net::TcpStream;

use self::istio::Export;
use crate::place::write;
use crate::program::run;
use crate::{PemSet, Program, SOON, eventually, repository};

/// Ports of a running Console.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// Plain HTTP; 0 where it is off.
    pub http: u16,
    /// HTTPS.
    pub https: u16,
    /// Defenders.
    pub defenders: u16,
}

/// Whether Envoy announces its clients to the Console by PROXY protocol, where it hands bytes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// It does.
    Clients,
    /// It does not.
    Nobody,
}

/// A running ingress gateway.
pub struct Envoy {
    own: Ipv4Addr,
    program: Program,
    _dir: TempDir,
}

/// A loopback address of one's own: every address of 127.0.0.0/8 is this host, and with one of its own a test needs no
/// free port.
pub fn own_address() -> Ipv4Addr {
    let [a, b, c, ..] = uuid::Uuid::new_v4().into_bytes();
    Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254))
}

/// What `console export istio` writes with these flags.
pub fn export(flags: &[&str]) -> Export {
    let output =
        run(crate::program::binary("console"), &[&["export", "istio", "--output", "-"], flags].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Export::read(&String::from_utf8(output.stdout).expect("text"))
}

impl Envoy {
    /// Starts it at `own` and waits until it takes connections. Every credential that the export names is `credential`.
    pub async fn start(
        own: Ipv4Addr,
        export: &Export,
        ends: Ends,
        credential: &PemSet,
        announce: Announce,
    ) -> Self {
        let dir = tempfile::Builder::new().prefix("garrison-envoy-").tempdir().expect("a directory");
        for name in export.gateway.servers.iter().filter_map(|server| server.tls.credential_name.as_ref()) {
            std::fs::create_dir_all(dir.path().join(name)).expect("a folder");
            write(&dir.path().join(name).join("tls.crt"), credential.cert.as_bytes());
            write(&dir.path().join(name).join("tls.key"), credential.key.as_bytes());
        }
        let translation = Translation { export, own, ends, announce, credentials: dir.path() };
        let file = dir.path().join("envoy.json");
        write(&file, translation.bootstrap().to_string().as_bytes());
        let installed = repository().join("target/envoy/bin/envoy");
        assert!(installed.is_file(), "Envoy is missing: `cargo xtask test` installs it below target/");
        let mut command = Command::new(installed);
        command.arg("-c").arg(file).args(["--disable-hot-restart", "--concurrency", "1", "-l", "warning"]);
        let program = Program::start("envoy", command);
        for server in &export.gateway.servers {
            let port = outer_port(server.port.number);
            eventually("Envoy listens", SOON, async || {
                let connected = TcpStream::connect((own, port)).await;
                connected.map(drop).map_err(|error| format!("{error}: {:?}", program.lines()))
            })
            .await;
        }
        Self { own, program, _dir: dir }
    }

    /// Where a port of the exported Gateway is.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.own, outer_port(port)))
    }

    /// The process.
    pub fn program(&self) -> &Program {
        &self.program
    }
}
