//! The Console of the model: its authority, enrolment, fleet, store and rotation, opened as the program opens them, and
//! told what time it is. There are no sockets, and the tasks that read the real clock do not run.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certs::{Authority, Channel, CustomDir, Guard, Source, tls};
use console::authority::{AuthorityRotation, RotationError, Step};
use console::backup::keeper::Keeper;
use console::channels::Channels;
use console::config::Database;
use console::enroll::{BundleOrder, Enrolment, Lives};
use console::fleet::{Fleet, SessionHandle};
use console::gateway::{self, Origin, Renewal};
use console::names::ExtraNames;
use console::store::Store;
use console::store::audits::Actor;
use console::store::writer::Writer;
use defender::candidates::Candidate;
use lifecycle::Tasks;
use protocol::message::{Authorities, Certificate, DefenderIdentity};
use rustls::ServerConfig;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::tls::shake_hands;

/// A Console that runs.
pub(super) struct Console {
    store: Store,
    fleet: Fleet,
    enrolment: Enrolment,
    rotation: AuthorityRotation,
    guard: Guard,
    server: ServerConfig,
    fingerprint: certs::Fingerprint,
    /// Rises with each new configuration, which all sessions move to.
    pub(super) generation: u64,
    /// Held, because the channels' subscribers are of use only while it is there.
    _channels: Channels,
    writer: JoinHandle<()>,
    flush: CancellationToken,
}

/// One connection, as the Console has it.
pub(super) struct Line {
    handle: Arc<SessionHandle>,
    renewal: Renewal,
    id: Uuid,
}

impl Console {
    /// Starts it on what `dir` holds.
    pub(super) async fn open(dir: &Path, lives: Lives, now: OffsetDateTime) -> Self {
        let database = Database::Embedded(dir.join("console.db"));
        let store = Store::open(&database).await.expect("opens");
        let nowhere = CustomDir::open(Path::new("/nowhere"), Duration::from_secs(10));
        let names = vec!["console.test".to_owned()];
        let guard = Guard::default();
        let channels =
            Channels::open(&dir.join("certificates"), &nowhere, names, &[], &guard, now).expect("opens");
        let records = store.defenders().await.expect("reads");
        let enrolled = store.enrolment().await.expect("reads");
        let (writer, task) = Writer::new(store.clone(), &records);
        let flush = CancellationToken::new();
        let writer_task = Tasks::new().spawn("store writer", task.run(flush.clone()));
        let seen = store.certificates_seen().await.expect("reads");
        let fleet = Fleet::new(records, seen, writer, guard.clone());
        let enrolment = Enrolment::new(
            Arc::clone(&channels.authority),
            channels.defender.clone(),
            store.clone(),
            enrolled,
            lives,
        );
        let rotation = AuthorityRotation {
            renewal: Arc::clone(&channels.renewal),
            names: ExtraNames::new(store.clone(), Arc::clone(&channels.renewal)),
            enrolment: enrolment.clone(),
            fleet: fleet.clone(),
            store: store.clone(),
            backups: Keeper::new(store.clone(), database, dir),
        };
        let (server, fingerprint) = configuration(&channels.authority, &guard, now);
        Self {
            store,
            fleet,
            enrolment,
            rotation,
            guard,
            server,
            fingerprint,
            generation: 1,
            _channels: channels,
            writer: writer_task,
            flush,
        }
    }

    /// Stops in good order.
    pub(super) async fn stop(self) {
        self.enrolment.flush().await;
        self.flush.cancel();
        self.writer.await.expect("the writer ends");
        self.store.close().await;
    }

    /// What is in memory alone is gone.
    pub(super) async fn kill(self) {
        self.writer.abort();
        let _ = self.writer.await;
        self.store.close().await;
    }

    /// What the program does every hour, and half a second after a change.
    pub(super) async fn look(&mut self, now: OffsetDateTime) {
        self.enrolment.flush().await;
        self.rotation.look(now).await;
        self.rotation.names.look(now).await.expect("issues");
        self.refresh(now);
    }

    fn refresh(&mut self, now: OffsetDateTime) {
        let authority = self.rotation.renewal.authority();
        let (server, fingerprint) = configuration(authority, &self.guard, now);
        if fingerprint != self.fingerprint {
            (self.server, self.fingerprint) = (server, fingerprint);
            self.generation += 1;
        }
    }

