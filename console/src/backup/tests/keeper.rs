//! Backups that are made on schedule and after steps of a rotation, and how the schedule is changed.

use super::super::keeper::{Keeper, Schedule};
use super::super::kept::Kept;
use super::super::schedule::Every;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_backup_is_made_at_the_start_and_only_so_many_are_kept() {
    let place = Place::new().await;
    let store = place.store().await;
    let keeper = Keeper::new(store.clone(), place.database(), &place.data());
    let schedule = Schedule { every: Every::Daily, hour: 0, keep: 2, since: 1 };
    keeper.change(schedule, Some(passphrase()), &Actor::console()).await.expect("works");
    let secret = std::fs::metadata(place.data().join("backup-passphrase")).expect("there");
    assert_eq!(secret.permissions().mode() & 0o777, 0o600);
    let unfinished = place.data().join("backups/.garrison-killed.backup.unfinished");
    std::fs::create_dir(place.data().join("backups")).expect("writable");
    std::fs::write(&unfinished, "half").expect("writable");

    let (shutdown, tasks) = (tokio_util::sync::CancellationToken::new(), lifecycle::Tasks::new());
    tasks.spawn("backups", keeper.clone().run(shutdown.clone()));
    kept(&keeper, |kept| kept.len() == 1).await;
    shutdown.cancel();
    tasks.drain(Duration::from_secs(20)).await;
    assert!(!unfinished.exists());

    for _ in 0..2 {
        keeper.make(Kind::Scheduled, &Actor::console()).await.expect("works");
    }
    keeper.make(Kind::Requested, &Actor::console()).await.expect("works");
    let gone = keeper.folder().prune(2).expect("works");
    let kinds: Vec<_> = keeper.folder().list().expect("works").iter().map(|kept| kept.kind).collect();
    assert_eq!(
        (gone.len(), kinds.len()),
        (1, 3),
        "two scheduled ones and the one that was asked for: {kinds:?}"
    );

    // A failure is there to be seen, and a success ends it.
    std::fs::rename(place.data().join("certificates"), place.data().join("elsewhere")).expect("there");
    keeper.make(Kind::Requested, &Actor::console()).await.expect_err("fails");
    assert!(keeper.failure().is_some_and(|failure| failure.cause.contains("certificates")));
    std::fs::rename(place.data().join("elsewhere"), place.data().join("certificates")).expect("there");
    keeper.make(Kind::Requested, &Actor::console()).await.expect("works");
    assert!(keeper.failure().is_none());
    store.close().await;
}

