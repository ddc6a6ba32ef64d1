//! The Defender: runs on a host, dials its Console over mutual TLS and reports.
//!
//! ```text
//! cli.rs -> config.rs       flags and environment as given -> the valid configuration
//! app.rs                    wires everything, and stops it in order
//! start.rs, bundle.rs       what to start on: custom files, or the install bundle; waits for either
//! link.rs                   keeps a session up: back-off, redial, make before break
//!   dial.rs                 one attempt: TCP, TLS, WebSocket, hello, welcome
//!   candidates.rs           what to dial with, the best first
//!   enrol.rs, own.rs        asking for a certificate of one's own, and for the next; where it is kept
//!   schedule.rs             when to ask for the next
//!   proxy.rs               the HTTP proxy on the way, if any
//!   session.rs              one live session: heartbeats, reports, acknowledgements, commands
//!   commands.rs            what the Console may ask for: the log, a restart
//!   frame.rs                messages <-> WebSocket frames
//! outbox/                   reports not yet acknowledged, on disk
//! report/                   what is reported, one file a kind
//! identity.rs, status.rs    files of the data directory: who we are; how we stand
//! again.rs                  the program once more, in the same process
//! ask.rs, clock.rs          one question to the Console in plain HTTP; how far the clocks are apart
//! doctor/                   what is wrong between this host and its Console
//! console_api/              the Console's API, called by a user of this host
//! unit.rs                   the unit of systemd for a Defender of a host
//! cmd/                      `certs check`, `export`, `install-service`, `status`
//! ```

pub mod again;
pub mod app;
mod ask;
pub mod bundle;
pub mod candidates;
pub mod cli;
mod clock;
pub mod cmd;
pub mod commands;
pub mod config;
pub mod console_api;
pub mod dial;
pub mod doctor;
mod enrol;
#[cfg(test)]
mod fake;
mod frame;
pub mod identity;
pub mod link;
pub mod outbox;
pub mod own;
pub mod proxy;
pub mod report;
pub mod schedule;
pub mod session;
pub mod start;
pub mod status;
pub mod unit;
