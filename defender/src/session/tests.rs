//! Tests of `session.rs`, against a Console that does what the test says.

use protocol::message::{Ack, Message as _};
use serde_json::value::{RawValue, to_raw_value};
use tokio::task::JoinHandle;
use uuid::Uuid;

use protocol::close::Next;

use super::*;
use crate::dial::dial;
use crate::fake::{Bench, FakeConsole, Peer, hello};

/// A running session, and the Console's end of it.
struct Line {
    peer: Peer,
    ended: JoinHandle<Ended>,
    retire: CancellationToken,
    reconnects: mpsc::Receiver<Reconnect>,
}

async fn line(console: &FakeConsole, bench: &Bench, last_seq: u64, heartbeat_seconds: u64) -> Line {
    let target = console.target();
    let greet = async {
        let mut peer = console.accept().await;
        peer.welcome(last_seq, heartbeat_seconds).await;
        peer
    };
    let (dialed, peer) = tokio::join!(dial(&target, console.client(), hello()), greet);
    let (sender, reconnects) = mpsc::channel(1);
    let (outbox, board, commands) = (bench.outbox.clone(), bench.board.clone(), bench.commands.clone());
    let session = Session::new(dialed.expect("welcomed"), outbox, board, commands, sender);
    let retire = CancellationToken::new();
    let ended = bench.tasks.spawn("session", session.run(retire.clone()));
    Line { peer, ended, retire, reconnects }
}

#[tokio::test]
async fn sends_reports_in_order_and_forgets_what_is_acknowledged() {
    let (console, bench) = (FakeConsole::new().await, Bench::new());
    bench.append(3).await;
    let mut line = line(&console, &bench, 1, 30).await;
    for seq in 2..=3 {
        assert_eq!(line.peer.hear_report().await.seq, seq);
    }
    bench.append(1).await;
    let report = line.peer.hear_report().await;
    assert_eq!((report.seq, report.kind.as_str(), report.body.get()), (4, "host", "1"));
    line.peer.acknowledge(4).await;
    line.peer.close(1000).await;
    assert!(matches!(line.ended.await, Ok(Ended::Closed { close: Close::Done, .. })));
    assert!(bench.outbox.read_after(0, 10).await.is_empty());
}

#[tokio::test]
async fn at_most_a_window_of_reports_is_on_the_way() {
    let (console, bench) = (FakeConsole::new().await, Bench::new());
    bench.append(u64::try_from(WINDOW).expect("small") + 5).await;
    let mut line = line(&console, &bench, 0, 30).await;
    for seq in 1..=64 {
        assert_eq!(line.peer.hear_report().await.seq, seq);
    }
    // A command is answered although no report may be sent: its result is the next message.
    let id = Uuid::new_v4();
    let command = Command { id, name: "fly".to_owned(), args: RawValue::NULL.to_owned() };
    line.peer.say(&ToDefender::Command(command)).await;
    let ToConsole::Result(result) = line.peer.hear().await else { panic!("not a result") };
    assert_eq!((result.id, result.ok, result.body.get()), (id, false, r#"{"error":"unknown command fly"}"#));
    line.peer.acknowledge(2).await;
    assert_eq!(line.peer.hear_report().await.seq, 65);
    assert_eq!(line.peer.hear_report().await.seq, 66);
}

#[tokio::test]
async fn a_console_that_does_not_read_is_still_heard() {
    let (console, bench) = (FakeConsole::new().await, Bench::new());
    for _ in 0..20 {
        // Random, so that compression leaves most of it.
        let noise: String = (0..400)
            .flat_map(|_| lifecycle::random::bytes::<1000>())
            .map(|byte| char::from(b'0' + byte % 64))
            .collect();
        let body = to_raw_value(&noise).expect("JSON");
        bench.outbox.append("host", body).await.expect("stored");
    }
    let mut line = line(&console, &bench, 0, 30).await;
    line.peer
        .say(&ToDefender::Reconnect(Reconnect { reason: "rotation".to_owned(), spread_seconds: 3 }))
        .await;
    let reconnect = line.reconnects.recv().await.expect("heard");
    assert_eq!(reconnect.spread_seconds, 3);
}

#[tokio::test]
async fn pings_are_answered_and_noted() {
    let (console, bench) = (FakeConsole::new().await, Bench::new());
    let mut line = line(&console, &bench, 0, 30).await;
    let mut status = bench.board.subscribe();
    line.peer.socket.send(Message::Ping("x".into())).await.expect("sent");
    let pong = line.peer.socket.next().await.expect("a frame").expect("a frame");
    assert_eq!(pong, Message::Pong("x".into()));
    status.wait_for(|status| status.last_heard.is_some()).await.expect("noted");
}

#[tokio::test]
async fn a_console_that_is_silent_for_two_heartbeats_is_dropped() {
    let (console, bench) = (FakeConsole::new().await, Bench::new());
    let line = line(&console, &bench, 0, 1).await;
    let begun = std::time::Instant::now();
    let ended = line.ended.await.expect("no panic");
    assert!(matches!(ended, Ended::Silent(limit) if limit == Duration::from_secs(2)), "{ended}");
    assert!(begun.elapsed() >= Duration::from_millis(1900));
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_by_4000_and_what_is_unknown_is_ignored() {
    let (console, bench) = (FakeConsole::new().await, Bench::new());
    let welcome = r#"{"type":"welcome","console":{"version":"1.0.0"},"heartbeat_seconds":30,"last_seq":0}"#;
    for text in ["junk", r#"{"type":"ack"}"#, r#"{"type":"ack","seq":-1}"#, welcome] {
        let mut line = line(&console, &bench, 0, 30).await;
        line.peer.say_raw(r#"{"type":"from-the-future","x":1}"#).await;
        line.peer.say_raw(text).await;
        assert_eq!(line.peer.closed().await, 4000, "{text}");
        drop(line.peer);
        let ended = line.ended.await.expect("no panic");
        assert!(matches!(ended, Ended::Malformed(_) | Ended::OutOfTurn), "{ended}");
        assert_eq!(ended.next(), Next::BackOff);
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_is_answered_by_1009() {
    let (console, bench) = (FakeConsole::new().await, Bench::new());
    let mut line = line(&console, &bench, 0, 30).await;
    line.peer.say_raw(&"x".repeat(MAX_MESSAGE_BYTES + 1)).await;
    assert_eq!(line.peer.closed().await, 1009);
}

#[tokio::test]
async fn retiring_closes_with_1000_and_still_takes_acknowledgements() {
    let (console, bench) = (FakeConsole::new().await, Bench::new());
    bench.append(2).await;
    let mut line = line(&console, &bench, 0, 30).await;
    assert_eq!(line.peer.hear_report().await.seq, 1);
    assert_eq!(line.peer.hear_report().await.seq, 2);
    line.retire.cancel();
    // Read the close without answering it yet: what was acknowledged before must still count.
    let ack = ToDefender::Ack(Ack { seq: 2 }).to_tagged().expect("JSON");
    line.peer.socket.feed(Message::Text(ack.into())).await.expect("sent");
    line.peer.socket.flush().await.expect("sent");
    assert_eq!(line.peer.closed().await, 1000);
    while line.peer.socket.next().await.is_some_and(|frame| frame.is_ok()) {}
    assert!(matches!(line.ended.await, Ok(Ended::Retired)));
    assert!(bench.outbox.read_after(0, 10).await.is_empty());
}
