//! One simulated Defender: one task, the real protocol, little memory. Reports that are not acknowledged are sent
//! again after a reconnect; a `reconnect` is followed by making the new connection before the old one is closed.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use lifecycle::{Backoff, random};
use protocol::message::Report;
use protocol::{ToConsole, ToDefender};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::dial::{Dialer, Socket, receive, send};

/// What all Defenders of a fleet are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Close at once, without a word.
    Drop,
    /// Connect, and stay connected.
    Run,
}

/// What all Defenders of a fleet have seen, together.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Connected now.
    pub(crate) connected: AtomicUsize,
    /// Attempts that ended in a welcome.
    pub(crate) welcomes: AtomicU64,
    /// Attempts that did not.
    pub(crate) failed: AtomicU64,
    /// Connections that ended although nobody asked for it.
    pub(crate) lost: AtomicU64,
    /// Reports made.
    pub(crate) reports: AtomicU64,
    /// Reports acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// Moves to a new connection when asked to.
    pub(crate) moves: AtomicU64,
}

/// What one Defender is.
pub(crate) struct Defender {
    /// How to reach the Console.
    pub(crate) dialer: Arc<Dialer>,
    /// Where it dials from.
    pub(crate) source: IpAddr,
    /// Its identity.
    pub(crate) id: Uuid,
    /// Time between two reports; `None` for the one at the start alone.
    pub(crate) report_every: Option<Duration>,
    /// Whether it reports the host's facts at the start.
    pub(crate) reports_host: bool,
    /// Wait before the first attempt.
    pub(crate) start_after: Duration,
    /// Shared with the others.
    pub(crate) counters: Arc<Counters>,
}

/// Why a session is over.
enum Over {
    /// An order of the fleet.
    Ordered,
    /// The connection ended.
    Lost,
    /// The fleet is gone.
    Stop,
}

/// The numbers of the reports.
struct Outbox {
    /// The last one made.
    made: u64,
    /// The last one that the Console has.
    stored: u64,
    /// When to make the next.
    due: Option<Instant>,
}

impl Defender {
    /// Runs until the sender of the orders is dropped.
    pub(crate) async fn run(self, mut orders: watch::Receiver<Order>) {
        let boot = Uuid::new_v4();
        let mut backoff = Backoff::default();
        let mut outbox = None;
        sleep(self.start_after).await;
        while orders.wait_for(|order| *order == Order::Run).await.is_ok() {
            match self.dialer.join(self.source, self.id, boot).await {
                Ok((socket, welcome)) => {
                    backoff.reset();
                    let outbox = outbox.get_or_insert_with(|| self.new_outbox(welcome.last_seq));
                    match self.serve(socket, welcome.last_seq, outbox, boot, &mut orders).await {
                        Over::Ordered => {}
                        Over::Lost => {
                            self.counters.lost.fetch_add(1, Ordering::Relaxed);
                            sleep(backoff.next(random::share())).await;
                        }
                        Over::Stop => return,
                    }
                }
                Err(error) => {
                    if self.counters.failed.fetch_add(1, Ordering::Relaxed) < SHOWN_FAILURES {
                        eprintln!("failed attempt: {error:#}");
                    }
                    sleep(backoff.next(random::share())).await;
                }
            }
        }
    }

    fn new_outbox(&self, stored: u64) -> Outbox {
        let made = stored + u64::from(self.reports_host);
        self.counters.reports.fetch_add(made - stored, Ordering::Relaxed);
        let due = self.report_every.map(|every| Instant::now() + every.mul_f64(random::share()));
        Outbox { made, stored, due }
    }

    async fn serve(
        &self,
        socket: Socket,
        last_seq: u64,
        outbox: &mut Outbox,
        boot: Uuid,
        orders: &mut watch::Receiver<Order>,
    ) -> Over {
        let _connected = Connected::enter(&self.counters);
        let mut link = socket;
        self.acknowledged(outbox, last_seq);
        if self.send_from(&mut link, outbox.stored + 1, outbox.made).await.is_err() {
            return Over::Lost;
        }
        let mut move_at: Option<Instant> = None;
        loop {
            tokio::select! {
                over = ordered_to_drop(orders) => return over,
                message = receive(&mut link) => match message {
                    Ok(Some(ToDefender::Ack(ack))) => self.acknowledged(outbox, ack.seq),
                    Ok(Some(ToDefender::Reconnect(reconnect))) => {
                        let spread = Duration::from_secs(reconnect.spread_seconds);
                        move_at = Some(Instant::now() + random::below(spread));
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return Over::Lost,
                },
                () = at(outbox.due) => {
                    outbox.made += 1;
                    outbox.due = self.report_every.map(|every| Instant::now() + every);
                    self.counters.reports.fetch_add(1, Ordering::Relaxed);
                    if self.send_from(&mut link, outbox.made, outbox.made).await.is_err() {
                        return Over::Lost;
                    }
                }
                () = at(move_at) => {
                    move_at = None;
                    match self.move_to_new(link, outbox, boot).await {
                        Some(new) => link = new,
                        None => return Over::Lost,
                    }
                }
            }
        }
    }

    /// Makes before it breaks; `None` when the new connection fails and the old one with it.
    async fn move_to_new(&self, mut old: Socket, outbox: &mut Outbox, boot: Uuid) -> Option<Socket> {
        match self.dialer.join(self.source, self.id, boot).await {
            Ok((mut new, welcome)) => {
                self.counters.moves.fetch_add(1, Ordering::Relaxed);
                self.acknowledged(outbox, welcome.last_seq);
                let _ = old.close(None).await;
                self.send_from(&mut new, outbox.stored + 1, outbox.made).await.ok()?;
                Some(new)
            }
            Err(error) => {
                if self.counters.failed.fetch_add(1, Ordering::Relaxed) < SHOWN_FAILURES {
                    eprintln!("failed move: {error:#}");
                }
                None
            }
        }
    }

    fn acknowledged(&self, outbox: &mut Outbox, seq: u64) {
        let new = seq.min(outbox.made).saturating_sub(outbox.stored);
        outbox.stored += new;
        self.counters.acknowledged.fetch_add(new, Ordering::Relaxed);
    }

    async fn send_from(&self, socket: &mut Socket, first: u64, last: u64) -> Result<()> {
        for seq in first..=last {
            let body = serde_json::value::to_raw_value(&serde_json::json!({
                "hostname": self.id.to_string(), "os": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.1.0-18-amd64",
                "arch": "x86_64", "cpus": 4, "memory_bytes": 16_000_000_000_u64, "addresses": [self.source.to_string()],
            }))?;
            send(socket, &ToConsole::Report(Report { seq, kind: "host".to_owned(), body })).await?;
        }
        Ok(())
    }
}

async fn ordered_to_drop(orders: &mut watch::Receiver<Order>) -> Over {
    match orders.wait_for(|order| *order == Order::Drop).await {
        Ok(_) => Over::Ordered,
        Err(_) => Over::Stop,
    }
}

/// Counts a session from its start to its end.
struct Connected<'a>(&'a Counters);

impl<'a> Connected<'a> {
    fn enter(counters: &'a Counters) -> Self {
        counters.welcomes.fetch_add(1, Ordering::Relaxed);
        counters.connected.fetch_add(1, Ordering::SeqCst);
        Self(counters)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The first few say what is wrong; thousands say no more.
const SHOWN_FAILURES: u64 = 5;
