//! The Defender listener (8084): TCP -> mutual TLS -> WebSocket -> `hello` -> session.
//!
//! ```text
//! mod.rs       the accept loop
//! arrive.rs    one connection up to its `welcome`: handshake, upgrade, hello, each with its deadline
//! hello.rs     which `hello` is taken, text by text
//! peer.rs      client certificate -> identity
//! renewal.rs   certificates over the live connection
//! upgrade.rs   the HTTP upgrade, and answers to what is none
//! session.rs   one connected Defender: heartbeat, reports, reconnect, close
//! farewell.rs  how a WebSocket ends
//! ```
//!
//! The socket stays bound for the life of the Console: a rotation only changes which configuration the next
//! handshake takes.

mod arrive;
mod farewell;
mod hello;
mod peer;
mod renewal;
mod session;
mod upgrade;

pub use arrive::{Verdict, verdict};
pub use peer::credential;
pub use renewal::{Origin, Renewal};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::{Guard, Subscriber};
use lifecycle::Tasks;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::door::Door;
use crate::enroll::Enrolment;
use crate::fleet::Fleet;
use crate::meet::Meeting;
use crate::metrics::Metrics;
use crate::refusals::Refusals;

/// What every connection needs. Clones share it.
#[derive(Debug, Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    fleet: Fleet,
    enrolment: Enrolment,
    meeting: Meeting,
    metrics: Metrics,
    refusals: Refusals,
    tls: Subscriber<ServerConfig>,
    /// Knows whom the configurations refuse.
    guard: Guard,
    /// How often a Defender must be heard.
    heartbeat: Duration,
    /// How long sessions of an old configuration may go on.
    grace: Duration,
    tasks: Tasks,
    shutdown: CancellationToken,
}

/// What the gateway works with.
#[derive(Debug)]
pub struct Parts {
    /// Who is here.
    pub fleet: Fleet,
    /// Who may speak for whom.
    pub enrolment: Enrolment,
    /// By which name they come.
    pub meeting: Meeting,
    /// Counts.
    pub metrics: Metrics,
    /// Remembers who was refused.
    pub refusals: Refusals,
    /// Configurations of the listener.
    pub tls: Subscriber<ServerConfig>,
    /// Knows whom they refuse.
    pub guard: Guard,
}

/// Settings of the gateway.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How often a Defender must be heard.
    pub heartbeat: Duration,
    /// How long sessions may go on after a rotation; zero resets them at once.
    pub grace: Duration,
}

impl Gateway {
    /// A gateway; nothing runs yet.
    #[must_use]
    pub fn new(parts: Parts, timing: Timing, tasks: Tasks, shutdown: CancellationToken) -> Self {
        let Parts { fleet, enrolment, meeting, metrics, refusals, tls, guard } = parts;
        let Timing { heartbeat, grace } = timing;
        let inner = Inner {
            fleet,
            enrolment,
            meeting,
            metrics,
            refusals,
            tls,
            guard,
            heartbeat,
            grace,
            tasks,
            shutdown,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Accepts connections until shutdown. There is no limit for one address: behind it may be a site of thousands of
    /// hosts, and who has not shown a certificate yet is held back at the door.
    pub async fn serve(self, listener: TcpListener, door: Door) {
        let shutdown = self.inner.shutdown.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&listener, &door) => accepted,
                () = shutdown.cancelled() => return,
            };
            let Some((stream, address, place)) = accepted else { return };
            let gateway = self.clone();
            self.inner.tasks.spawn("defender handshake", async move {
                gateway.inner.arrive(stream, address, place).await;
            });
        }
    }

    async fn accept(
        &self,
        listener: &TcpListener,
        door: &Door,
    ) -> Option<(TcpStream, SocketAddr, crate::door::Place)> {
        let place = door.place().await?;
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                    return Some((stream, address, place));
                }
                Err(error) => {
                    // Out of descriptors or memory: the connection stays in the backlog, others may end soon.
                    tracing::warn!(
                        error = error.to_string(),
                        "Cannot accept a Defender connection, trying again in 1 s"
                    );
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
}

const ACCEPT_RETRY: Duration = Duration::from_secs(1);
