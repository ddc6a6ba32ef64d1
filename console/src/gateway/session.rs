//! One connected Defender: heartbeat, reports and their acknowledgements, the call to reconnect after a rotation, and why
//! it ends (`farewell.rs` tells the peer).

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use certs::Subscriber;
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::message::{Ack, CertificateRequest, CommandResult, Reconnect, Report, Welcome};
use protocol::{Close, MAX_MESSAGE_BYTES, MISSED_HEARTBEATS, Payload, ToConsole, ToDefender};
use rustls::ServerConfig;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::Inner;
use super::farewell::{answer_close, close, close_for};
use super::renewal::Renewal;
use crate::fleet::{Arrival, Order, SessionHandle};

/// The WebSocket of one Defender.
pub(super) type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// One connected Defender.
pub(super) struct Session {
    socket: Socket,
    handle: Arc<SessionHandle>,
    /// Generation of the configuration that the peer shook hands with, or was last told of.
    generation: u64,
    tls: Subscriber<ServerConfig>,
    /// Sent before anything else.
    welcome: Option<Box<ToDefender>>,
    /// The connection of the same Defender that this one takes the place of.
    superseded: Option<Arc<SessionHandle>>,
    /// The highest report number that was acknowledged on this connection.
    acked: u64,
    /// The highest report number so far; one that leaps far ahead of it is a mistake or worse.
    received: u64,
    /// Heartbeats that went unanswered so far.
    unanswered: u32,
    /// Results that nobody waited for so far.
    unasked: u32,
    /// Its certificate, and when to have it renewed.
    renewal: Renewal,
    /// When the grace after a rotation ends.
    deadline: Option<Instant>,
    /// Tells of other revocation lists.
    lists: watch::Receiver<u64>,
}

/// Why a session ends.
enum End {
    /// The peer closed, with this code.
    Closed(u16),
    /// The connection broke.
    Gone(String),
    /// Nothing was heard for too long.
    Silent,
    /// We close, with this code.
    Us(Close),
}

/// A Defender that was taken in, and is to be served.
pub(super) struct Admitted {
    pub(super) socket: Socket,
    pub(super) arrival: Arrival,
    /// What it hears first.
    pub(super) welcome: Welcome,
    /// Its certificate, and when to have it renewed.
    pub(super) renewal: Renewal,
    /// Generation of the configuration that it shook hands with.
    pub(super) generation: u64,
}

impl Session {
    pub(super) fn new(admitted: Admitted, gateway: &Inner) -> Self {
        let Admitted { socket, arrival, welcome, renewal, generation } = admitted;
        let Arrival { session: handle, superseded, .. } = arrival;
        let acked = handle.stored();
        Self {
            socket,
            handle,
            generation,
            tls: gateway.tls.clone(),
            welcome: Some(Box::new(ToDefender::Welcome(welcome))),
            superseded,
            acked,
            received: acked,
            unanswered: 0,
            unasked: 0,
            renewal,
            deadline: None,
            lists: gateway.guard.lists(),
        }
    }

    /// Serves the Defender until either side ends it, and says so to the fleet.
    pub(super) async fn run(mut self: Box<Self>, gateway: Arc<Inner>) {
        let end = match self.talk(&gateway).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        gateway.fleet.leave(&self.handle, &end.cause(), OffsetDateTime::now_utc());
        // After that: who asks again is told that there is no session, or meets the next one.
        self.handle.hang_up();
        tracing::info!(
            defender = self.handle.defender().to_string(),
            cause = end.cause(),
            "Defender session ended"
        );
        match end {
            End::Closed(_) => answer_close(&mut self.socket).await,
            End::Us(code) => close(&mut self.socket, code).await,
            End::Gone(_) | End::Silent => {}
        }
    }

    async fn talk(&mut self, gateway: &Inner) -> Result<std::convert::Infallible, End> {
        self.begin(gateway).await?;
        // Sessions that began together do not all beat together.
        let mut beat = next_beat(gateway.heartbeat.mul_f64(0.5 + lifecycle::random::share() / 2.0));
        loop {
            let deadline = self.deadline.unwrap_or_else(|| Instant::now() + FAR);
            tokio::select! {
                message = next(&mut self.socket) => self.hear(gateway, message).await?,
                () = self.handle.woken() => self.follow_orders(gateway).await?,
                () = sleep_until(beat) => {
                    beat = next_beat(gateway.heartbeat);
                    self.beat(gateway).await?;
                }
                live = self.tls.changed() => match live {
                    Some(live) if live.generation != self.generation => self.ask_to_reconnect(gateway).await?,
                    Some(_) => {}
                    None => return Err(End::Us(Close::Restart)),
                },
                () = sleep_until(deadline), if self.deadline.is_some() => return Err(End::Us(Close::Restart)),
                Ok(()) = self.lists.changed() => self.check_revoked(gateway)?,
                () = gateway.shutdown.cancelled() => return Err(End::Us(Close::Restart)),
            }
        }
    }

