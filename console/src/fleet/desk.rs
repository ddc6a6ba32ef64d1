//! The commands that one session was asked to send, and who waits for their results.
//!
//! There is one only while a command is under way: a session of which nobody wants anything costs nothing. What a
//! Defender sends is matched by the command's id; what nobody waits for any more is dropped.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::command::{Failure, LOG, MOST_AT_ONCE};
use protocol::message::{Command, CommandResult};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use thiserror::Error;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::handle::SessionHandle;

/// Why a command came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// Too many commands are under way.
    #[error("this Defender is busy with {MOST_AT_ONCE} other commands; try again in a moment")]
    Busy,
    /// The session has ended before the answer.
    #[error("the Defender's connection ended before it answered; look whether it is connected and try again")]
    Gone,
    /// The Defender's answer is none.
    #[error("the Defender's answer cannot be used; see that its version is the Console's")]
    Nonsense,
    /// The Defender has no session.
    #[error(
        "the Defender is not connected; it can be reached once it is back: `defender status` on its host says why it \
         is not"
    )]
    NotConnected,
    /// The Defender says no.
    #[error("the Defender refuses: {0}")]
    Refused(String),
    /// The Defender has no such command.
    #[error("this Defender is too old for that; install the Console's version on its host")]
    TooOld,
    /// There was no answer in time.
    #[error("the Defender did not answer within {} s; see its load, and try again", .0.as_secs())]
    TimedOut(Duration),
}

/// What is to be sent, and who waits.
#[derive(Debug, Default)]
pub(super) struct Desk {
    queue: VecDeque<Command>,
    /// What was not answered yet.
    open: HashMap<Uuid, Open>,
}

/// A command that is not answered yet.
#[derive(Debug)]
struct Open {
    /// `None` when nobody waits any more. The Defender still works on it.
    waiting: Option<oneshot::Sender<CommandResult>>,
    /// From then on it will not be answered any more.
    until: Instant,
}

/// Waits for one result; forgets the command when it is dropped.
struct Ticket {
    session: Arc<SessionHandle>,
    id: Uuid,
}

impl Desk {
    fn add(
        &mut self,
        command: Command,
        patience: Duration,
    ) -> Result<oneshot::Receiver<CommandResult>, CommandError> {
        let now = Instant::now();
        self.open.retain(|_, open| open.until > now);
        // However many read its log: a Defender can still be told what to do.
        let most = if command.name == LOG { MOST_AT_ONCE - RESERVED } else { MOST_AT_ONCE };
        if self.open.len() >= most {
            return Err(CommandError::Busy);
        }
        let (sender, receiver) = oneshot::channel();
        self.open.insert(command.id, Open { waiting: Some(sender), until: now + patience + LATE });
        self.queue.push_back(command);
        Ok(receiver)
    }

    /// The next command to be sent.
    fn next(&mut self) -> Option<Command> {
        self.queue.pop_front()
    }

    /// Hands a result to who waits for it. `false` when it was not asked for.
    fn answer(&mut self, result: CommandResult) -> bool {
        let Some(open) = self.open.remove(&result.id) else { return false };
        if let Some(waiting) = open.waiting {
            let _ = waiting.send(result);
        }
        true
    }

    /// Nobody waits for it any more.
    fn forget(&mut self, id: Uuid) {
        let queued = self.queue.len();
        self.queue.retain(|command| command.id != id);
        if self.queue.len() < queued {
            self.open.remove(&id);
        } else if let Some(open) = self.open.get_mut(&id) {
            open.waiting = None;
        }
    }

    fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.session.at_desk(|desk| desk.forget(self.id));
    }
}

impl SessionHandle {
    /// Has the Defender carry out a command, and waits for its answer at most `patience`.
    ///
    /// # Errors
    /// [`CommandError`]. Cancel-safe: a command that was not sent yet is forgotten.
    pub async fn command<A: Serialize, R: DeserializeOwned>(
        self: &Arc<Self>,
        name: &str,
        args: &A,
        patience: Duration,
    ) -> Result<R, CommandError> {
        let args = to_raw_value(args).unwrap_or_else(|_| RawValue::NULL.to_owned());
        let command = Command { id: Uuid::new_v4(), name: name.to_owned(), args };
        let ticket = Ticket { session: Arc::clone(self), id: command.id };
        let receiver = self.at_desk(|desk| desk.add(command, patience)).ok_or(CommandError::Gone)??;
        self.wake();
        let result = tokio::time::timeout(patience, receiver).await;
        drop(ticket);
        judge(&result.map_err(|_| CommandError::TimedOut(patience))?.map_err(|_| CommandError::Gone)?)
    }

    /// Works at the desk; `None` once the session has ended.
    fn at_desk<T>(&self, work: impl FnOnce(&mut Desk) -> T) -> Option<T> {
        let mut place = self.desk();
        let desk = place.open()?;
        let done = work(desk);
        if desk.is_empty() {
            place.clear();
        }
        Some(done)
    }

    /// The next command to be sent.
    pub fn next_command(&self) -> Option<Command> {
        self.desk().peek()?.next()
    }

    /// Takes a result. `false` when it was not asked for.
    pub fn answer(&self, result: CommandResult) -> bool {
        self.at_desk(|desk| desk.answer(result)).unwrap_or(false)
    }

    /// The session has ended: who waits is told so.
    pub fn hang_up(&self) {
        self.desk().close();
    }
}

fn judge<R: DeserializeOwned>(result: &CommandResult) -> Result<R, CommandError> {
    if result.ok {
        return serde_json::from_str(result.body.get()).map_err(|_| CommandError::Nonsense);
    }
    let failure: Failure = serde_json::from_str(result.body.get())
        .map_err(|_| CommandError::Refused("it does not say why".to_owned()))?;
    if failure.is_unknown() {
        return Err(CommandError::TooOld);
    }
    // A Defender may say anything.
    let text = failure.error.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect();
    Err(CommandError::Refused(text))
}

/// Where a session's desk is, if it has one.
#[derive(Debug, Default)]
pub(super) enum Place {
    /// The session has ended.
    Closed,
    /// Nobody wants anything.
    #[default]
    Free,
    /// Somebody waits.
    Taken(Box<Desk>),
}

impl Place {
    fn open(&mut self) -> Option<&mut Desk> {
        if matches!(self, Self::Free) {
            *self = Self::Taken(Box::default());
        }
        self.peek()
    }

    fn peek(&mut self) -> Option<&mut Desk> {
        match self {
            Self::Taken(desk) => Some(desk),
            Self::Closed | Self::Free => None,
        }
    }

    fn clear(&mut self) {
        *self = Self::Free;
    }

    fn close(&mut self) {
        *self = Self::Closed;
    }
}

/// Commands that are not about the log have this many places for themselves.
const RESERVED: usize = 4;

/// A result that comes later than this after its time never comes.
const LATE: Duration = Duration::from_secs(30);

/// Of what a Defender says of a refusal, in characters.
const LONGEST_REASON: usize = 200;

#[cfg(test)]
mod tests;
