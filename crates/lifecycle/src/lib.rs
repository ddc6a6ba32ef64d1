//! What both programs need in order to start and stop well; nothing here knows what they do.
//!
//! ```text
//! logging.rs      the contract's log lines (section 3)
//! stderr.rs       lines written in batches
//! journal.rs      the newest of them, in memory
//! signal.rs       SIGTERM and SIGINT -> a shutdown token
//! tasks.rs        named tasks, one owner, drain with a deadline
//! backoff.rs      delays between attempts, pure
//! atomic.rs       small files written whole or not at all
//! duration.rs     `250ms`, `10s`, `5m`, `24h`, `30d`
//! instance.rs     one program per data directory
//! service.rs      ready, stopping: for systemd
//! descriptors.rs  the limit of open files, raised at start
//! random.rs       the system's randomness
//! ```

pub mod atomic;
pub mod backoff;
pub mod descriptors;
pub mod duration;
pub mod instance;
pub mod journal;
pub mod logging;
pub mod random;
pub mod service;
pub mod signal;
mod stderr;
pub mod tasks;

pub use backoff::Backoff;
pub use instance::{Instance, InstanceError};
pub use journal::Journal;
pub use tasks::Tasks;
