//! The commands that a Console may give: their names, arguments and results. How they travel is in `message.rs`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Reads the Defender's own log: [`LogArgs`] -> [`LogPage`].
pub const LOG: &str = "log";

/// Starts the Defender afresh; no arguments. It is answered before the session ends.
pub const RESTART: &str = "restart";

/// The longest that a Defender waits for a line, in seconds.
pub const MOST_WAIT_SECONDS: u64 = 30;

/// How many commands a Defender carries out side by side; it refuses more.
pub const MOST_AT_ONCE: usize = 16;

/// Which lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogArgs {
    /// Begin with the line that follows this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The process that `after` counts lines of; another one begins with its first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<Uuid>,
    /// Without `after`: begin so many lines before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// How long to wait for a line when there is none, at most [`MOST_WAIT_SECONDS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<u64>,
}

/// Some lines in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// The process whose lines they are.
    pub boot: Uuid,
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// `after` of the next page.
    pub next: u64,
    /// How many lines before these were asked for and are not kept any more.
    #[serde(default)]
    pub dropped: u64,
    /// Whether there are more already.
    #[serde(default)]
    pub more: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number in this process, from 1.
    pub n: u64,
    /// The line.
    pub text: String,
}

/// The body of a result that is not `ok`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Why, in words.
    pub error: String,
}

impl Failure {
    /// What a Defender says to a command that it does not know.
    #[must_use]
    pub fn unknown(name: &str) -> Self {
        Self { error: format!("{UNKNOWN} {name}") }
    }

    /// Whether the command is not known to the Defender, which then is too old for it.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.error.starts_with(UNKNOWN)
    }
}

const UNKNOWN: &str = "unknown command";
