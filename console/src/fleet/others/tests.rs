//! Tests of `others.rs`: two Consoles with one database.

use lifecycle::Tasks;
use protocol::Close;
use uuid::Uuid;

use super::*;
use crate::config::Database;
use crate::fleet::fixture::hello;
use crate::store::audits::Actor;
use crate::store::writer::Writer;

async fn console(store: &Store, tasks: &Tasks, shutdown: &CancellationToken) -> Fleet {
    let records = store.defenders().await.expect("reads");
    let (writer, task) = Writer::new(store.clone(), &records);
    tasks.spawn("store writer", task.run(shutdown.clone()));
    Fleet::new(records, Vec::new(), writer, certs::Guard::default())
}

#[tokio::test]
async fn what_one_console_decommissions_every_console_of_the_database_refuses() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = Database::Embedded(dir.path().join("console.db"));
    let (store, tasks, shutdown) =
        (Store::open(&database).await.expect("opens"), Tasks::new(), CancellationToken::new());
    let (here, there) = (console(&store, &tasks, &shutdown).await, console(&store, &tasks, &shutdown).await);
    let now = OffsetDateTime::now_utc();
    let address = "192.0.2.1".parse().expect("an address");
    // One is known to both, one only to the Console that decommissions it.
    let (both, one) = (Uuid::new_v4(), Uuid::new_v4());
    let session = there.arrive(&hello(both), address, now).expect("taken in").session;
    for id in [both, one] {
        here.arrive(&hello(id), address, now).expect("taken in");
        let actor = Actor { user: "admin".to_owned(), address: String::new() };
        assert!(here.decommission(id, actor, now).await.expect("kept"));
        assert!(here.is_decommissioned(id));
    }
    look(&there, &store, now).await.expect("reads");
    for id in [both, one] {
        assert!(there.is_decommissioned(id));
        assert_eq!(there.arrive(&hello(id), address, now).err(), Some(Close::Decommissioned));
    }
    assert!(session.ordered().is_some(), "the session is closed");
    assert_eq!(there.connected(), 0);
    let told = there.events_since(Some(0)).replay.len();
    look(&there, &store, now).await.expect("reads");
    assert_eq!(there.events_since(Some(0)).replay.len(), told, "told once");
}
