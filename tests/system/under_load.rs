//! Fifty rotations of each port while clients come and go: no connect refused or reset, no message lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use system_tests::place::Manner;
use system_tests::tls::leaf_sha256;
use system_tests::{Channel, Dialer, Identity, OpensslPki, SOON, Wire, pass};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::stage::{Stage, assert_never_disconnected};

const ROTATIONS: usize = 50;
const MANNERS: [Manner; 3] = [Manner::Renamed, Manner::InPlace, Manner::Projected];

#[tokio::test(flavor = "multi_thread")]
async fn fifty_rotations_of_https_refuse_and_reset_no_connection() {
    let stage = Stage::start().await;
    let (old, new) = (OpensslPki::new(), OpensslPki::new());
    let trusted = [stage.pki.ca.clone(), old.ca.clone(), new.ca.clone()];
    let load = Load::start(3, {
        let port = stage.console.https;
        move |_| {
            let client = Dialer::trusting(&trusted.each_ref().map(String::as_str));
            async move {
                let (status, body, _) = client.get(port, "/api/v1/_ping").await.map_err(|e| e.to_string())?;
                if status == 200 { Ok(()) } else { Err(format!("{status} {body}")) }
            }
        }
    });
    rotate_often(&stage, Channel::Https, &[&old, &new]).await;
    let done = load.stop().await;
    assert!(done > ROTATIONS as u64, "a loop that connects: {done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_rotations_of_the_websocket_refuse_no_defender_and_lose_no_message() {
    let stage = Stage::start().await;
    let events = stage.events().await;
    let port = stage.console.defenders;
    // All sets have one authority, so that the clients stay welcome: leaves and keys change.
    let identity = Identity::from(stage.pki.client());
    let comers = Load::start(2, {
        let identity = identity.clone();
        move |_| {
            let identity = identity.clone();
            async move {
                let (wire, _) = Wire::join(port, &identity, Uuid::new_v4()).await?;
                wire.close().await;
                Ok(())
            }
        }
    });
    let reporters: Vec<_> = (0..4).map(|_| Reporter::start(port, &identity)).collect();
    rotate_often(&stage, Channel::WebSocket, &[&stage.pki]).await;
    let done = comers.stop().await;
    let mut moves = 0;
    for reporter in reporters {
        moves += reporter.stop().await;
    }
    assert!(done > ROTATIONS as u64 && moves > 4, "{done} connects, {moves} moves");
    assert_eq!(stage.defender.program().count_after(0, "ERRO "), 0);
    let gone = |data: &serde_json::Value| data.to_string().contains(&stage.id);
    let all = events.all();
    assert!(!all.iter().any(|(name, data)| name == "defender.disconnected" && gone(data)), "{all:?}");
    let connected = stage.api.get(&format!("defenders/{}", stage.id)).await;
    assert_eq!(connected["connected"], true);
    assert!(!all.iter().any(|(name, _)| name == "stream.ended"), "HTTPS is not disturbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_rotations_of_a_defender_keep_it_connected() {
    let stage = Stage::start().await;
    let events = stage.events().await;
    rotate_often(&stage, Channel::Defender, &[&stage.pki]).await;
    assert_never_disconnected(&events);
    assert_eq!(stage.defender.program().count_after(0, Channel::Defender.rotated_text()), ROTATIONS);
}

async fn rotate_often(stage: &Stage, channel: Channel, authorities: &[&OpensslPki]) {
    for round in 0..ROTATIONS {
        let set = authorities[round % authorities.len()].set_for(channel);
        assert_ne!(stage.in_effect(channel).await, leaf_sha256(&set.cert));
        stage.rotate(channel, MANNERS[round % MANNERS.len()], &set).await;
    }
}

/// A Defender by hand that sends numbered reports one after the other and makes before it breaks when asked to.
pub struct Reporter {
    stop: Arc<AtomicBool>,
    port: u16,
    dialer: Dialer,
    task: JoinSet<(Uuid, u64, u64)>,
}

impl Reporter {
    pub fn start(port: u16, identity: &Identity) -> Self {
        Self::start_by(Dialer::with_identity(identity), port)
    }

    pub fn start_by(dialer: Dialer, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        task.spawn(report_until(Arc::clone(&stop), dialer.clone(), port));
        Self { stop, port, dialer, task }
    }

    /// Stops, asserts that each report is stored once, and returns how often it moved.
    pub async fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        let (id, sent, moves) = self.task.join_next().await.expect("one task").expect("no panic");
        let (_, welcome) = Wire::join_by(&self.dialer, self.port, id).await.expect("welcome");
        assert_eq!(welcome["last_seq"], sent, "every report of {id} is stored, under its own number");
        moves
    }
}

/// The id, how many reports were sent, how often it moved.
async fn report_until(stop: Arc<AtomicBool>, dialer: Dialer, port: u16) -> (Uuid, u64, u64) {
    let id = Uuid::new_v4();
    let (mut wire, _) = Wire::join_by(&dialer, port, id).await.expect("welcome");
    let (mut sent, mut moves) = (0, 0);
    while !stop.load(Ordering::SeqCst) {
        sent += 1;
        wire.report(sent, "test", json!({"n": sent})).await;
        let mut asked_to_move = false;
        loop {
            let message = wire.message().await.expect("no session is cut before its grace");
            match message["type"].as_str() {
                Some("ack") if message["seq"].as_u64() >= Some(sent) => break,
                Some("reconnect") => asked_to_move = true,
                _ => {}
            }
        }
        if asked_to_move {
            let (next, welcome) = Wire::join_by(&dialer, port, id).await.expect("a move is welcome");
            assert_eq!(welcome["last_seq"], sent);
            wire = next;
            moves += 1;
        }
        pass(Duration::from_millis(20), "the pace of reports").await;
    }
    (id, sent, moves)
}

/// Loops that do one thing again and again; each time must succeed.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    loops: JoinSet<()>,
}

impl Load {
    pub fn start<F>(loops: usize, make: impl Fn(usize) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send,
    {
        let mut load = Self { stop: Arc::default(), done: Arc::default(), loops: JoinSet::new() };
        for number in 0..loops {
            let (stop, done, make) = (Arc::clone(&load.stop), Arc::clone(&load.done), make.clone());
            load.loops.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let result = tokio::time::timeout(SOON, make(number)).await;
                    assert_eq!(result, Ok(Ok(())), "after {} successes", done.load(Ordering::SeqCst));
                    done.fetch_add(1, Ordering::SeqCst);
                    pass(Duration::from_millis(5), "the pace of the load").await;
                }
            });
        }
        load
    }

    /// Stops, and returns how often it was done.
    pub async fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.loops.join_next().await {
            ended.expect("every attempt succeeds");
        }
        self.done.load(Ordering::SeqCst)
    }
}
