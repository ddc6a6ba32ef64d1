//! Tests of `mod.rs` with a database that fails and comes back: what is promised is on disk, or it is not done.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use certs::{CustomDir, Guard};

use super::*;
use crate::channels::Channels;
use crate::config::Database;
use crate::fleet::fixture::hello;
use crate::store::audits::AuditQuery;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The enrolment of a Console without listeners.
struct Bench {
    enrolment: Enrolment,
    store: Store,
    _channels: Channels,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&Database::Embedded(dir.path().join("console.db"))).await.expect("opens");
        let nowhere = CustomDir::open(Path::new("/nowhere"), Duration::from_secs(10));
        let names = vec!["localhost".to_owned()];
        let channels =
            Channels::open(&dir.path().join("certificates"), &nowhere, names, &[], &Guard::default(), now())
                .expect("opens");
        let (authority, defender) = (Arc::clone(&channels.authority), channels.defender.clone());
        let lives = Lives { own: MONTH, return_within: MONTH };
        let enrolment = Enrolment::new(authority, defender, store.clone(), State::default(), lives);
        Self { enrolment, store, _channels: channels, _dir: dir }
    }

    /// From now on the database takes no row of `table`.
    async fn fail(&self, table: &str) {
        // A name of its own: a connection that has not seen yet that another trigger is gone refuses to reuse its name.
        self.execute(format!(
            "CREATE TRIGGER no_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no space left'); END"
        ))
        .await;
    }

    /// From now on it does again.
    async fn mend(&self, table: &str) {
        self.execute(format!("DROP TRIGGER no_{table}")).await;
    }

    async fn execute(&self, sql: String) {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(self.store.pool()).await.expect("works");
    }

    /// A bundle for so many Defenders, as the connection shows it.
    async fn bundle(&self, max_uses: Option<u64>, now: OffsetDateTime) -> ClientCredential {
        let before: Vec<_> = self.enrolment.registrations().into_iter().map(|one| one.id).collect();
        let order = BundleOrder { life: Duration::from_secs(60 * 60), max_uses };
        self.enrolment.install_bundle(order, &Actor::console(), "localhost", now).await.expect("issued");
        let mut new = self.enrolment.registrations();
        new.retain(|one| !before.contains(&one.id));
        let [new] = new.try_into().expect("one more");
        ClientCredential {
            mark: Mark::Registration(new.id),
            not_before: now,
            not_after: new.expires_at,
            issuer: self.enrolment.authorities().1,
            sha256: new.sha256,
        }
    }

    async fn sign(&self, credential: &ClientCredential, id: Uuid) -> Result<(String, String), EnrolError> {
        let request = certs::request().expect("a key");
        self.enrolment.sign(&request.csr_pem, credential, id, HERE, now()).await
    }

    /// Who has used the registration, as a Console that starts now learns it.
    async fn users(&self, credential: &ClientCredential) -> Vec<Uuid> {
        let Mark::Registration(id) = credential.mark else { return Vec::new() };
        let state = self.store.enrolment().await.expect("reads");
        state.registrations[&id].uses.keys().copied().collect()
    }

    /// How many entries of this action the audit log has.
    async fn entries(&self, action: Action) -> u64 {
        let query = AuditQuery { action: Some(action.as_str().to_owned()), ..AuditQuery::default() };
        self.store.audits(&query, 0, 1).await.expect("reads").1
    }
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[tokio::test]
async fn a_use_that_counts_is_on_disk_before_there_is_a_certificate_however_often_the_write_fails() {
    let bench = Bench::new().await;
    let bundle = bench.bundle(Some(1), now()).await;
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    bench.fail("registration_uses").await;
    for _ in 0..3 {
        let refused = bench.sign(&bundle, first).await;
        assert!(matches!(refused, Err(EnrolError::Store(_))), "{refused:?}");
    }
    bench.enrolment.flush().await;
    assert!(
        matches!(bench.sign(&bundle, first).await, Err(EnrolError::Store(_))),
        "after a flush that failed too"
    );
    assert!(bench.users(&bundle).await.is_empty());

    bench.mend("registration_uses").await;
    bench.sign(&bundle, first).await.expect("the database takes it");
    assert_eq!(bench.users(&bundle).await, [first]);
    bench.sign(&bundle, first).await.expect("once is enough");
    let refused = bench.sign(&bundle, second).await;
    assert!(matches!(refused, Err(EnrolError::Refused(Refused::UsedUp))), "{refused:?}");
}