/// What is kept once `condition` holds, newest first.
async fn kept(keeper: &Keeper, condition: impl Fn(&[Kept]) -> bool) -> Vec<Kept> {
    let there = async {
        loop {
            let kept = keeper.list().await.expect("works");
            if condition(&kept) {
                return kept;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there).await.expect("comes")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_backup_is_followed_by_another_one_that_counts_as_scheduled() {
    let place = Place::new().await;
    let store = place.store().await;
    let keeper = Keeper::new(store.clone(), place.database(), &place.data());
    // Nothing is due by the clock.
    let since = crate::store::milliseconds(OffsetDateTime::now_utc());
    let schedule = |every| Schedule { every, hour: 0, keep: 1, since };
    let (shutdown, tasks) = (tokio_util::sync::CancellationToken::new(), lifecycle::Tasks::new());
    keeper.change(schedule(Every::Off), Some(passphrase()), &Actor::console()).await.expect("works");
    let mut outdated = true;
    keeper.look(&mut outdated).await;
    assert!(!outdated && keeper.list().await.expect("works").is_empty(), "there is no schedule");

    keeper.change(schedule(Every::Monthly), None, &Actor::console()).await.expect("works");
    keeper.make(Kind::Requested, &Actor::console()).await.expect("works");
    tasks.spawn("backups", keeper.clone().run(shutdown.clone()));
    keeper.outdate();
    let first = kept(&keeper, |kept| kept.len() == 2).await.remove(0);
    assert_eq!(first.kind, Kind::Scheduled);
    keeper.outdate();
    let left = kept(&keeper, |kept| kept.len() == 2 && !kept.contains(&first)).await;
    assert_eq!(left.iter().map(|kept| kept.kind).collect::<Vec<_>>(), [Kind::Scheduled, Kind::Requested]);
    shutdown.cancel();
    tasks.drain(Duration::from_secs(20)).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_no_backup_followed_because_the_console_stopped_is_followed_by_one_at_the_next_start() {
    let place = Place::new().await;
    let store = place.store().await;
    let keeper = Keeper::new(store.clone(), place.database(), &place.data());
    let now = OffsetDateTime::now_utc();
    let written = |name: &str, at: OffsetDateTime| {
        let path = place.data().join("certificates").join(name);
        let file = std::fs::File::options().create(true).append(true).open(path).expect("writable");
        file.set_modified(at.into()).expect("ours");
    };
    // Nothing is due by the clock.
    let since = crate::store::milliseconds(now - time::Duration::seconds(5));
    let schedule = Schedule { every: Every::Monthly, hour: 0, keep: 7, since };
    keeper.change(schedule, Some(passphrase()), &Actor::console()).await.expect("works");
    written("ca.pem", now - time::Duration::minutes(1));
    assert!(!keeper.lacks_a_step().await, "the schedule was set after it");
    written("rotation", now - time::Duration::seconds(2));
    assert!(keeper.lacks_a_step().await);

    let (shutdown, tasks) = (tokio_util::sync::CancellationToken::new(), lifecycle::Tasks::new());
    tasks.spawn("backups", keeper.clone().run(shutdown.clone()));
    kept(&keeper, |kept| kept.len() == 1).await;
    shutdown.cancel();
    tasks.drain(Duration::from_secs(20)).await;
    written("console.pem", now + time::Duration::minutes(1));
    assert!(!keeper.lacks_a_step().await, "a server certificate is no step");
    written("retired.pem", now + time::Duration::minutes(1));
    assert!(keeper.lacks_a_step().await);
    store.close().await;
}

#[tokio::test]
async fn schedule_and_passphrase_change_with_their_entries_or_not_at_all() {
    let place = Place::new().await;
    let store = place.store().await;
    let keeper = Keeper::new(store.clone(), place.database(), &place.data());
    let schedule = Schedule { every: Every::Daily, hour: 3, keep: 2, since: 1 };
    let entries = async || match store.verify_audits().await.expect("works") {
        Chain::Unbroken { entries } => entries,
        broken => panic!("{broken:?}"),
    };
    let before = entries().await;
    // The schedule and its entry could be written; the entry of the passphrase cannot.
    let trigger = "CREATE TRIGGER broken BEFORE INSERT ON audits WHEN NEW.object = 'backup-passphrase' \
        BEGIN SELECT RAISE(ABORT, 'no space left'); END";
    sqlx::query(trigger).execute(store.pool()).await.expect("works");
    keeper.change(schedule, Some(passphrase()), &Actor::console()).await.expect_err("no entry");
    assert_eq!(keeper.schedule().await.expect("works"), Schedule::default());
    assert!(!keeper.has_passphrase().await);
    assert_eq!(entries().await, before);

    sqlx::query("DROP TRIGGER broken").execute(store.pool()).await.expect("works");
    keeper.change(schedule, Some(passphrase()), &Actor::console()).await.expect("works");
    assert_eq!(keeper.schedule().await.expect("works"), schedule);
    assert!(keeper.has_passphrase().await);
    assert_eq!(entries().await, before + 2);
    keeper.change(schedule, Some(passphrase()), &Actor::console()).await.expect("works");
    assert_eq!(entries().await, before + 3, "another passphrase, the same schedule");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_come_one_after_the_other() {
    let place = Place::new().await;
    let store = place.store().await;
    let keeper = Keeper::new(store.clone(), place.database(), &place.data());
    let text = |keep: u32| format!("the passphrase beside {keep}");
    let changes = (1..=8).map(|keep| {
        let schedule = Schedule { every: Every::Daily, hour: 3, keep, since: 1 };
        let passphrase = Passphrase::parse(&text(keep)).expect("long enough");
        let keeper = keeper.clone();
        async move { keeper.change(schedule, Some(passphrase), &Actor::console()).await }
    });
    for changed in futures_util::future::join_all(changes).await {
        changed.expect("works");
    }
    let secret = std::fs::read_to_string(place.data().join("backup-passphrase")).expect("there");
    assert_eq!(secret, text(keeper.schedule().await.expect("works").keep), "both are of one change");
    store.close().await;
}
