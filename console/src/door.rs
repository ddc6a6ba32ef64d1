//! Who may wait at a listener before having said who it is, so that strangers cannot keep friends out.
//!
//! Each accepted connection takes a *place*. While it sends nothing it is *silent*: when places run out, the longest
//! silent one is shown the door, unless it has only just come (in a herd, the first byte may take a while). Once it
//! speaks it waits for a *turn*, first come first served, so that a herd is handshaken one after the other instead of
//! all at once and each too late. A peer that dawdles during its turn keeps its place but loses the turn.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::TrustedProxies;

/// The door of one listener. Clones share it.
#[derive(Debug, Clone)]
pub struct Door {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    silent: Arc<Mutex<Silent>>,
    /// How long a connection may be silent while others wait for its place.
    patience: Duration,
    /// Whoever comes from one of these says first whom it brings.
    proxies: TrustedProxies,
}

/// Connections that have sent nothing yet, oldest first.
#[derive(Debug, Default)]
struct Silent {
    so_far: u64,
    waiting: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// The right of one connection to wait; dropped when it has said who it is, or goes.
#[derive(Debug)]
pub struct Place {
    door: Door,
    _permit: OwnedSemaphorePermit,
}

/// Why a connection was not waited for.
#[derive(Debug, thiserror::Error)]
pub enum SilentError {
    /// It sent nothing, and others needed its place.
    #[error("sent nothing while others waited")]
    Evicted,
    /// The connection failed.
    #[error("connection failed")]
    Io(#[from] io::Error),
    /// It sent nothing for too long.
    #[error("sent nothing for {} s", SILENCE.as_secs())]
    TimedOut,
}

impl Door {
    /// A door with `places`, and as many turns as the machine's processors can use.
    #[must_use]
    pub fn new(places: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            places: Arc::new(Semaphore::new(places.max(1))),
            turns: Arc::new(Semaphore::new(processors * TURNS_PER_PROCESSOR)),
            silent: Arc::default(),
            patience: PATIENCE,
            proxies: TrustedProxies::default(),
        }
    }

    /// The same door, where these proxies announce their clients.
    #[must_use]
    pub fn announced_by(self, proxies: TrustedProxies) -> Self {
        Self { proxies, ..self }
    }

    /// A place for the next connection. While there is none, the longest silent connection is evicted; when nobody
    /// has been silent for long, waits, and new connections stay in the backlog of the socket. `None` when the door
    /// is closed, which it never is while the program runs. Cancel-safe.
    pub async fn place(&self) -> Option<Place> {
        let free = Arc::clone(&self.places).acquire_owned();
        tokio::pin!(free);
        let mut look_at = self.next_eviction();
        let permit = loop {
            tokio::select! {
                biased;
                permit = &mut free => break permit.ok()?,
                () = tokio::time::sleep_until(look_at) => {
                    self.evict_one();
                    look_at = self.next_eviction().max(Instant::now() + EVICTION_PAUSE);
                }
            }
        };
        Some(Place { door: self.clone(), _permit: permit })
    }

    /// When the longest silent connection has had its time; a moment from now while nobody is silent.
    fn next_eviction(&self) -> Instant {
        let oldest = self.silent().waiting.first_key_value().map(|(_, (since, _))| *since);
        oldest.map_or_else(|| Instant::now() + LOOK_AGAIN, |since| since + self.patience)
    }

    fn evict_one(&self) {
        let mut silent = self.silent();
        let Some(oldest) = silent.waiting.first_entry() else { return };
        if oldest.get().0.elapsed() >= self.patience {
            oldest.remove().1.cancel();
        }
    }

    fn silent(&self) -> std::sync::MutexGuard<'_, Silent> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether this peer announces its clients.
    #[must_use]
    pub fn is_announced_by(&self, peer: IpAddr) -> bool {
        self.door.proxies.contains(peer)
    }

