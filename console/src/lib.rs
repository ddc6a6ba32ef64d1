//! The Console.
//!
//! ```text
//! cli.rs config/     flags and environment as given; the valid Config made from them
//! app/               wiring: open, listen, follow, stop
//! cmd/               one file per tool
//! gateway/           the Defender listener (8084)
//! fleet/             who is connected, and the events of it
//! channels.rs        the certificates of both listeners: what each starts on
//! authority.rs       the Console's own CA, its rotation
//! enroll/            install bundles and certificates for Defenders
//! alerts/            what people should see to, and how they hear of it
//! meet/              custom certificates of the Defender listener against what Defenders have and expect
//! metrics/           what is counted while it runs
//! names.rs           names in self-signed certificates that administrators add
//! refusals/          who was refused at the Defender listener, and why
//! public_url.rs      the URL that users reach the Console by
//! door.rs            who may wait at a listener
//! announced.rs       PROXY protocol: for whom a proxy connects
//! sockets.rs         the listening sockets
//! network.rs         whom an address stands for
//! store/             what survives a restart
//! backup/            copies of it, made and put back
//! access/            users, passwords, tokens, and what slows down guessing
//! web/               the HTTPS listener (8083)
//! ```

pub mod access;
pub mod alerts;
pub mod announced;
pub mod app;
pub mod authority;
pub mod backup;
pub mod channels;
pub mod cli;
pub mod cmd;
pub mod config;
pub mod door;
pub mod enroll;
pub mod fleet;
pub mod gateway;
pub mod meet;
pub mod metrics;
pub mod names;
mod network;
pub mod public_url;
pub mod refusals;
mod sockets;
pub mod store;
pub mod web;
