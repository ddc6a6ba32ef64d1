//! `console backup FILE` and `console restore FILE`. What is done is said on standard output; a failure is logged.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lifecycle::logging::{self, error_chain};
use time::format_description::well_known::Rfc3339;

use super::passphrase;
use crate::backup::{self, BackupError, Kind, Passphrase, Plan, Restored, There};
use crate::config::{Config, Database};

/// Makes a backup of the Console of `config` in `file`.
pub fn make(config: &Config, file: &Path, source: &Path, out: &mut impl Write) -> ExitCode {
    logging::start(config.log_level, config.log_format, &["console"]);
    let Some(passphrase) = take(source) else { return ExitCode::FAILURE };
    let made = backup::make(&config.database, &config.data_dir, file, Kind::Command, passphrase);
    end(run(made), "Backup failed", |made| {
        let _ = writeln!(
            out,
            "Backup written to {}: {} bytes, {} rows. Keep its passphrase elsewhere: without it the file is of no use.",
            file.display(),
            made.bytes,
            made.rows
        );
    })
}

/// Restores `file` as the Console of `config`.
pub fn restore(config: Config, file: PathBuf, source: &Path, there: There, out: &mut impl Write) -> ExitCode {
    logging::start(config.log_level, config.log_format, &["console"]);
    let Some(passphrase) = take(source) else { return ExitCode::FAILURE };
    let Config { data_dir, database, .. } = config;
    let is_postgres = matches!(database, Database::Postgres(_));
    let plan = Plan { file, data_dir, database, passphrase, there };
    let (file, data_dir) = (plan.file.clone(), plan.data_dir.clone());
    end(run(backup::restore(plan)), "Restore failed, what was there is there still", |restored| {
        let _ = tell(&restored, &file, &data_dir, is_postgres, out);
    })
}

fn tell(
    restored: &Restored,
    file: &Path,
    data_dir: &Path,
    is_postgres: bool,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let Restored { about, aside, has_finished_another } = restored;
    if *has_finished_another {
        writeln!(out, "An earlier restore had been interrupted; it was completed first.")?;
    }
    let made_at = about.created_at.format(&Rfc3339).unwrap_or_default();
    writeln!(
        out,
        "Restored {} (made at {made_at} by Console {}) to {}.",
        file.display(),
        about.version,
        data_dir.display()
    )?;
    if let Some(aside) = aside {
        writeln!(out, "What was there is kept in {}.", data_dir.join(aside).display())?;
        if is_postgres {
            writeln!(out, "The tables that were there are kept in the schema {aside:?} of the database.")?;
        }
    }
    writeln!(out, "Start the Console. Everybody signs in again; Defenders connect again by themselves.")?;
    writeln!(out, "If backups are made on a schedule, set their passphrase again in Settings.")
}

fn take(source: &Path) -> Option<Passphrase> {
    passphrase::read(source)
        .inspect_err(|error| {
            let remedy = "write 12 characters or more to a file that only you can read, and name it with --passphrase-file";
            tracing::error!(error = error_chain(error), remedy, "There is no passphrase");
        })
        .ok()
}

fn run<T>(work: impl Future<Output = Result<T, BackupError>>) -> Result<T, BackupError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|_| BackupError::Stopped)?.block_on(work)
}

fn end<T>(result: Result<T, BackupError>, failed: &'static str, tell: impl FnOnce(T)) -> ExitCode {
    match result {
        Ok(done) => {
            tell(done);
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = error_chain(&error), remedy = error.remedy(), "{failed}");
            ExitCode::FAILURE
        }
    }
}
