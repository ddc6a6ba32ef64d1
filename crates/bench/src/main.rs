//! Benchmarks of the Console, each beside a bare rustls + tokio + tungstenite server in the same run, and the
//! simulated fleet behind them.
//!
//! ```text
//! cli.rs         commands and their options
//! fleet.rs       `fleet`: many simulated Defenders and what they have seen together
//! defender.rs    one simulated Defender: dial, hello, reports, reconnects
//! dial.rs        one connection: source address, TLS, WebSocket, welcome
//! bare.rs        the server that does nothing else
//! target.rs      a server under measure, in a process of its own: the Console or the bare one
//! process.rs     CPU and memory of a process, from /proc
//! rotation.rs, handshake.rs, idle.rs, herd.rs    the measurements
//! api.rs         the API and the pages of a Console with a large fleet in its store
//! constant.rs    the HTTPS server that answers with a constant
//! http.rs        a bare HTTP client
//! https.rs       `https-probe`: latencies of HTTPS requests, measured from a process of its own
//! figures.rs     medians and percentiles
//! ```
//!
//! Everything is bounded in number and time and talks to this machine alone. Figures are printed; none is judged.
#![expect(clippy::print_stdout, reason = "a benchmark's figures go to its user")]

mod api;
mod bare;
mod cli;
mod constant;
mod defender;
mod dial;
mod figures;
mod fleet;
mod handshake;
mod herd;
mod http;
mod https;
mod idle;
mod process;
mod rotation;
mod target;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let _ = lifecycle::descriptors::raise_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("starting the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Api(options) => api::measure(&options).await,
            Command::BareServer(options) => bare::serve(&options).await,
            Command::ConstantServer(options) => constant::serve(&options).await,
            Command::Fleet(options) => fleet::main(options).await,
            Command::Handshake(options) => handshake::measure(&options).await,
            Command::Herd(options) => herd::measure(&options).await,
            Command::HttpsProbe(options) => https::probe(&options).await,
            Command::Idle(options) => idle::measure(&options).await,
            Command::Rotation(options) => rotation::measure(&options).await,
        }
    });
    // What is left of the fleet ends with the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
