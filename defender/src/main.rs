//! The program: reads the command line, runs, and turns the outcome into an exit status (0, 1 or 2).

use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use defender::cli::{BundleText, Cli, RunArgs};
use defender::config::{self, Config};
use defender::start::StartError;
use defender::{app, cmd};
use lifecycle::{Tasks, logging, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let printed = match cli {
        Cli::CertsCheck(dir) => cmd::certs_check::run(&dir, &mut io::stdout()),
        Cli::Export(arguments) => return cmd::export::run(arguments),
        Cli::Run(args, bundle) => return run(*args, bundle),
        Cli::Status(args) => cmd::status::run(&config::status_data_dir(args), &mut io::stdout()),
    };
    // Nobody reads what was to be printed: the answer is the exit status, and this one says nothing good.
    printed.map_or(ExitCode::FAILURE, ExitCode::from)
}

fn run(args: RunArgs, bundle: Option<BundleText>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(start(args, bundle));
            runtime.shutdown_background();
            logging::flush();
            code
        }
        Err(error) => {
            eprintln!("error: the system gives this program no threads: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Listens for signals before anything else, so that a stop during the start is a stop in good order.
async fn start(args: RunArgs, bundle: Option<BundleText>) -> ExitCode {
    let (tasks, shutdown) = (Tasks::new(), CancellationToken::new());
    let listening = signal::listen(&tasks, shutdown.clone());
    let config = match Config::parse(args, bundle) {
        Ok(config) => config,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(2);
        }
    };
    logging::start(config.log_level, config.log_format, &["defender"]);
    let outcome = match listening.context("listening for signals") {
        Ok(()) => app::run_until(config, tasks, shutdown).await,
        Err(error) => Err(error),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    match error.downcast_ref::<StartError>() {
        Some(start) => tracing::error!(target: logging::CRIT, remedy = start.remedy(), "{start}"),
        None => tracing::error!(target: logging::CRIT, "{error:#}"),
    }
    ExitCode::FAILURE
}

/// A Defender is a guest on its host: it waits for its Console most of the time.
const WORKERS: usize = 2;
