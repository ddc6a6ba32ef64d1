use std::path::Path;

use certs::{Channel, CustomDir, Source};
use lifecycle::Tasks;
use testpki::{Ca, Leaf, Writing};
use tokio::sync::mpsc;

use super::*;
use crate::channels::Channels;
use crate::config::Database;

/// Both channels of a Console with its data in `data` and custom files in `custom`.
async fn open(data: &Path, custom: &Path) -> (ExtraNames, Channels) {
    let store = Store::open(&Database::Embedded(data.join("console.db"))).await.expect("opens");
    let extra = ExtraNames::stored(&store).await.expect("works");
    let custom = CustomDir::open(custom, Duration::from_millis(100));
    let names = vec!["localhost".to_owned()];
    let channels =
        Channels::open(&data.join("certificates"), &custom, names, &extra, &certs::Guard::default(), now())
            .expect("opens");
    (ExtraNames::new(store, Arc::clone(&channels.renewal)), channels)
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn names(texts: &[&str]) -> Vec<San> {
    texts.iter().map(|text| text.parse().expect("a name")).collect()
}

fn admin() -> Actor {
    Actor::new("admin", "192.0.2.7".parse().expect("an address"))
}

#[tokio::test]
async fn a_restart_keeps_the_names_and_the_certificates_to_the_byte() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (extra, _channels) = open(dir.path(), Path::new("/nowhere")).await;
    extra.replace(&names(&["console.example.com"]), &admin()).await.expect("works");
    extra.0.store.close().await;
    let mut leaves = Vec::new();
    for _ in 0..2 {
        let (extra, channels) = open(dir.path(), Path::new("/nowhere")).await;
        assert_eq!(extra.list().await.expect("works"), ["console.example.com"]);
        let live = channels.https.current();
        assert_eq!(live.material.leaf().sans, ["localhost", "console.example.com"]);
        leaves.push(live.material.leaf().sha256.clone());
        extra.0.store.close().await;
    }
    assert_eq!(leaves[0], leaves[1]);
}

#[tokio::test]
async fn a_channel_on_custom_certificates_keeps_them_and_the_new_one_waits() {
    let (data, custom) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let pair = Ca::new("custom").issue(&Leaf::server(&["custom.example.com"]));
    testpki::write_console_https(custom.path(), &pair, Writing::InPlace);
    let (extra, channels) = open(data.path(), custom.path()).await;
    let (https, mut defender) = (channels.https.clone(), channels.defender.clone());
    let (tasks, shutdown) = (Tasks::new(), CancellationToken::new());
    let (outcomes, mut received) = mpsc::channel(8);
    channels.run(&tasks, &outcomes, &shutdown);

    extra.replace(&names(&["console.example.com"]), &admin()).await.expect("works");
    let live = defender.changed().await.expect("it rotates");
    assert_eq!(live.material.leaf().sans, ["localhost", "console.example.com"]);
    let outcome = received.recv().await.expect("an event");
    assert!(
        matches!(outcome, certs::Outcome::Rotated { channel: Channel::ConsoleDefender, .. }),
        "{outcome:?}"
    );
    assert_eq!(https.current().source, Source::Custom);
    assert_eq!(https.current().generation, 1, "not disturbed");
    shutdown.cancel();
    extra.0.store.close().await;

    std::fs::remove_dir_all(custom.path()).expect("removed");
    let (extra, channels) = open(data.path(), custom.path()).await;
    assert_eq!(channels.https.current().material.leaf().sans, ["localhost", "console.example.com"]);
    extra.0.store.close().await;
}

#[tokio::test]
async fn names_of_another_console_come_with_the_next_look_and_foreign_values_do_no_harm() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (extra, channels) = open(dir.path(), Path::new("/nowhere")).await;
    let mut https = channels.https.clone();
    let (tasks, shutdown) = (Tasks::new(), CancellationToken::new());
    let (outcomes, _received) = mpsc::channel(8);
    channels.run(&tasks, &outcomes, &shutdown);
    for (value, expected) in [(r#"["elsewhere.example.com", "a b"]"#, 2), ("no JSON", 1)] {
        extra.0.store.set_setting(SETTING, value).await.expect("works");
        extra.look(OffsetDateTime::now_utc()).await.expect("works");
        assert_eq!(https.changed().await.expect("it rotates").material.leaf().sans.len(), expected);
    }
    shutdown.cancel();
}

#[tokio::test]
async fn certificates_that_cannot_be_written_are_an_error_and_what_runs_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (extra, channels) = open(dir.path(), Path::new("/nowhere")).await;
    std::fs::remove_dir_all(dir.path().join("certificates")).expect("removed");
    let outcome = extra.replace(&names(&["console.example.com"]), &admin()).await;
    assert!(matches!(outcome, Err(NamesError::Issue(_))), "{outcome:?}");
    assert_eq!(channels.https.current().material.leaf().sans, ["localhost"]);
    assert_eq!(extra.list().await.expect("works"), ["console.example.com"], "for the next look");
}
