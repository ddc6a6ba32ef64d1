//! What the Console may ask for over a session: the log of this process, and a fresh start.
//!
//! Commands are carried out side by side and beside the session, which goes on to hear and to report. Names,
//! arguments and results are in `protocol::command`. Nothing here logs: a reader of the log would read of himself.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lifecycle::Journal;
use protocol::command::{Failure, LOG, LogArgs, LogLine, LogPage, MOST_AT_ONCE, MOST_WAIT_SECONDS, RESTART};
use protocol::message::{Command, CommandResult};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Carries out commands. Clones do the same.
#[derive(Debug, Clone)]
pub struct Commands {
    journal: Journal,
    boot: Uuid,
    /// Cancelled when the program is to start afresh.
    restart: CancellationToken,
}

/// A result, and what is to happen once it has been sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) result: CommandResult,
    pub(crate) then: Then,
}

/// What follows an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing.
    GoOn,
    /// A fresh start.
    Restart,
}

impl Commands {
    /// `boot` is new with each process; `restart` is cancelled when the Console asks for a fresh start.
    #[must_use]
    pub fn new(journal: Journal, boot: Uuid, restart: CancellationToken) -> Self {
        Self { journal, boot, restart }
    }

    /// Which process this is.
    #[must_use]
    pub fn boot(&self) -> Uuid {
        self.boot
    }

    /// To be called once an answer has gone out.
    pub(crate) fn answered(&self, then: Then) {
        if then == Then::Restart {
            self.restart.cancel();
        }
    }

    /// Carries out `commands` until it is dropped, at most [`MOST_AT_ONCE`] side by side.
    pub(crate) async fn run(
        self,
        mut commands: mpsc::Receiver<Command>,
        answers: mpsc::Sender<Answer>,
    ) -> Infallible {
        let mut working = FuturesUnordered::new();
        loop {
            let answer = tokio::select! {
                Some(command) = commands.recv() => {
                    if working.len() < MOST_AT_ONCE {
                        working.push(self.carry_out(command));
                        continue;
                    }
                    let error = format!("this Defender carries out {MOST_AT_ONCE} commands already; try again");
                    Answer::new(command.id, &Err::<Nothing, _>(Failure { error }))
                }
                Some(answer) = working.next(), if !working.is_empty() => answer,
                else => std::future::pending().await,
            };
            // A Console that does not read its results waits for the next ones.
            let _ = answers.send(answer).await;
        }
    }

    async fn carry_out(&self, command: Command) -> Answer {
        match command.name.as_str() {
            LOG => Answer::new(command.id, &self.log(&command.args).await),
            RESTART => Answer { then: Then::Restart, ..Answer::new(command.id, &Ok(Nothing {})) },
            name => Answer::new(command.id, &Err::<Nothing, _>(Failure::unknown(name))),
        }
    }

    async fn log(&self, args: &RawValue) -> Result<LogPage, Failure> {
        let args: Option<LogArgs> = serde_json::from_str(args.get())
            .map_err(|error| Failure { error: format!("the arguments of {LOG} cannot be read: {error}") })?;
        let LogArgs { after, boot, lines, wait_seconds } = args.unwrap_or_default();
        let newest = self.journal.newest();
        let after = match after {
            // Numbers of another process say nothing here.
            Some(_) if boot.is_some_and(|boot| boot != self.boot) => 0,
            Some(after) => after.min(newest),
            None => newest.saturating_sub(lines.unwrap_or(newest)),
        };
        if let Some(seconds) = wait_seconds {
            let wait = Duration::from_secs(seconds.min(MOST_WAIT_SECONDS));
            let _ = tokio::time::timeout(wait, self.journal.beyond(after)).await;
        }
        let excerpt = self.journal.after(after, PAGE_BYTES);
        let next = excerpt.lines.last().map_or(excerpt.newest, |(number, _)| *number);
        let lines = excerpt.lines.into_iter().map(|(n, text)| LogLine { n, text }).collect();
        let more = next < excerpt.newest;
        Ok(LogPage { boot: self.boot, lines, next, dropped: excerpt.dropped, more })
    }
}

impl Answer {
    fn new<T: Serialize>(id: Uuid, outcome: &Result<T, Failure>) -> Self {
        let (ok, body) = match outcome {
            Ok(body) => (true, to_raw_value(body)),
            Err(failure) => (false, to_raw_value(failure)),
        };
        // Texts and numbers can always be written.
        let body = body.unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self { result: CommandResult { id, ok, body }, then: Then::GoOn }
    }
}

/// The body of a result that says no more than `ok`.
#[derive(Serialize)]
struct Nothing {}

/// Of text in one page. JSON escapes at most double it, so that a page fits a message.
const PAGE_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests;