    pub(super) async fn bundle(&self, order: BundleOrder, now: OffsetDateTime) -> String {
        let made = self.enrolment.install_bundle(order, &administrator(), "model", now).await;
        made.expect("a bundle").to_string()
    }

    /// Takes a step; `false` when it is refused. A step that would leave Defenders behind must be.
    pub(super) async fn step(&mut self, step: Step, now: OffsetDateTime) -> bool {
        let behind = self.rotation.progress().behind;
        let is_safe = match &step {
            Step::Retire(except) => behind.iter().all(|one| except.contains(&one.id)),
            _ => true,
        };
        let taken = self.rotation.step(step, &administrator(), now).await;
        self.refresh(now);
        match taken {
            Ok(()) => {
                assert!(is_safe, "the old CA was retired under {behind:?}");
                true
            }
            Err(RotationError::Behind { count, .. }) => {
                assert!(!is_safe && count > 0);
                false
            }
            Err(RotationError::Step(certs::StepError::NotNow(_))) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Those who have not moved.
    pub(super) fn behind(&self) -> Vec<Uuid> {
        self.rotation.progress().behind.into_iter().map(|one| one.id).collect()
    }

    /// SHA-256 of the CA that signs.
    pub(super) fn ca(&self) -> String {
        self.rotation.renewal.authority().ca_sha256()
    }

    pub(super) async fn decommission(&self, id: Uuid, now: OffsetDateTime) -> bool {
        self.fleet.decommission(id, administrator(), now).await.expect("kept")
    }

    /// An administrator who approves whoever waits and belongs to the fleet.
    pub(super) async fn approve_all(&self, members: &[Uuid], now: OffsetDateTime) {
        for (id, _) in self.enrolment.returns() {
            if members.contains(&id) {
                self.enrolment.approve(id, administrator(), now).await.expect("kept");
            }
        }
    }

    /// A Defender dials with `candidate`, by its own clock. Why not, in words, or the line and what the Console says
    /// right after `welcome`.
    pub(super) fn accept(
        &self,
        candidate: &Candidate,
        identity: &DefenderIdentity,
        (now, its_clock): (OffsetDateTime, OffsetDateTime),
    ) -> Result<(Line, Option<Authorities>), String> {
        let chain = shake_hands((&self.server, now), (&candidate.tls, its_clock));
        let chain = chain.map_err(|error| error.to_string())?;
        let credential = gateway::credential(&chain).expect("a certificate");
        let hello = candidate.hello(identity, Uuid::new_v4());
        let origin = Origin { source: Source::SelfSigned, address: ADDRESS };
        let arrival = gateway::verdict(&self.fleet, &self.enrolment, &hello, &credential, origin, now)
            .map_err(|verdict| format!("{}: {}", verdict.close.code(), verdict.cause))?;
        let mut renewal = Renewal::new(credential, origin, hello.authorities, &self.enrolment, now);
        let first = renewal.first(&self.enrolment, self.fleet.connected());
        Ok((Line { handle: arrival.session, renewal, id: identity.id }, first))
    }

    pub(super) async fn answer(&self, line: &mut Line, csr: &str, now: OffsetDateTime) -> Certificate {
        line.renewal.answer(&self.enrolment, csr, line.id, now).await
    }

    pub(super) fn prompt(&self, line: &mut Line, now: OffsetDateTime) -> Option<Authorities> {
        line.renewal.prompt(&self.enrolment, now)
    }

    pub(super) fn hang_up(&self, line: &Line, now: OffsetDateTime) {
        self.fleet.leave(&line.handle, "the line ended", now);
    }
}

/// What the channel of the Defender listener publishes once it has new material.
fn configuration(
    authority: &Authority,
    guard: &Guard,
    now: OffsetDateTime,
) -> (ServerConfig, certs::Fingerprint) {
    let names = ["console.test".to_owned()];
    let material = authority.server_material(Channel::ConsoleDefender, &names, now).expect("issued");
    let config = tls::console_defender(&material, guard).expect("a configuration");
    (config, material.fingerprint())
}

fn administrator() -> Actor {
    Actor { user: "admin".to_owned(), address: "192.0.2.1".to_owned() }
}

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
