//! A real HTTP proxy: squid, which this project did not write, on a loopback address of its own.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::program::run;
use crate::{Program, SOON, eventually};

/// A running proxy that knows the name `console.test`, which nobody else does, as this host.
pub struct Squid {
    _dir: TempDir,
    _program: Program,
    /// `ADDRESS:PORT`.
    pub address: String,
}

impl Squid {
    /// One that asks for this user and password, or lets everybody through.
    pub async fn start(credentials: Option<(&str, &str)>) -> Self {
        Self::start_with(credentials, "").await
    }

    /// As `start`, with lines of its configuration that come first.
    pub async fn start_with(credentials: Option<(&str, &str)>, first: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("garrison-squid-").tempdir().expect("a directory");
        // It gives up its rights, and must still read its files.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("ours");
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("hosts"), "127.0.0.1 console.test\n").expect("written");
        // Every address of 127.0.0.0/8 is this host: one of its own needs no free port.
        let [a, b, c, ..] = uuid::Uuid::new_v4().into_bytes();
        let host = format!("127.{}.{}.{}", a.max(1), b, c.clamp(1, 254));
        let mut config = format!(
            "{first}\nhttp_port {host}:3128\npid_filename none\naccess_log none\ncache_log {log}\ncache deny all\n\
             shutdown_lifetime 0 seconds\nvisible_hostname proxy.test\nhosts_file {hosts}\n\
             dns_nameservers 127.0.0.1\ndns_timeout 1 seconds\nconnect_timeout 3 seconds\ncoredump_dir {root}\n",
            log = path("cache.log").display(),
            hosts = path("hosts").display(),
            root = dir.path().display(),
        );
        std::fs::write(path("cache.log"), "").expect("written");
        std::fs::set_permissions(path("cache.log"), std::fs::Permissions::from_mode(0o666)).expect("ours");
        match credentials {
            Some((user, password)) => {
                let hash = run("openssl", &["passwd", "-apr1", password]).stdout;
                let line = format!("{user}:{}", String::from_utf8_lossy(&hash));
                std::fs::write(path("users"), line).expect("written");
                let users = path("users");
                let _ = write!(
                    config,
                    "auth_param basic program /usr/lib/squid/basic_ncsa_auth {}\nacl known proxy_auth REQUIRED\n\
                     http_access allow known\nhttp_access deny all\n",
                    users.display()
                );
            }
            None => config.push_str("http_access allow all\n"),
        }
        std::fs::write(path("squid.conf"), config).expect("written");
        let installed = Path::new("/usr/sbin/squid");
        let mut command = Command::new(if installed.is_file() { installed } else { Path::new("squid") });
        command.arg("-N").arg("-f").arg(path("squid.conf"));
        let program = Program::start("squid", command);
        let address = format!("{host}:3128");
        eventually("the proxy answers", SOON, async || {
            TcpStream::connect(&address).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Self { _dir: dir, _program: program, address }
    }
}