    /// Ends when a revocation list names the certificate of this connection.
    fn check_revoked(&self, gateway: &Inner) -> Result<(), End> {
        let chain = self.socket.get_ref().get_ref().1.peer_certificates().unwrap_or_default();
        if gateway.guard.revokes(chain) { Err(End::Us(Close::Revoked)) } else { Ok(()) }
    }

    /// Welcomes the Defender; only then is its older connection closed, whether or not the welcome went out.
    async fn begin(&mut self, gateway: &Inner) -> Result<(), End> {
        let sent = match self.welcome.take() {
            Some(welcome) => self.send(gateway, &welcome).await,
            None => Ok(()),
        };
        if let Some(older) = self.superseded.take() {
            older.order(Order::Close(Close::Replaced));
        }
        sent?;
        // One may have come between the handshake and now.
        self.check_revoked(gateway)?;
        match self.renewal.first(&gateway.enrolment, gateway.fleet.connected()) {
            Some(first) => self.send(gateway, &ToDefender::Authorities(first)).await,
            None => Ok(()),
        }
    }

    async fn hear(&mut self, gateway: &Inner, message: Option<Result<Message, WsError>>) -> Result<(), End> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                return Err(close_for(&error).map_or_else(|| End::Gone(error.to_string()), End::Us));
            }
            None => return Err(End::Gone("connection closed".to_owned())),
        };
        self.unanswered = 0;
        self.handle.hear(OffsetDateTime::now_utc());
        let decoded = match &message {
            Message::Text(text) => protocol::codec::decode_text(text, MAX_MESSAGE_BYTES),
            Message::Binary(data) => protocol::codec::decode_binary(data, MAX_MESSAGE_BYTES),
            Message::Close(frame) => {
                let code = frame.as_ref().map_or(1005, |frame| u16::from(frame.code));
                return Err(End::Closed(code));
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
        };
        match decoded.map_err(|error| End::Us(error.close()))? {
            // Boxed: it is rare and large, and a task keeps room for its largest state.
            ToConsole::CertificateRequest(request) => Box::pin(self.certify(gateway, &request)).await,
            ToConsole::Hello(_) => Err(End::Us(Close::Malformed)),
            ToConsole::Report(report) => self.report(gateway, report).await,
            ToConsole::Result(result) => self.take_result(result),
            ToConsole::Unknown => Ok(()),
        }
    }

    async fn report(&mut self, gateway: &Inner, report: Report) -> Result<(), End> {
        if self.renewal.is_limbo() {
            return Ok(());
        }
        let kind_is_sound =
            (1..=MAX_KIND_BYTES).contains(&report.kind.len()) && !report.kind.chars().any(char::is_control);
        if !kind_is_sound || report.seq > MAX_SEQ || report.seq > self.received.saturating_add(MAX_GAP) {
            return Err(End::Us(Close::Malformed));
        }
        self.received = self.received.max(report.seq);
        if report.seq <= self.handle.stored() {
            return self.send(gateway, &ToDefender::Ack(Ack { seq: report.seq })).await;
        }
        gateway.fleet.report(&self.handle, report).await.map_err(|_| End::Us(Close::Restart))
    }

    /// A result may come too late. A Defender that sends them without end is out of turn.
    fn take_result(&mut self, result: CommandResult) -> Result<(), End> {
        if !self.handle.answer(result) {
            self.unasked += 1;
            if self.unasked > MOST_UNASKED {
                return Err(End::Us(Close::Malformed));
            }
        }
        Ok(())
    }

    async fn certify(&mut self, gateway: &Inner, request: &CertificateRequest) -> Result<(), End> {
        let (id, now) = (self.handle.defender(), OffsetDateTime::now_utc());
        let answer = self.renewal.answer(&gateway.enrolment, &request.csr, id, now).await;
        self.send(gateway, &ToDefender::Certificate(answer)).await
    }

    /// Acknowledges what has reached the disk, sends commands, and closes when somebody asked for it.
    async fn follow_orders(&mut self, gateway: &Inner) -> Result<(), End> {
        if let Some(Order::Close(code)) = self.handle.ordered() {
            return Err(End::Us(code));
        }
        let stored = self.handle.stored();
        if stored > self.acked {
            self.acked = stored;
            self.send(gateway, &ToDefender::Ack(Ack { seq: stored })).await?;
        }
        while let Some(command) = self.handle.next_command() {
            self.send(gateway, &ToDefender::Command(command)).await?;
        }
        Ok(())
    }

    async fn beat(&mut self, gateway: &Inner) -> Result<(), End> {
        if self.unanswered >= MISSED_HEARTBEATS {
            return Err(End::Silent);
        }
        self.unanswered += 1;
        if let Some(prompt) = self.renewal.prompt(&gateway.enrolment, OffsetDateTime::now_utc()) {
            self.send(gateway, &ToDefender::Authorities(prompt)).await?;
        }
        self.write(gateway, Message::Ping(Vec::new().into())).await
    }

    /// After a rotation: the peer connects anew within a spread that grows with the fleet, and this connection
    /// ends with the grace at the latest.
    async fn ask_to_reconnect(&mut self, gateway: &Inner) -> Result<(), End> {
        if gateway.grace.is_zero() {
            return Err(End::Us(Close::Restart));
        }
        self.generation = self.tls.current().generation;
        self.deadline.get_or_insert_with(|| Instant::now() + gateway.grace);
        let reconnect = Reconnect {
            reason: "the Console's certificates were rotated".to_owned(),
            spread_seconds: spread_seconds(gateway.fleet.connected(), gateway.grace),
        };
        self.send(gateway, &ToDefender::Reconnect(reconnect)).await
    }

    async fn send(&mut self, gateway: &Inner, message: &ToDefender) -> Result<(), End> {
        let payload = protocol::encode(message).map_err(|error| End::Gone(error.to_string()))?;
        let message = match payload {
            Payload::Binary(data) => Message::Binary(data.into()),
            Payload::Text(text) => Message::Text(text.into()),
        };
        self.write(gateway, message).await
    }

    /// A peer that does not read for two heartbeats is as gone as one that does not answer.
    async fn write(&mut self, gateway: &Inner, message: Message) -> Result<(), End> {
        match timeout(gateway.heartbeat * MISSED_HEARTBEATS, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::Gone(error.to_string())),
            Err(_) => Err(End::Silent),
        }
    }
}