#[tokio::test]
async fn who_asks_while_the_use_is_being_written_waits_for_the_disk_as_well() {
    let bench = Bench::new().await;
    let bundle = bench.bundle(Some(1), now()).await;
    let (id, rules) = (Uuid::new_v4(), bench.enrolment.rules());
    let note = || bench.enrolment.known().note_enrolment(&bundle, id, HERE, &rules, now()).expect("admitted");
    let use_ = note().expect("to be written");
    let being_written = bench.enrolment.known().take_rows();
    assert_eq!(being_written.uses, std::slice::from_ref(&use_));
    assert_eq!(note(), Some(use_), "another connection during the write");
    bench.enrolment.known().wrote(&being_written.uses);
    assert_eq!(note(), None, "after it");
}

#[tokio::test]
async fn what_could_not_be_written_is_written_with_the_next_change() {
    let bench = Bench::new().await;
    let bundle = bench.bundle(None, now()).await;
    let id = Uuid::new_v4();
    bench.fail("registration_uses").await;
    bench.sign(&bundle, id).await.expect("nothing is counted");
    bench.enrolment.flush().await;
    assert!(bench.users(&bundle).await.is_empty());
    bench.mend("registration_uses").await;
    bench.enrolment.flush().await;
    assert_eq!(bench.users(&bundle).await, [id]);
    assert!(bench.store.enrolment().await.expect("reads").enrolled.contains_key(&id));
    assert!(bench.enrolment.known().take_rows().uses.is_empty());
}

#[tokio::test]
async fn a_bundle_without_its_entry_in_the_audit_log_does_not_come_to_be() {
    let bench = Bench::new().await;
    bench.fail("audits").await;
    let order = BundleOrder::default();
    let refused = bench.enrolment.install_bundle(order, &Actor::console(), "localhost", now()).await;
    assert!(matches!(refused, Err(EnrolError::Store(_))));
    assert!(bench.enrolment.registrations().is_empty());
    assert!(bench.store.enrolment().await.expect("reads").registrations.is_empty());

    bench.mend("audits").await;
    bench.bundle(None, now()).await;
    assert_eq!(bench.entries(Action::BundleIssued).await, 1);
    assert_eq!(bench.store.enrolment().await.expect("reads").registrations.len(), 1);
}

#[tokio::test]
async fn an_approved_return_is_on_disk_with_its_entry_or_not_approved() {
    let bench = Bench::new().await;
    let id = Uuid::new_v4();
    let hello = hello(id);
    bench.enrolment.note_return(&hello, HERE, Refused::NeedsApproval, now());
    for table in ["enrolments", "audits"] {
        bench.fail(table).await;
        bench.enrolment.approve(id, Actor::console(), now()).await.expect_err("it cannot be kept");
        bench.enrolment.flush().await;
        assert!(bench.enrolment.is_waiting(id), "{table}: it still waits");
        assert_eq!(bench.entries(Action::ReturnApproved).await, 0, "{table}");
        bench.mend(table).await;
        assert!(bench.store.enrolment().await.expect("reads").enrolled.is_empty(), "{table}");
    }
    let approved = bench.enrolment.approve(id, Actor::console(), now()).await.expect("kept");
    assert_eq!(approved.map(|one| one.hostname), Some(hello.defender.hostname));
    let kept = bench.store.enrolment().await.expect("reads");
    assert!(kept.enrolled[&id].approved_until.is_some_and(|until| until > now()), "before any flush");
    assert_eq!(bench.entries(Action::ReturnApproved).await, 1);
    assert!(!bench.enrolment.is_waiting(id));
}

#[tokio::test]
async fn registrations_that_expired_thirty_days_ago_are_listed_no_more() {
    let bench = Bench::new().await;
    let hour = time::Duration::HOUR;
    let long_ago = bench.bundle(None, now() - KEEP_EXPIRED - hour * 2).await;
    let lately = bench.bundle(None, now() - KEEP_EXPIRED).await;
    let fresh = bench.bundle(None, now()).await;
    let mut listed: Vec<_> =
        bench.enrolment.registrations().into_iter().map(|one| Mark::Registration(one.id)).collect();
    listed.sort_by_key(|mark| *mark != lately.mark);
    assert_eq!(listed, [lately.mark, fresh.mark], "without {long_ago:?}");
    let stored = bench.store.enrolment().await.expect("reads").registrations;
    assert!(stored.keys().eq(bench.enrolment.known().state.registrations.keys()), "{stored:?}");
}
