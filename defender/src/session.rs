//! One live session: heartbeats, reports and their acknowledgements, commands, and the close.
//!
//! Reading and writing go on side by side, so a Console that does not read cannot keep this side from hearing it.
//! How a session comes about is in `dial.rs`; what follows its end, in `link.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use lifecycle::logging::error_chain;
use protocol::message::{CertificateRequest, Command, Reconnect, Report};
use protocol::{Close, MAX_MESSAGE_BYTES, MISSED_HEARTBEATS, ToConsole, ToDefender};
use time::OffsetDateTime;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;

use crate::commands::{Answer, Commands};
use crate::dial::Dialed;
use crate::enrol::{self, Basis, Renewing, Word};
use crate::frame::{self, Socket};
use crate::outbox::Outbox;
use crate::own::OwnCertificate;
use crate::status::Board;
pub use ended::Ended;

mod ended;

/// A session that was welcomed and not yet begun.
#[derive(Debug)]
pub struct Session {
    socket: Socket,
    /// How often the Console pings.
    heartbeat: Duration,
    /// Where the Console is: reports behind this number are sent.
    last_seq: u64,
    outbox: Outbox,
    board: Board,
    commands: Commands,
    /// The Console's request to connect anew; one waits at most, more say nothing new.
    reconnects: mpsc::Sender<Reconnect>,
    /// Renews the certificate that the session runs on; `None`: it is not ours to renew.
    own: Option<(OwnCertificate, Basis)>,
}

impl Session {
    /// Takes over a dialed line.
    #[must_use]
    pub fn new(
        dialed: Dialed,
        outbox: Outbox,
        board: Board,
        commands: Commands,
        reconnects: mpsc::Sender<Reconnect>,
    ) -> Self {
        let Dialed { socket, welcome, .. } = dialed;
        Self {
            socket,
            heartbeat: Duration::from_secs(welcome.heartbeat_seconds),
            last_seq: welcome.last_seq,
            outbox,
            board,
            commands,
            reconnects,
            own: None,
        }
    }

    /// Asks for certificates when it is time.
    #[must_use]
    pub(crate) fn renewing(self, own: OwnCertificate, basis: Basis) -> Self {
        Self { own: Some((own, basis)), ..self }
    }

    /// Works until the session ends, or `retire` asks for a close in good order.
    pub async fn run(self, retire: CancellationToken) -> Ended {
        let (mut sink, mut stream) = self.socket.split();
        let (acknowledged, acknowledged_receiver) = watch::channel(self.last_seq);
        let (orders, orders_receiver) = mpsc::channel(WAITING);
        let (answers, answers_receiver) = mpsc::channel(WAITING);
        let working = self.commands.clone().run(orders_receiver, answers);
        let (words, words_receiver) = mpsc::channel(WORDS);
        let (requests, requests_receiver) = mpsc::channel(1);
        let renewing = self.own.map(|(own, basis)| Renewing { own, basis, requests, words: words_receiver });
        let mut reader = Reader {
            limit: self.heartbeat.saturating_mul(MISSED_HEARTBEATS),
            outbox: self.outbox.clone(),
            board: self.board,
            acknowledged,
            orders,
            reconnects: self.reconnects,
            words,
        };
        let writer = Writer {
            sink: &mut sink,
            outbox: self.outbox,
            sent: self.last_seq,
            in_flight: VecDeque::new(),
            acknowledged: acknowledged_receiver,
            answers: answers_receiver,
            commands: self.commands,
            requests: requests_receiver,
        };
        let ended = tokio::select! {
            ended = reader.run(&mut stream) => ended,
            error = writer.run() => Ended::lost(error),
            never = working => match never {},
            never = enrol::renew(renewing) => match never {},
            () = retire.cancelled() => Ended::Retired,
        };
        let closing = close(&mut sink, &mut stream, &mut reader, &ended);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
        ended
    }
}

/// Tells the Console, and reads what it still has to say: acknowledgements on the way count.
async fn close(
    sink: &mut SplitSink<Socket, Message>,
    stream: &mut SplitStream<Socket>,
    reader: &mut Reader,
    ended: &Ended,
) {
    let code = match ended {
        // The answer to its close frame is written, and only needs to go out.
        Ended::Closed { .. } => return drop(sink.flush().await),
        Ended::Lost(Some(tungstenite::Error::Capacity(_))) => Close::TooBig,
        Ended::Lost(Some(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_))) => Close::Malformed,
        Ended::Lost(_) | Ended::Silent(_) => return,
        Ended::Malformed(error) => error.close(),
        Ended::OutOfTurn => Close::Malformed,
        Ended::Retired => Close::Done,
    };
    let frame = CloseFrame { code: code.code().into(), reason: code.cause().into() };
    if sink.send(Message::Close(Some(frame))).await.is_ok() {
        reader.run(stream).await;
    }
}

/// The half that hears.
struct Reader {
    /// How long the Console may be silent.
    limit: Duration,
    outbox: Outbox,
    board: Board,
    acknowledged: watch::Sender<u64>,
    /// To those who carry them out beside this session.
    orders: mpsc::Sender<Command>,
    reconnects: mpsc::Sender<Reconnect>,
    words: mpsc::Sender<Word>,
}

