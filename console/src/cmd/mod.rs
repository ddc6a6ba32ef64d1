//! The tools: one file for each subcommand. `serve` is in `app.rs`.

pub mod certs_check;
