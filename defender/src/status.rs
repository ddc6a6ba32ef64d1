//! What `defender status` is told: the running Defender keeps `status.json` in its data directory, this file writes
//! it, and judges it for the probe.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lifecycle::atomic::{self, Durability};
use lifecycle::logging::error_chain;
use lifecycle::{Instance, service};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How the Defender stands with its Console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The Console's address, as configured.
    pub address: String,
    /// Whether a session is up.
    pub connected: bool,
    /// How often the Console must be heard, in seconds.
    pub heartbeat_seconds: u64,
    /// The last fault, also one that is over.
    pub last_error: Option<Fault>,
    /// When the Console was last heard.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_heard: Option<OffsetDateTime>,
    /// The running process.
    pub pid: u32,
    /// Since when `connected` is as it is.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What, and what to do about it.
    pub text: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
}

/// The writer half: every change reaches the file soon, the newest state wins.
#[derive(Debug, Clone)]
pub struct Board(watch::Sender<Status>);

impl Board {
    /// A Defender that has just started.
    #[must_use]
    pub fn new(address: &str, now: OffsetDateTime) -> Self {
        Self(watch::Sender::new(Status {
            address: address.to_owned(),
            connected: false,
            heartbeat_seconds: 0,
            last_error: None,
            last_heard: None,
            pid: std::process::id(),
            since: now,
        }))
    }

    /// A session is up, perhaps beside an older one.
    pub fn connected(&self, heartbeat_seconds: u64, now: OffsetDateTime) {
        self.0.send_modify(|status| {
            if !status.connected {
                status.since = now;
            }
            status.connected = true;
            status.heartbeat_seconds = heartbeat_seconds;
            status.last_heard = Some(now);
        });
    }

    /// The Console was heard.
    pub fn heard(&self, now: OffsetDateTime) {
        self.0.send_modify(|status| status.last_heard = Some(now));
    }

    /// The last session is gone.
    pub fn disconnected(&self, fault: String, now: OffsetDateTime) {
        self.0.send_modify(|status| {
            if status.connected {
                status.since = now;
            }
            status.connected = false;
            status.last_error = Some(Fault { text: fault, time: now });
        });
    }

    /// Something went wrong that does not end a session.
    pub fn fault(&self, text: String, now: OffsetDateTime) {
        self.0.send_modify(|status| status.last_error = Some(Fault { text, time: now }));
    }

    /// The newest state, and every later one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }
}

/// Keeps the file of `data_dir` up to date until `shutdown`.
pub async fn keep(board: Board, data_dir: PathBuf, shutdown: CancellationToken) {
    let mut status = board.subscribe();
    let mut failed = false;
    save(&mut status, &data_dir, &mut failed).await;
    // `defender status` has an answer from here on.
    service::ready();
    loop {
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = shutdown.cancelled() => return,
        }
        save(&mut status, &data_dir, &mut failed).await;
    }
}

/// Writes the newest state. Of failures in a row the first is told.
async fn save(status: &mut watch::Receiver<Status>, data_dir: &Path, failed: &mut bool) {
    let newest = status.borrow_and_update().clone();
    let dir = data_dir.to_owned();
    let written = tokio::task::spawn_blocking(move || write(&dir, &newest)).await;
    match written {
        Ok(Err(error)) if !*failed => {
            *failed = true;
            tracing::warn!(
                path = %data_dir.join(FILE).display(),
                error = error_chain(&error),
                remedy = "make room in the data directory and keep it writable",
                "Cannot write the state that `defender status` reads"
            );
        }
        Ok(Ok(())) => *failed = false,
        _ => {}
    }
}

/// Writes the file now.
///
/// # Errors
/// What the system says.
pub fn write(data_dir: &Path, status: &Status) -> std::io::Result<()> {
    let mut json = serde_json::to_vec_pretty(status)?;
    json.push(b'\n');
    atomic::write(&data_dir.join(FILE), &json, Durability::Rename)
}

/// One line for a person, and whether the Defender of `data_dir` is connected.
#[must_use]
pub fn judge(data_dir: &Path, now: OffsetDateTime) -> (bool, String) {
    let (connected, line) = look(data_dir, now);
    (connected, one_line(&line))
}

fn look(data_dir: &Path, now: OffsetDateTime) -> (bool, String) {
    let path = data_dir.join(FILE);
    let status = std::fs::read(&path);
    if let Some(line) = status.as_ref().err().and_then(|error| forbidden(data_dir, error)) {
        return (false, line);
    }
    if !Instance::is_held(data_dir) {
        let dir = data_dir.display();
        return (
            false,
            format!("not running: no Defender uses {dir}; start it, or name its directory with --data-dir"),
        );
    }
    let status = status
        .map_err(|error| error.to_string())
        .and_then(|json| serde_json::from_slice::<Status>(&json).map_err(|error| error.to_string()));
    match status {
        Ok(status) => describe(&status, now),
        Err(error) => {
            (false, format!("unknown: {} cannot be read ({error}); it is written at start", path.display()))
        }
    }
}

