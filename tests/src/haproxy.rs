//! A real HAProxy that hands bytes on and announces its clients by PROXY protocol v2, on a loopback address of its own.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::envoy::own_address;
use crate::{Program, SOON, eventually};

/// A running proxy.
pub struct Haproxy {
    _dir: TempDir,
    _program: Program,
    /// Where it listens, on [`Haproxy::PORT`], and calls from.
    pub own: Ipv4Addr,
}

/// What is needed to start one; the Console must know its address first.
pub struct HaproxySetup {
    own: Ipv4Addr,
}

impl HaproxySetup {
    /// Where it will listen and call from.
    pub fn own(&self) -> Ipv4Addr {
        self.own
    }

    /// Starts it before a port of this host.
    pub async fn start(self, port: u16) -> Haproxy {
        let own = self.own;
        let dir = tempfile::Builder::new().prefix("garrison-haproxy-").tempdir().expect("a directory");
        let config = format!(
            "global\n  maxconn 200\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
             listen console\n  bind {own}:{}\n  source {own}\n  server console 127.0.0.1:{port} send-proxy-v2 check inter 300ms\n",
            Haproxy::PORT
        );
        let file = dir.path().join("haproxy.cfg");
        std::fs::write(&file, config).expect("written");
        let installed = Path::new("/usr/sbin/haproxy");
        let mut command = Command::new(if installed.is_file() { installed } else { Path::new("haproxy") });
        // In the foreground, one process.
        command.arg("-db").arg("-f").arg(file);
        let program = Program::start("haproxy", command);
        eventually("HAProxy listens", SOON, async || {
            TcpStream::connect((own, Haproxy::PORT)).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Haproxy { _dir: dir, _program: program, own }
    }
}

impl Haproxy {
    /// Its port.
    pub const PORT: u16 = 8084;

    /// One to be started.
    pub fn setup() -> HaproxySetup {
        HaproxySetup { own: own_address() }
    }
}