impl End {
    fn cause(&self) -> String {
        match self {
            Self::Closed(1000) => "the Defender stopped or restarted in good order".to_owned(),
            Self::Closed(code) => format!("closed by the Defender with code {code}"),
            Self::Gone(cause) => cause.clone(),
            Self::Silent => "two heartbeats in a row went unanswered".to_owned(),
            Self::Us(code) => code.cause().to_owned(),
        }
    }
}

/// The next frame. Cancel-safe.
pub(super) async fn next(socket: &mut Socket) -> Option<Result<Message, WsError>> {
    socket.next().await
}

/// When to beat, after `wait`: on a tick. Thousands of sessions that beat in the same moment share one awakening of the
/// process; each in a moment of its own, they cost three times as much.
fn next_beat(wait: Duration) -> Instant {
    *EPOCH + nearest_tick(EPOCH.elapsed() + wait)
}

/// The nearest, not the next: who beats is always a little late, and would fall behind by a tick each time.
fn nearest_tick(at: Duration) -> Duration {
    let ticks = (at + TICK / 2).as_millis() / TICK.as_millis();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Where ticks are counted from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Short beside any heartbeat, which has a second at least.
const TICK: Duration = Duration::from_millis(100);

/// Reconnects of a fleet are spread so that about [`RECONNECTS_PER_SECOND`] arrive, within half the grace.
fn spread_seconds(connected: usize, grace: Duration) -> u64 {
    let wanted = u64::try_from(connected / RECONNECTS_PER_SECOND).unwrap_or(u64::MAX);
    wanted.min(grace.as_secs() / 2)
}

/// What two processors shake hands with while they still serve the rest.
const RECONNECTS_PER_SECOND: usize = 500;

/// The highest report number: what every JSON reader can hold exactly.
const MAX_SEQ: u64 = (1 << 53) - 1;

/// Most reports that a Defender may have dropped while it was cut off. Without a bound one report with a huge number
/// would use up all numbers of an identity.
const MAX_GAP: u64 = 1 << 32;

/// Longest name of a report kind, in bytes.
const MAX_KIND_BYTES: usize = 64;

/// Most results of one session that nobody waits for: late ones are few.
const MOST_UNASKED: u32 = 1000;

/// Further away than any deadline.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_of_a_session_keeps_little_however_rare_its_largest_step() {
        fn size<F>(_: fn(Box<Session>, Arc<Inner>) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size(Session::run);
        assert!(bytes <= 2048, "{bytes} bytes, in each of thousands: box what is rare and large");
    }

    #[test]
    fn heartbeats_keep_their_pace_on_ticks_that_sessions_share() {
        let mut at = Duration::from_millis(1234);
        for beat in 1..=30 {
            // It comes a moment late, and the next one is due all the same.
            at = nearest_tick(at + Duration::from_secs(1)) + Duration::from_millis(3);
            assert_eq!(at, Duration::from_millis(1203 + 1000 * beat));
        }
    }

    #[test]
    fn the_spread_grows_with_the_fleet_and_stays_within_half_the_grace() {
        let minute = Duration::from_secs(60);
        assert_eq!(spread_seconds(1, minute), 0);
        assert_eq!(spread_seconds(9_500, minute), 19);
        assert_eq!(spread_seconds(100_000, minute), 30);
    }
}
