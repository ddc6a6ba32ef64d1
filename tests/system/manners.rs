//! Every manner in which files change is noticed: copies in place, renames, exchanged links and directories.

use std::fs;
use std::time::Duration;

use system_tests::place::Manner;
use system_tests::{Channel, TestConsole, holds};

use crate::stage::{Stage, served};

async fn every_manner_is_noticed(channel: Channel) {
    let stage = Stage::start().await;
    for manner in Manner::ALL.into_iter().chain(Manner::ALL) {
        let set = stage.pki.set_for(channel);
        stage.rotate(channel, manner, &set).await;
    }
    let program = stage.program(channel);
    assert_eq!(
        program.count_after(0, channel.rotated_text()),
        2 * Manner::ALL.len(),
        "{:#?}",
        program.lines()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manner_of_change_rotates_https_once() {
    every_manner_is_noticed(Channel::Https).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manner_of_change_rotates_the_websocket_once() {
    every_manner_is_noticed(Channel::WebSocket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manner_of_change_rotates_the_defender_once() {
    every_manner_is_noticed(Channel::Defender).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_behind_a_link_is_noticed_at_once_and_not_only_by_polling() {
    let pki = system_tests::OpensslPki::new();
    let setup = TestConsole::setup().flag("--custom-certs-poll", "1h");
    Manner::LinkedElsewhere.place(&setup.custom_dir(), &Channel::Https.files(&pki.server()));
    let console = setup.start().await;
    for manner in [Manner::LinkedElsewhere, Manner::InPlace, Manner::Projected, Manner::Projected] {
        let mark = console.program().mark();
        let set = pki.server();
        manner.place(&console.custom_dir(), &Channel::Https.files(&set));
        console.program().line_after(mark, Channel::Https.rotated_text()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_channels_of_the_console_move_when_all_files_change_at_once() {
    let stage = Stage::start().await;
    let set = stage.pki.server();
    let mark = stage.console.program().mark();
    let mut files = Channel::Https.files(&set);
    files.extend(Channel::WebSocket.files(&set));
    stage.place(Channel::Https, Manner::Projected, &files);
    stage.taken(Channel::Https, mark, &set).await;
    stage.taken(Channel::WebSocket, mark, &set).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_goes_away_and_comes_back_is_followed() {
    let stage = Stage::start().await;
    let dir = stage.dir(Channel::Https);
    let away = dir.with_extension("away");
    for _ in 0..3 {
        let before = stage.all_in_effect().await;
        fs::rename(&dir, &away).expect("moving away");
        holds("what runs goes on", Duration::from_millis(700), async || {
            let now = served(stage.console.https).await;
            if before.contains(&(Channel::Https, now.clone())) { Ok(()) } else { Err(now) }
        })
        .await;
        fs::rename(&away, &dir).expect("moving back");
        stage.rotate(Channel::Https, Manner::InPlace, &stage.pki.server()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_written_slowly_is_never_served_mixed_and_ends_as_the_last_complete_one() {
    let stage = Stage::start().await;
    let port = stage.console.https;
    let mut allowed = vec![stage.in_effect(Channel::Https).await];
    for _ in 0..5 {
        let set = stage.pki.server();
        let mark = stage.console.program().mark();
        let [cert, key] = Channel::Https.files(&set).try_into().expect("two files");
        Manner::InPieces.place(&stage.dir(Channel::Https), &vec![cert]);
        // Longer than the settle time: the new certificate meets the old key.
        holds("only whole sets are served", Duration::from_millis(500), async || {
            let now = served(port).await;
            if allowed.contains(&now) { Ok(()) } else { Err(now) }
        })
        .await;
        Manner::InPieces.place(&stage.dir(Channel::Https), &vec![key]);
        stage.taken(Channel::Https, mark, &set).await;
        allowed = vec![stage.in_effect(Channel::Https).await];
    }
}