impl Reader {
    async fn run(&mut self, stream: &mut SplitStream<Socket>) -> Ended {
        loop {
            let message = match tokio::time::timeout(self.limit, stream.next()).await {
                Err(_) => return Ended::Silent(self.limit),
                Ok(None) => return Ended::Lost(None),
                Ok(Some(Err(error))) => return Ended::lost(error),
                Ok(Some(Ok(message))) => message,
            };
            match &message {
                // The pong goes out with the next read, which follows at once.
                Message::Ping(_) => self.board.heard(OffsetDateTime::now_utc()),
                Message::Close(frame) => {
                    return match frame {
                        Some(frame) => Ended::Closed {
                            close: Close::from_code(frame.code.into()),
                            reason: frame.reason.to_string(),
                        },
                        None => Ended::Lost(None),
                    };
                }
                _ => {}
            }
            match frame::read(&message, MAX_MESSAGE_BYTES) {
                None => {}
                Some(Err(error)) => return Ended::Malformed(error),
                Some(Ok(message)) => {
                    if let Some(ended) = self.handle(message).await {
                        return ended;
                    }
                }
            }
        }
    }

    async fn handle(&mut self, message: ToDefender) -> Option<Ended> {
        match message {
            ToDefender::Ack(ack) => {
                self.outbox.acknowledge(ack.seq).await;
                self.acknowledged.send_if_modified(|seq| {
                    let rises = ack.seq > *seq;
                    *seq = ack.seq.max(*seq);
                    rises
                });
            }
            ToDefender::Command(command) => self.answer(command),
            ToDefender::Reconnect(reconnect) => {
                let _ = self.reconnects.try_send(reconnect);
            }
            ToDefender::Welcome(_) => return Some(Ended::OutOfTurn),
            ToDefender::Authorities(told) => self.pass_on(Word::Authorities(told)),
            ToDefender::Certificate(answer) => self.pass_on(Word::Certificate(answer)),
            ToDefender::Unknown => tracing::debug!("The Console sent a message of an unknown type"),
        }
        None
    }

    fn pass_on(&self, word: Word) {
        if self.words.try_send(word).is_err() {
            tracing::debug!("The Console says more about certificates than was asked for");
        }
    }

    /// Passes a command on: what it takes must not keep this side from hearing the Console.
    fn answer(&self, command: Command) {
        if let Err(TrySendError::Full(command)) = self.orders.try_send(command) {
            tracing::warn!(
                command = command.name,
                "The Console does not read the results of its commands: dropped"
            );
        }
    }
}

/// The half that speaks.
struct Writer<'a> {
    sink: &'a mut SplitSink<Socket, Message>,
    outbox: Outbox,
    /// The highest number that was sent, or need not be.
    sent: u64,
    /// Numbers sent and not acknowledged.
    in_flight: VecDeque<u64>,
    acknowledged: watch::Receiver<u64>,
    answers: mpsc::Receiver<Answer>,
    commands: Commands,
    requests: mpsc::Receiver<CertificateRequest>,
}

impl Writer<'_> {
    /// Works until the connection breaks.
    async fn run(mut self) -> tungstenite::Error {
        loop {
            if let Err(error) = self.step().await {
                return error;
            }
        }
    }

    async fn step(&mut self) -> Result<(), tungstenite::Error> {
        let mut stored = self.outbox.stored();
        let newest = *stored.borrow_and_update();
        let room = WINDOW - self.in_flight.len().min(WINDOW);
        if newest > self.sent && room > 0 {
            let reports = self.outbox.read_after(self.sent, room).await;
            if reports.is_empty() {
                // Acknowledged or dropped meanwhile.
                self.sent = newest;
            }
            return self.send(reports).await;
        }
        tokio::select! {
            changed = stored.changed(), if room > 0 => if changed.is_err() { std::future::pending().await },
            _ = self.acknowledged.changed() => self.forget_acknowledged(),
            Some(request) = self.requests.recv() => {
                self.send_one(&ToConsole::CertificateRequest(request)).await?;
            }
            Some(answer) = self.answers.recv() => self.send_answer(answer).await?,
        }
        Ok(())
    }

    /// Reports in order; results of commands do not wait for all of them.
    async fn send(&mut self, reports: Vec<Report>) -> Result<(), tungstenite::Error> {
        for report in reports {
            while let Ok(answer) = self.answers.try_recv() {
                self.send_answer(answer).await?;
            }
            let seq = report.seq;
            self.send_one(&ToConsole::Report(report)).await?;
            self.sent = seq;
            self.in_flight.push_back(seq);
        }
        self.forget_acknowledged();
        Ok(())
    }

    async fn send_answer(&mut self, answer: Answer) -> Result<(), tungstenite::Error> {
        let Answer { result, then } = answer;
        self.send_one(&ToConsole::Result(result)).await?;
        self.commands.answered(then);
        Ok(())
    }

    fn forget_acknowledged(&mut self) {
        let acknowledged = *self.acknowledged.borrow_and_update();
        while self.in_flight.pop_front_if(|seq| *seq <= acknowledged).is_some() {}
    }

    async fn send_one(&mut self, message: &ToConsole) -> Result<(), tungstenite::Error> {
        match frame::write(message) {
            Ok(frame) => self.sink.send(frame).await,
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "A message cannot be encoded: skipped");
                Ok(())
            }
        }
    }
}

/// How many reports may be on their way at once.
const WINDOW: usize = 64;

/// How many commands and results may wait for a Console that does not read; more are dropped with a warning.
const WAITING: usize = 64;

/// How many words about certificates may wait; more are dropped.
const WORDS: usize = 4;

/// How long a close may take on both sides.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
