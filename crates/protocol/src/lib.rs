//! What a Defender and the Console say to each other over the WebSocket (contract section 4).
//!
//! ```text
//! message.rs   every message, both directions
//! command.rs   the commands in them: names, arguments, results
//! codec.rs     message <-> WebSocket payload: JSON text, or zstd-compressed JSON for large ones; size limits
//! close.rs     close codes, and what the peer must do about each
//! object.rs    structs from JSON objects only
//! version.rs   which Defender versions a Console serves
//! ```
//!
//! No I/O lives here: `console/src/gateway` and `defender/src/session.rs` carry the payloads.

pub mod close;
pub mod codec;
pub mod command;
pub mod message;
pub mod object;
pub mod version;

pub use close::Close;
pub use codec::{DecodeError, Payload, decode, encode};
pub use message::{ToConsole, ToDefender};
pub use version::Version;

use std::time::Duration;

/// Path of the WebSocket on the Defender listener.
pub const PATH: &str = "/defender/v1/connect";

/// Value of `Sec-WebSocket-Protocol` that both sides must name.
pub const SUBPROTOCOL: &str = "defender.v1";

/// Header of the Console's answer to a request on the Defender listener that is no upgrade: its version.
pub const VERSION_HEADER: &str = "Garrison-Version";

/// Largest message after `welcome`, also once decompressed, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Largest message before `welcome`, also once decompressed, in bytes.
pub const MAX_HELLO_BYTES: usize = 16 * 1024;

/// How long each of the TLS handshake, the upgrade and `hello` may take.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How many heartbeats in a row may go unanswered before a peer counts as gone.
pub const MISSED_HEARTBEATS: u32 = 2;
