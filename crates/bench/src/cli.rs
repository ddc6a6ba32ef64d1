//! Commands and their options.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use lifecycle::duration;

/// Measures a Console beside a bare server, or simulates a fleet.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Time to ready, latencies of the API and cost of each page with a large fleet in the store
    Api(ApiOptions),
    /// (internal) The bare server
    #[command(hide = true)]
    BareServer(BareOptions),
    /// (internal) The HTTPS server that answers with a constant
    #[command(hide = true)]
    ConstantServer(ConstantOptions),
    /// Simulated Defenders that connect to a Console of this machine
    Fleet(FleetOptions),
    /// CPU per handshake, upgrade, hello and close
    Handshake(HandshakeOptions),
    /// All Defenders dropped at once: time till all are back, and HTTPS latency meanwhile
    Herd(HerdOptions),
    /// (internal) Latencies of HTTPS requests
    #[command(hide = true)]
    HttpsProbe(ProbeOptions),
    /// Resident memory per idle Defender
    Idle(IdleOptions),
    /// Time from the last write of a set to the first handshake with it, under load
    Rotation(RotationOptions),
}

/// Options of `api`.
#[derive(Debug, Args)]
pub(crate) struct ApiOptions {
    /// Defenders in the store (1 to 200000)
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(crate) defenders: u32,
    /// Connections at once (1 to 1000)
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: u32,
    /// Requests in each round (1 to 1000000)
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) requests: u32,
    /// Rounds, the servers in turn, and starts of each kind; medians are printed (1 to 20)
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) rounds: u32,
}

/// Options of `constant-server`.
#[derive(Debug, Args)]
pub(crate) struct ConstantOptions {
    /// Size of the body
    #[arg(long)]
    pub(crate) bytes: usize,
    /// Directory for its authority
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// Options of `bare-server`.
#[derive(Debug, Args)]
pub(crate) struct BareOptions {
    /// Directory for its authority and its bundle
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// Options of `fleet`.
#[derive(Debug, Args)]
pub(crate) struct FleetOptions {
    /// How many Defenders (1 to 18000)
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=18_000))]
    pub(crate) count: u32,
    /// The Console's Defender listener, on this machine
    #[arg(long, value_name = "URL", default_value = "wss://localhost:8084")]
    pub(crate) console_address: String,
    /// Directory with defender-ca.pem, defender-client-cert.pem and defender-client-key.pem
    #[arg(long, value_name = "DIR", default_value = "onebox/bundle")]
    pub(crate) bundle: PathBuf,
    /// Take the bundle from this Console's API instead, for example https://localhost:8083
    #[arg(long, value_name = "URL", requires = "password_file")]
    pub(crate) api: Option<String>,
    /// User for --api
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub(crate) user: String,
    /// File with the password for --api, for example onebox/admin-password
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Time over which they connect
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub(crate) ramp: Duration,
    /// Reports a minute of each Defender (0 to 6000)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=6000))]
    pub(crate) reports_per_minute: u32,
    /// Ends after this time
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = duration::parse)]
    pub(crate) span: Duration,
}

/// What all measurements have in common.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerOptions {
    /// Flag for the Console under measure, for example --console-flag=--log-level=info (repeatable)
    #[arg(long, value_name = "FLAG=VALUE")]
    pub(crate) console_flag: Vec<String>,
    /// Measure the Console alone
    #[arg(long)]
    pub(crate) no_bare: bool,
}

/// Options of `handshake`.
#[derive(Debug, Args)]
pub(crate) struct HandshakeOptions {
    /// Connections in each round (100 to 100000)
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub(crate) count: u32,
    /// Rounds, the servers in turn; the median is printed (1 to 50)
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) rounds: u32,
    /// The servers
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

/// Options of `herd`.
#[derive(Debug, Args)]
pub(crate) struct HerdOptions {
    /// How many Defenders (10 to 18000)
    #[arg(long, value_name = "N", default_value_t = 9500, value_parser = clap::value_parser!(u32).range(10..=18_000))]
    pub(crate) count: u32,
    /// Herds, the servers in turn; the median is printed (1 to 20)
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) rounds: u32,
    /// The servers
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

/// Options of `idle`.
#[derive(Debug, Args)]
pub(crate) struct IdleOptions {
    /// How many Defenders; repeatable (10 to 18000)
    #[arg(long, value_name = "N", default_values_t = [9500, 18_000], value_parser = clap::value_parser!(u32).range(10..=18_000))]
    pub(crate) count: Vec<u32>,
    /// Time over which CPU is measured once all are connected
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub(crate) watch: Duration,
    /// The servers
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

/// Options of `rotation`.
#[derive(Debug, Args)]
pub(crate) struct RotationOptions {
    /// Rotations of each listener (1 to 1000)
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rotations: u32,
    /// Simulated Defenders that report meanwhile (0 to 5000)
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=5000))]
    pub(crate) defenders: u32,
    /// The Console
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

/// Options of `https-probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeOptions {
    /// Port of the HTTPS listener
    #[arg(long)]
    pub(crate) port: u16,
}
