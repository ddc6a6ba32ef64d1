//! Who answers at the sockets: the gateway for Defenders, the API and its pages for everybody else.

use super::Running;
use super::parts::Parts;
use crate::config::Config;
use crate::door::Door;
use crate::gateway::{self, Gateway, Timing};
use crate::sockets::Sockets;
use crate::web::listener::FrontEnd;
use crate::web::{self, AppState, Ready};

/// Starts to accept; `descriptors` is how many connections may be open.
pub(super) fn listen(
    sockets: Sockets,
    descriptors: u64,
    parts: &Parts,
    ready: &Ready,
    config: &Config,
    running: &Running,
) {
    let Running { front, shutdown, .. } = running;
    let door = |announced| Door::new(places(descriptors)).announced_by(announced);
    let router = web::router(state(parts, sockets.defender.1.port(), ready));

    let timing = Timing { heartbeat: config.heartbeat, grace: config.rotation_grace };
    let gateway = Gateway::new(gateway_parts(parts), timing, front.clone(), shutdown.clone());
    let defenders = gateway.serve(sockets.defender.0, door(config.proxies.defender.clone()));
    front.spawn_critical("defender listener", shutdown.clone(), defenders);

    let front_end = FrontEnd {
        router,
        grace: config.rotation_grace,
        proxies: config.proxies.trusted.clone(),
        tasks: front.clone(),
        shutdown: shutdown.clone(),
    };
    let tls = parts.channels.https.clone();
    let https = front_end.clone().serve(sockets.https.0, tls, door(config.proxies.https.clone()));
    front.spawn_critical("https listener", shutdown.clone(), https);
    if let Some((listener, address)) = sockets.http {
        tracing::info!(http = address.to_string(), "Plain HTTP is on, for an ingress that terminates TLS");
        front.spawn_critical("http listener", shutdown.clone(), front_end.serve_plain(listener));
    }
}

fn gateway_parts(parts: &Parts) -> gateway::Parts {
    gateway::Parts {
        fleet: parts.fleet.clone(),
        enrolment: parts.enrolment.clone(),
        meeting: parts.meeting.clone(),
        metrics: parts.metrics.clone(),
        refusals: parts.refusals.clone(),
        tls: parts.channels.defender.clone(),
        guard: parts.guard.clone(),
    }
}

fn state(parts: &Parts, defender_port: u16, ready: &Ready) -> AppState {
    AppState {
        access: parts.access.clone(),
        alerts: parts.alerts.clone(),
        authority: parts.rotation.clone(),
        backups: parts.keeper.clone(),
        custom_dir: parts.channels.custom_dir.clone(),
        defender: parts.channels.defender.clone(),
        defender_port,
        enrolment: parts.enrolment.clone(),
        fleet: parts.fleet.clone(),
        https: parts.channels.https.clone(),
        meeting: parts.meeting.clone(),
        metrics: parts.metrics.clone(),
        names: parts.names.clone(),
        public_url: parts.public_url.clone(),
        ready: ready.clone(),
        refusals: parts.refusals.clone(),
        store: parts.store.clone(),
    }
}

/// Connections that may wait at one listener without having said who they are: a share of what may be open.
fn places(descriptors: u64) -> usize {
    usize::try_from(descriptors / 2).unwrap_or(usize::MAX).clamp(64, 16_384)
}
