//! The program: reads the command line, runs, and turns the outcome into an exit status (0, 1 or 2).

use std::io;
use std::process::ExitCode;

use defender::cli::{BundleText, Cli, RunArgs};
use defender::config::{self, Config};
use defender::start::StartError;
use defender::{app, cmd};
use lifecycle::logging;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let printed = match cli {
        Cli::CertsCheck(dir) => cmd::certs_check::run(&dir, &mut io::stdout()),
        Cli::Run(args, bundle) => return run(*args, bundle),
        Cli::Status(args) => cmd::status::run(&config::status_data_dir(args), &mut io::stdout()),
    };
    // Nobody reads what was to be printed: the answer is the exit status, and this one says nothing good.
    printed.map_or(ExitCode::FAILURE, ExitCode::from)
}

fn run(args: RunArgs, bundle: Option<BundleText>) -> ExitCode {
    let config = match Config::parse(args, bundle) {
        Ok(config) => config,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(2);
        }
    };
    logging::start(config.log_level, config.log_format, &["defender"]);
    let started = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let outcome = started.map_err(anyhow::Error::from).and_then(|runtime| {
        let outcome = runtime.block_on(app::run(config));
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<StartError>() {
                Some(start) => tracing::error!(target: logging::CRIT, remedy = start.remedy(), "{start}"),
                None => tracing::error!(target: logging::CRIT, "{error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// A Defender is a guest on its host: it waits for its Console most of the time.
const WORKERS: usize = 2;
