//! The event stream (contract section 5).

use system_tests::place::Manner;
use system_tests::{Channel, OpensslPki, SOON, TestConsole, Wire};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_the_fleet_and_of_certificates_is_an_event_with_time_and_rising_revision() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let events = api.events().await;
    let identity = api.bundle().await;
    let id = Uuid::new_v4();
    let of = |data: &serde_json::Value| data.to_string().contains(&id.to_string());
    let (wire, _) = Wire::join(console.defenders, &identity, id).await.expect("welcome");
    events.expect("defender.connected", of).await;
    wire.close().await;
    events.expect("defender.disconnected", of).await;
    let set = OpensslPki::new().server();
    Manner::Renamed.place(&console.custom_dir(), &Channel::WebSocket.files(&set));
    events.expect("certificates.rotated", |_| true).await;
    let mut bad = set.clone();
    bad.key = OpensslPki::new().server().key;
    Manner::Renamed.place(&console.custom_dir(), &Channel::WebSocket.files(&bad));
    events.expect("certificates.refused", |_| true).await;
    let all = events.all();
    let revisions: Vec<u64> = all.iter().filter_map(|(_, data)| data["revision"].as_u64()).collect();
    assert_eq!(revisions.len(), all.len(), "each has a revision: {all:?}");
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    assert!(all.iter().all(|(_, data)| data["time"].is_string()), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_over_https_hears_of_all_channels_that_move_together() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let events = api.events().await;
    let body = serde_json::json!({"consoleSAN": ["one.example"]});
    let answer = api.call(reqwest::Method::POST, "settings/certs", Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for channel in ["console-https", "console-defender"] {
        events.expect("certificates.rotated", |data| data["channel"] == channel).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_change_of_one_user_does_not_end_the_streams_of_others() {
    let console = TestConsole::start().await;
    let api = console.api().await;
    let user = serde_json::json!({"username": "other", "password": "12345678", "role": "viewer"});
    assert_eq!(api.call(reqwest::Method::POST, "users", Some(user)).await.status, 201);
    let events = api.events().await;
    assert_eq!(api.call(reqwest::Method::DELETE, "users/other", None).await.status, 204);
    Manner::Renamed.place(&console.custom_dir(), &Channel::WebSocket.files(&OpensslPki::new().server()));
    events.expect("certificates.rotated", |_| true).await;
    assert_eq!(events.count("stream.ended"), 0, "{:?}", events.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_hold_up_a_stop() {
    let mut console = TestConsole::start().await;
    let api = console.api().await;
    let _events = api.events().await;
    console.program().signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(console.program_mut().exit(SOON / 2).await.code(), Some(0));
}
