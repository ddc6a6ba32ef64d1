//! The log of a Defender as a file: read page by page over its connection. As it grows: `tail.rs`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use protocol::command::{LOG, LogArgs, LogPage};
use serde::Deserialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::AppState;
use super::auth::LogReader;
use super::defenders::UNKNOWN;
use super::error::ApiError;
use super::input::{Id, Parameters};
use crate::fleet::{CommandError, SessionHandle};

/// Parameters of the download.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Amount {
    /// How many of the newest lines, 1000 unless told.
    #[param(minimum = 1, maximum = 100_000)]
    lines: Option<u64>,
}

/// The newest lines of a Defender's own log as a file, for administrators, operators and auditors. A Defender keeps about
/// 4 MiB, from the start of its process.
#[utoipa::path(get, path = "/defenders/{id}/log", tag = "defenders", operation_id = "log",
    params(("id" = uuid::Uuid, Path), Amount),
    responses((status = 200, description = "One line an event, oldest first", body = String,
            content_type = "text/plain"),
        (status = 404, description = "No such Defender, or decommissioned"),
        (status = 409, description = "The Defender is not connected, too old, or refuses; see `type`"),
        (status = 502, description = "The Defender's answer cannot be used"),
        (status = 504, description = "The Defender did not answer in time")))]
pub(super) async fn download(
    _: LogReader,
    Id(id): Id,
    Parameters(Amount { lines }): Parameters<Amount>,
    State(state): State<AppState>,
) -> Result<impl IntoResponse, ApiError> {
    let lines = amount(lines, DEFAULT_LINES)?;
    let defender = state.fleet.get(id).ok_or(UNKNOWN)?;
    let text = read(&state.fleet.session(id)?, lines).await?;
    let name = file_name(&defender.hostname, OffsetDateTime::now_utc());
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, text))
}

/// The number of lines asked for.
pub(super) fn amount(lines: Option<u64>, default: u64) -> Result<u64, ApiError> {
    match lines.unwrap_or(default) {
        lines @ 1..=MOST_LINES => Ok(lines),
        _ => Err(ApiError::BadRequest(format!("lines is a number from 1 to {MOST_LINES}"))),
    }
}

/// Asks for one page, and sees that it is one that follows.
pub(super) async fn page(
    session: &Arc<SessionHandle>,
    args: &LogArgs,
    patience: Duration,
) -> Result<LogPage, CommandError> {
    let page: LogPage = session.command(LOG, args, patience).await?;
    let is_same = args.boot == Some(page.boot);
    let mut last = args.after.filter(|_| is_same).unwrap_or(0);
    for line in &page.lines {
        if line.n <= last {
            return Err(CommandError::Nonsense);
        }
        last = line.n;
    }
    // Who names no line that follows would be asked for the same again and again.
    let follows = page.lines.last().map_or(page.next >= last && !page.more, |line| page.next == line.n);
    if follows { Ok(page) } else { Err(CommandError::Nonsense) }
}

async fn read(session: &Arc<SessionHandle>, lines: u64) -> Result<String, CommandError> {
    let mut args = LogArgs { lines: Some(lines), ..LogArgs::default() };
    let (mut text, mut left) = (String::new(), lines);
    loop {
        let page = page(session, &args, PATIENCE).await?;
        if page.dropped > 0 {
            let _ = writeln!(text, "… {} earlier lines are not kept any more", page.dropped);
        }
        for line in &page.lines {
            left = left.saturating_sub(1);
            text.push_str(&one_line(&line.text));
            text.push('\n');
        }
        if !page.more || left == 0 || text.len() > MOST_BYTES {
            return Ok(text);
        }
        args = LogArgs { after: Some(page.next), boot: Some(page.boot), ..LogArgs::default() };
    }
}

/// Whatever a Defender sends is one line, and does nothing to a terminal.
pub(super) fn one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        line
    })
}

/// A host name comes from its host, and may be anything.
fn file_name(hostname: &str, now: OffsetDateTime) -> String {
    let time =
        now.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap_or_default();
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let host: String = hostname.chars().filter(is_plain).take(64).collect();
    format!("defender-{host}-{time}.log")
}

const DEFAULT_LINES: u64 = 1000;
const MOST_LINES: u64 = 100_000;

/// How long a Defender may take for a page.
const PATIENCE: Duration = Duration::from_secs(10);

/// Four times what a Defender keeps: one that sends more has other things in mind.
const MOST_BYTES: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_hostile_host_name_makes_a_plain_file_name() {
        let now = datetime!(2026-11-22 17:37:46 UTC);
        assert_eq!(file_name("web-1.example", now), "defender-web-1.example-20261122T173746Z.log");
        assert_eq!(file_name("a\"\r\n/../ä;b", now), "defender-a..b-20261122T173746Z.log");
    }

    #[test]
    fn a_line_stays_one_line_and_does_nothing_to_a_terminal() {
        assert_eq!(one_line("a\nb\u{1b}[2Jc ä"), "a\\nb\\u{1b}[2Jc ä");
    }
}