    /// Returns once the connection has sent its first byte.
    ///
    /// # Errors
    /// [`SilentError`]: drop the connection.
    pub async fn first_byte(&self, stream: &TcpStream) -> Result<(), SilentError> {
        // In a herd the first bytes are there already.
        if stream.try_io(tokio::io::Interest::READABLE, || peek_now(stream)).is_ok() {
            return Ok(());
        }
        let token = CancellationToken::new();
        let number = {
            let mut silent = self.door.silent();
            silent.so_far += 1;
            let number = silent.so_far;
            silent.waiting.insert(number, (Instant::now(), token.clone()));
            number
        };
        let heard = tokio::select! {
            ready = stream.readable() => ready.map_err(SilentError::from),
            () = token.cancelled() => Err(SilentError::Evicted),
            () = tokio::time::sleep(SILENCE) => Err(SilentError::TimedOut),
        };
        self.door.silent().waiting.remove(&number);
        heard
    }

    /// Begins a piece of work once it is this connection's turn. What waits for its turn costs little: the work and
    /// its memory only come into being then.
    pub async fn in_turn<F: Future>(&self, begin: impl FnOnce() -> F) -> F::Output {
        let turn = Arc::clone(&self.door.turns).acquire_owned().await;
        let mut work = Box::pin(begin());
        tokio::select! {
            output = &mut work => return output,
            () = tokio::time::sleep(TURN) => drop(turn),
        }
        work.await
    }
}

/// Whether something can be read now, without taking it.
fn peek_now(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).peek(&mut [std::mem::MaybeUninit::uninit()]).map(|_| ())
}

/// How long a connection may send nothing.
const SILENCE: Duration = protocol::STEP_TIMEOUT;

/// How long it may send nothing while others wait for its place.
const PATIENCE: Duration = Duration::from_secs(2);

/// How soon to look for a silent connection again when there was none.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What an evicted connection takes to give its place back.
const EVICTION_PAUSE: Duration = Duration::from_millis(5);

/// How long a connection holds its turn at most; a handshake with a live peer takes milliseconds.
const TURN: Duration = Duration::from_millis(500);

/// Handshakes in progress for each processor.
const TURNS_PER_PROCESSOR: usize = 128;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("accepted");
        (listener.accept().await.expect("connected").0, client)
    }

    #[tokio::test]
    async fn the_longest_silent_connection_makes_room_for_the_next() {
        let door = Door { patience: Duration::ZERO, ..Door::new(2) };
        let (first, _first_client) = pair().await;
        let (second, _second_client) = pair().await;
        let first_place = door.place().await.expect("open");
        let second_place = door.place().await.expect("open");
        let evicted = async move {
            let outcome = first_place.first_byte(&first).await;
            drop(first_place);
            outcome
        };
        let (outcome, third) = tokio::join!(evicted, async {
            tokio::task::yield_now().await;
            door.place().await
        });
        assert!(matches!(outcome, Err(SilentError::Evicted)));
        assert!(third.is_some());
        drop((second, second_place));
    }

    #[tokio::test]
    async fn a_connection_that_speaks_is_never_evicted() {
        let door = Door { patience: Duration::ZERO, ..Door::new(1) };
        let (server, client) = pair().await;
        client.writable().await.expect("connected");
        client.try_write(b"x").expect("room");
        let place = door.place().await.expect("open");
        place.first_byte(&server).await.expect("spoke");
        door.evict_one();
        let next = tokio::time::timeout(Duration::from_millis(50), door.place()).await;
        assert!(next.is_err(), "the only place is taken");
        drop(place);
        assert!(door.place().await.is_some());
    }

    #[tokio::test]
    async fn a_peer_that_dawdles_does_not_hold_up_the_next_turn() {
        let door = Door { turns: Arc::new(Semaphore::new(1)), ..Door::new(2) };
        let dawdler = door.place().await.expect("open");
        let quick = door.place().await.expect("open");
        tokio::select! {
            () = dawdler.in_turn(std::future::pending::<()>) => unreachable!("it never ends"),
            answer = async {
                tokio::task::yield_now().await;
                quick.in_turn(|| async { 7 }).await
            } => assert_eq!(answer, 7),
        }
    }
}
