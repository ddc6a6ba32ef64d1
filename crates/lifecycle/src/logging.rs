//! The contract's log lines (section 3) on standard error, as text or as JSON, one line an event:
//!
//! ```text
//! INFO 2026-11-22T17:37:46.645 app.rs:45 Console is ready https=[::]:8083 defender=[::]:8084
//! ```
//!
//! `CRIT`, the error that ends a start, is an error event with the target [`CRIT`]. Whatever a peer or a file
//! put into a field is escaped, so that it can neither break a line nor forge one.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io;
use std::str::FromStr;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::MakeWriterExt as _;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::journal::Journal;
use crate::stderr::{self, Batches};

/// Target of the events that render as `CRIT`: `tracing::error!(target: logging::CRIT, …)`.
pub const CRIT: &str = "crit";

/// The least important events that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything: one line a message or handshake.
    Debug,
    /// Only what a person must act on.
    Error,
    /// Life events: start, rotation, connect, stop.
    Info,
    /// What is degraded, and errors.
    Warn,
}

impl FromStr for LogLevel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "debug" => Ok(Self::Debug),
            "error" => Ok(Self::Error),
            "info" => Ok(Self::Info),
            "warn" => Ok(Self::Warn),
            _ => Err("choose debug, info, warn or error"),
        }
    }
}

/// The shape of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for programs.
    Json,
    /// The contract's text, for people.
    Text,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("choose text or json"),
        }
    }
}

/// Starts logging to standard error: `ours` (crate names) from `level` on, everything else from `warn` on.
/// Does nothing when logging was started before.
pub fn start(level: LogLevel, format: LogFormat, ours: &[&str]) {
    start_with(level, format, ours, stderr::Lines(Batches::shared()));
}

/// As [`start`], and keeps each line in `journal` too.
pub fn start_keeping(level: LogLevel, format: LogFormat, ours: &[&str], journal: Journal) {
    let keep = move || Kept(journal.clone());
    start_with(level, format, ours, keep.and(stderr::Lines(Batches::shared())));
}

fn start_with<W>(level: LogLevel, format: LogFormat, ours: &[&str], writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
    };
    let targets = ["certs", "lifecycle", "protocol", CRIT].iter().chain(ours).map(|name| (*name, level));
    // A watch on a folder that is gone is nothing to act on: the watcher renews its watches at each look.
    let filter = Targets::new()
        .with_targets(targets)
        .with_target("notify", level.min(LevelFilter::ERROR))
        .with_default(level.min(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer().event_format(Lines(format)).with_writer(writer);
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    // A panic is one line like everything else; which task it ended, `tasks.rs` says.
    std::panic::set_hook(Box::new(|panic| tracing::error!(target: "lifecycle", "Internal error: {panic}")));
}

/// Writes out every line that was logged so far. The last thing that a program does; errors need it not.
pub fn flush() {
    Batches::shared().flush();
}

/// Writes one whole line at a time into the journal.
struct Kept(Journal);

impl io::Write for Kept {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        String::from_utf8_lossy(data).lines().for_each(|line| self.0.add(line));
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Renders events.
struct Lines(LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let line = match self.0 {
            LogFormat::Json => json(event, OffsetDateTime::now_utc()),
            LogFormat::Text => text(event, OffsetDateTime::now_utc()),
        };
        writer.write_str(&line)
    }
}

fn text(event: &Event<'_>, now: OffsetDateTime) -> String {
    let mut parts = TextParts::default();
    event.record(&mut parts);
    let mut line = String::with_capacity(PLENTY + parts.message.len() + parts.fields.len());
    line.push_str(level_name(event));
    line.push(' ');
    push_timestamp(&mut line, now);
    line.push(' ');
    push_source(&mut line, event);
    for part in [" ", &parts.message, &parts.fields, "\n"] {
        line.push_str(part);
    }
    line
}

fn json(event: &Event<'_>, now: OffsetDateTime) -> String {
    let mut object = Map::new();
    object.insert("level".to_owned(), level_name(event).into());
    let (mut time, mut source) = (String::new(), String::new());
    push_timestamp(&mut time, now);
    time.push('Z');
    push_source(&mut source, event);
    object.insert("time".to_owned(), time.into());
    object.insert("source".to_owned(), source.into());
    let mut parts = JsonParts(object);
    event.record(&mut parts);
    format!("{}\n", Value::Object(parts.0))
}

fn level_name(event: &Event<'_>) -> &'static str {
    let metadata = event.metadata();
    match *metadata.level() {
        Level::ERROR if metadata.target() == CRIT => "CRIT",
        Level::ERROR => "ERRO",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBU",
    }
}

/// `2026-11-22T17:37:46.645`. By hand: each line has one, and a general formatter takes longer than the rest.
fn push_timestamp(line: &mut String, now: OffsetDateTime) {
    let (hour, minute, second, millisecond) = now.time().as_hms_milli();
    let parts = [
        ("", now.year().unsigned_abs(), 4),
        ("-", u8::from(now.month()).into(), 2),
        ("-", now.day().into(), 2),
        ("T", hour.into(), 2),
        (":", minute.into(), 2),
        (":", second.into(), 2),
        (".", millisecond.into(), 3),
    ];
    for (separator, number, digits) in parts {
        line.push_str(separator);
        for place in (0..digits).rev() {
            line.push(char::from_digit(number / 10_u32.pow(place) % 10, 10).unwrap_or('0'));
        }
    }
}

/// `file.rs:45`, without the folders.
fn push_source(line: &mut String, event: &Event<'_>) {
    // Dependencies that speak through the `log` crate carry their place in fields.
    let normalized = event.normalized_metadata();
    let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
    let file = metadata.file().unwrap_or("unknown");
    let _ = write!(line, "{}:{}", file.rsplit('/').next().unwrap_or(file), metadata.line().unwrap_or(0));
}

/// The message, and the other fields as ` key=value`.
#[derive(Default)]
struct TextParts {
    message: String,
    fields: String,
}

impl TextParts {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = escape_controls(value);
        } else if !field.name().starts_with("log.") {
            let _ = write!(self.fields, " {}={}", field.name(), quote_if_needed(value));
        }
    }
}

impl Visit for TextParts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, &error_chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// The fields as members of one object.
struct JsonParts(Map<String, Value>);

impl JsonParts {
    fn add(&mut self, field: &Field, value: Value) {
        let name = field.name();
        if self.0.contains_key(name) {
            // It has the name of what every line has.
            self.0.insert(format!("fields.{name}"), value);
        } else if !name.starts_with("log.") {
            self.0.insert(name.to_owned(), value);
        }
    }
}

impl Visit for JsonParts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, error_chain(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }
}

/// An error and its causes, `what failed: why: why`.
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

fn escape_controls(text: &str) -> String {
    if !text.chars().any(is_unsafe) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut safe, c| {
        if is_unsafe(c) {
            safe.extend(c.escape_default())
        } else {
            safe.push(c)
        }
        safe
    })
}

fn quote_if_needed(value: &str) -> Cow<'_, str> {
    let plain = !value.is_empty() && !value.chars().any(|c| is_unsafe(c) || matches!(c, ' ' | '"' | '='));
    if plain { Cow::Borrowed(value) } else { Cow::Owned(format!("{value:?}")) }
}

/// Control characters, and those that end a line or turn the direction of text in some terminals.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes of a line before its message, and some more.
const PLENTY: usize = 64;

#[cfg(test)]
mod tests;
