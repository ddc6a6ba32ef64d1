//! The program: reads the command line, runs, and turns the outcome into an exit status (0, 1 or 2).

use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use defender::again::Start;
use defender::app::Finish;
use defender::cli::{BundleText, Cli, RunArgs};
use defender::config::{self, Config};
use defender::start::StartError;
use defender::{app, cmd};
use lifecycle::{Journal, Tasks, logging, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let begun = Start::of_this_process();
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let printed = match cli {
        Cli::CertsCheck(dir) => cmd::certs_check::run(&dir, &mut io::stdout()),
        Cli::Doctor(args, bundle, json) => match Config::parse(*args, bundle) {
            Ok(config) => cmd::doctor::run(&config, json, &mut io::stdout()),
            Err(faults) => {
                eprintln!("{faults}");
                return ExitCode::from(2);
            }
        },
        Cli::Export(arguments) => return cmd::export::run(arguments),
        Cli::InstallService(args, service) => return cmd::install_service::run(*args, &service),
        Cli::Run(args, bundle) => return run(&begun, *args, bundle),
        Cli::Status(args) => cmd::status::run(&config::status_data_dir(args), &mut io::stdout()),
    };
    // Nobody reads what was to be printed: the answer is the exit status, and this one says nothing good.
    printed.map_or(ExitCode::FAILURE, ExitCode::from)
}

fn run(begun: &Start, args: RunArgs, bundle: Option<BundleText>) -> ExitCode {
    let finish =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
            Ok(runtime) => {
                let finish = runtime.block_on(start(args, bundle));
                runtime.shutdown_background();
                logging::flush();
                finish
            }
            Err(error) => {
                eprintln!("error: the system gives this program no threads: {error}");
                return ExitCode::FAILURE;
            }
        };
    match finish {
        Ok(Finish::Stopped) => ExitCode::SUCCESS,
        Ok(Finish::Restart) => {
            let error = begun.again();
            let remedy = "start the Defender, and see that its program file can be run";
            tracing::error!(target: logging::CRIT, %error, remedy, "Cannot start afresh");
            ExitCode::FAILURE
        }
        Err(code) => code,
    }
}

/// Listens for signals before anything else, so that a stop during the start is a stop in good order.
async fn start(args: RunArgs, bundle: Option<BundleText>) -> Result<Finish, ExitCode> {
    // The signals have tasks of their own: they are listened to until the end, also on the way to a restart.
    let (signals, stop) = (Tasks::new(), CancellationToken::new());
    let listening = signal::listen(&signals, stop.clone());
    let config = match Config::parse(args, bundle) {
        Ok(config) => config,
        Err(faults) => {
            eprintln!("{faults}");
            return Err(ExitCode::from(2));
        }
    };
    let journal = Journal::new(JOURNAL_BYTES);
    logging::start_keeping(config.log_level, config.log_format, &["defender"], journal.clone());
    let outcome = match listening.context("listening for signals") {
        Ok(()) => app::run_until(config, journal, Tasks::new(), stop).await,
        Err(error) => Err(error),
    };
    outcome.map_err(|error| {
        match error.downcast_ref::<StartError>() {
            Some(start) => tracing::error!(target: logging::CRIT, remedy = start.remedy(), "{start}"),
            None => tracing::error!(target: logging::CRIT, "{error:#}"),
        }
        ExitCode::FAILURE
    })
}

/// Newest log lines that the Console can read.
const JOURNAL_BYTES: usize = 4 * 1024 * 1024;

/// A Defender is a guest on its host: it waits for its Console most of the time.
const WORKERS: usize = 2;
