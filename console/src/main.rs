//! The Console's program: usage, then the work, then the exit status.

use std::process::ExitCode;

use console::channels::ChannelError;
use console::cli::{Certs, Cli, Command};
use console::config::Config;
use console::{app, cmd};
use lifecycle::logging;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|usage| usage.exit());
    match cli.command {
        Some(Command::Certs { command: Certs::Check { dir } }) => {
            cmd::certs_check::run(&dir, &mut std::io::stdout().lock()).unwrap_or(ExitCode::FAILURE)
        }
        Some(Command::Serve) | None => match Config::parse(cli.serve) {
            Ok(config) => serve(config),
            Err(faults) => {
                eprint!("{faults}\nFor more information, try 'console --help'.\n");
                ExitCode::from(WRONG_USAGE)
            }
        },
    }
}

fn serve(config: Config) -> ExitCode {
    logging::start(config.log_level, config.log_format, &["console"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(app::run(config));
            // What still runs was named in a warning; it does not hold up the end.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    let code = match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref() {
                Some(ChannelError::Custom { error: cause, .. }) => {
                    tracing::error!(target: logging::CRIT, remedy = cause.remedy(), "{error:#}");
                }
                _ => tracing::error!(target: logging::CRIT, "{error:#}"),
            }
            ExitCode::FAILURE
        }
    };
    logging::flush();
    code
}

/// The exit status of wrong usage.
const WRONG_USAGE: u8 = 2;
