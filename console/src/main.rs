//! The Console's program: usage, then the work, then the exit status.

use std::process::ExitCode;

use console::backup::There;
use console::channels::ChannelError;
use console::cli::{Certs, Cli, Command, Serve};
use console::config::Config;
use console::{app, cmd};
use lifecycle::logging;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|usage| usage.exit());
    match cli.command {
        Some(Command::Certs { command: Certs::Check { dir } }) => {
            cmd::certs_check::run(&dir, &mut std::io::stdout().lock()).unwrap_or(ExitCode::FAILURE)
        }
        Some(Command::Healthcheck) => {
            with_config(cli.serve, |config| cmd::healthcheck::run(&config, &mut std::io::stdout().lock()))
        }
        Some(Command::Export { arguments }) => cmd::export::run(arguments),
        Some(Command::Backup { file, passphrase }) => with_config(cli.serve, |config| {
            cmd::backup::make(&config, &file, &passphrase.passphrase_file, &mut std::io::stdout().lock())
        }),
        Some(Command::Restore { file, passphrase, replace }) => with_config(cli.serve, |config| {
            let there = if replace { There::Replace } else { There::Keep };
            cmd::backup::restore(
                config,
                file,
                &passphrase.passphrase_file,
                there,
                &mut std::io::stdout().lock(),
            )
        }),
        Some(Command::Serve) | None => with_config(cli.serve, serve),
    }
}

fn with_config(given: Serve, work: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match Config::parse(given) {
        Ok(config) => work(config),
        Err(faults) => {
            eprint!("{faults}\nFor more information, try 'console --help'.\n");
            ExitCode::from(WRONG_USAGE)
        }
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
