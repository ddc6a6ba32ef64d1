//! The harness of the system tests and of the benchmarks: it starts the two real programs and talks to them
//! from outside, by what the contract promises and nothing else.
//!
//! ```text
//! program.rs     a child process: its log lines, signals, its end
//! console.rs     TestConsole: a Console in a directory of its own, on free ports
//! defender.rs    TestDefender: a Defender beside it
//! setup.rs       flags and variables of both
//! repository.rs  where the repository is
//! browser/       Chromium, as a person uses it
//! api.rs         the HTTPS API, and its event stream
//! tls.rs         TLS dials that say what they saw: certificate, version, key exchange
//! wire.rs        the Defender protocol by hand: anything can be sent, valid or hostile
//! mount.rs       network storage that raises no event, hangs, breaks
//! engine.rs      a real Docker Engine
//! host.rs        a host that systemd runs
//! openssl.rs     certificates made by the `openssl` program, which this project did not write
//! envoy/         a real Envoy, set up as Istio sets it up
//! haproxy.rs     a real HAProxy that announces its clients
//! proxied.rs     connections as proxies make them
//! squid.rs       a real HTTP proxy
//! place.rs       the manners in which files come into a watched directory
//! eventually.rs  waiting: for a condition, with a deadline, or for time to pass
//! ```

pub mod api;
pub mod browser;
pub mod console;
pub mod defender;
pub mod engine;
pub mod envoy;
pub mod eventually;
pub mod haproxy;
pub mod host;
pub mod mount;
pub mod openssl;
pub mod place;
pub mod program;
pub mod proxied;
pub mod repository;
mod setup;
pub mod squid;
pub mod tls;
pub mod wire;

pub use api::Api;
pub use browser::Browser;
pub use console::TestConsole;
pub use defender::TestDefender;
pub use engine::Engine;
pub use envoy::Envoy;
pub use eventually::{eventually, holds, pass, pass_blocking};
pub use haproxy::Haproxy;
pub use openssl::{OpensslPki, PemSet};
pub use place::Channel;
pub use program::Program;
pub use repository::repository;
pub use squid::Squid;
pub use tls::Dialer;
pub use wire::{Identity, Wire};

/// Long enough for anything that should happen, also on a busy machine.
pub const SOON: std::time::Duration = std::time::Duration::from_secs(20);

/// Raises the limit of open files as far as the system allows.
pub fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