/// Who may not read the file cannot see either whether a Defender runs.
fn forbidden(data_dir: &Path, error: &std::io::Error) -> Option<String> {
    (error.kind() == std::io::ErrorKind::PermissionDenied).then(|| {
        format!(
            "unknown: this user may not read {} ({error}); ask as the user that the Defender runs as, or as root",
            data_dir.join(FILE).display()
        )
    })
}

/// A cause may come from the other side: it must neither end the line nor turn its direction.
pub(crate) fn one_line(text: &str) -> String {
    let is_unsafe =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if is_unsafe(c) {
            line.extend(c.escape_default())
        } else {
            line.push(c)
        }
        line
    })
}

/// Pure part of [`judge`].
fn describe(status: &Status, now: OffsetDateTime) -> (bool, String) {
    let Status { address, since, .. } = status;
    let since = rfc3339(*since);
    if !status.connected {
        let cause = match &status.last_error {
            Some(fault) => format!("{} ({})", fault.text, rfc3339(fault.time)),
            None => "the first attempt is under way".to_owned(),
        };
        return (false, format!("not connected to {address} since {since}: {cause}"));
    }
    let silence = status.last_heard.map(|heard| now - heard).unwrap_or(time::Duration::MAX);
    if silence > fresh_for(status.heartbeat_seconds) {
        let seconds = silence.whole_seconds();
        return (
            false,
            format!(
                "not connected to {address}: the Defender (process {}) has written nothing for {seconds} s; it hangs \
                 or cannot write its data directory: see its log, then restart it",
                status.pid
            ),
        );
    }
    (true, format!("connected to {address} since {since}"))
}

/// Two and a half heartbeats: after two the Defender itself gives up on a silent Console.
fn fresh_for(heartbeat_seconds: u64) -> Duration {
    Duration::from_secs(heartbeat_seconds).saturating_mul(5) / 2
}

fn rfc3339(time: OffsetDateTime) -> String {
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    whole.format(&time::format_description::well_known::Rfc3339).unwrap_or_else(|_| time.to_string())
}

const FILE: &str = "status.json";

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const START: OffsetDateTime = datetime!(2026-11-22 12:00:00 UTC);

    fn at(seconds: i64) -> OffsetDateTime {
        START + time::Duration::seconds(seconds)
    }

    #[test]
    fn connected_counts_for_two_and_a_half_heartbeats_after_the_console_was_heard() {
        let board = Board::new("wss://console", START);
        board.connected(30, at(10));
        board.heard(at(40));
        let status = board.subscribe().borrow().clone();
        assert_eq!(
            describe(&status, at(115)),
            (true, "connected to wss://console since 2026-11-22T12:00:10Z".to_owned())
        );
        let (connected, line) = describe(&status, at(116));
        assert!(!connected && line.contains("has written nothing for 76 s"), "{line}");
    }

    #[test]
    fn the_cause_of_a_lost_connection_is_told_with_its_time() {
        let board = Board::new("wss://console", START);
        assert!(describe(&board.subscribe().borrow(), at(1)).1.contains("first attempt"));
        board.connected(30, at(5));
        board.connected(30, at(6));
        board.disconnected("connection refused".to_owned(), at(7));
        board.fault("no route".to_owned(), at(9));
        let (connected, line) = describe(&board.subscribe().borrow(), at(10));
        assert!(!connected);
        assert_eq!(
            line,
            "not connected to wss://console since 2026-11-22T12:00:07Z: no route (2026-11-22T12:00:09Z)"
        );
    }

    #[test]
    fn a_directory_that_nobody_holds_is_not_connected_whatever_the_file_says() {
        let dir = tempfile::tempdir().expect("directory");
        let board = Board::new("wss://console", START);
        board.connected(30, START);
        write(dir.path(), &board.subscribe().borrow()).expect("written");
        let (connected, line) = judge(dir.path(), START);
        assert!(!connected && line.starts_with("not running"), "{line}");
        let _held = Instance::take(dir.path()).expect("free");
        assert!(judge(dir.path(), START).0);
        std::fs::write(dir.path().join(FILE), "{").expect("written");
        let (connected, line) = judge(dir.path(), START);
        assert!(!connected && line.starts_with("unknown"), "{line}");
    }

    #[test]
    fn who_may_not_read_the_directory_is_not_told_that_nothing_runs() {
        let denied = std::io::ErrorKind::PermissionDenied.into();
        let line = forbidden(Path::new("/data"), &denied).expect("told");
        assert!(line.starts_with("unknown: this user may not read /data/status.json"), "{line}");
        assert_eq!(forbidden(Path::new("/data"), &std::io::ErrorKind::NotFound.into()), None);
    }

    #[test]
    fn the_answer_is_one_line_whatever_the_console_says() {
        let dir = tempfile::tempdir().expect("directory");
        let _held = Instance::take(dir.path()).expect("free");
        let board = Board::new("wss://console", START);
        board.disconnected("closed (a\nconnected\u{1b}[2J)".to_owned(), START);
        write(dir.path(), &board.subscribe().borrow()).expect("written");
        let (connected, line) = judge(dir.path(), START);
        assert!(!connected && line.contains("(a\\nconnected\\u{1b}[2J)"), "{line}");
        assert!(!line.contains(char::is_control), "{line}");
    }
}
