//! The tools: one file for each subcommand. `serve` is in `app/`.

pub mod backup;
pub mod certs_check;
pub mod export;
pub mod healthcheck;
pub mod passphrase;
