//! One host of the model: a Defender's certificates, candidates and schedule as in the program, a clock that may be
//! wrong, and a line to the Console, or none.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certs::{Channel, CustomDir, Material, Rotation, Subscriber, tls};
use defender::bundle;
use defender::candidates::{Candidate, Kind, candidates, own_candidate};
use defender::cli::BundleText;
use defender::own::{Kept, Now, OwnCertificate};
use defender::schedule::{Basis, Schedule};
use protocol::message::{Authorities, Certificate, DefenderIdentity};
use rustls::ClientConfig;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::console::{Console, Line};

/// A host with a Defender.
pub(super) struct Host {
    pub(super) id: Uuid,
    identity: DefenderIdentity,
    dir: PathBuf,
    share: fn() -> f64,
    bundle: Arc<Material>,
    live: Subscriber<ClientConfig>,
    _follows: Rotation<ClientConfig>,
    own: OwnCertificate,
    session: Option<Session>,
    /// How far its clock is ahead.
    pub(super) skew: time::Duration,
    /// Whether it runs.
    pub(super) is_up: bool,
    /// Whether it was decommissioned.
    pub(super) is_out: bool,
    /// Since when it should be connected and is not, and what it heard.
    pub(super) cut: Option<(OffsetDateTime, Vec<String>)>,
    tried_at: Option<OffsetDateTime>,
}

struct Session {
    line: Line,
    schedule: Schedule,
    generation: u64,
}

impl Host {
    /// A host that was set up with an install bundle.
    pub(super) fn new(number: usize, root: &Path, text: &str, now: Now) -> Self {
        let dir = root.join(format!("host-{number}"));
        std::fs::create_dir(&dir).expect("a directory");
        let bundle = Arc::new(bundle::decode(&BundleText::new(text.to_owned())).expect("a bundle"));
        let nowhere = CustomDir::open(Path::new("/nowhere"), Duration::from_secs(10));
        let (_, fallback) = watch::channel(Arc::clone(&bundle));
        let (live, rotation) =
            Rotation::start(Channel::Defender, &nowhere, None, fallback, tls::defender_client)
                .expect("a configuration");
        let share: fn() -> f64 = match number % 3 {
            0 => || 0.5,
            1 => || 0.0,
            _ => || 1.0,
        };
        let id = Uuid::from_u128(0x1000 + u128::try_from(number).expect("small"));
        let word = |text: &str| text.to_owned();
        let identity = DefenderIdentity {
            id,
            hostname: format!("host-{number}"),
            version: word(env!("CARGO_PKG_VERSION")),
            os: word("Debian"),
            kernel: word("6"),
            arch: word("x86_64"),
            cluster: None,
        };
        let own = OwnCertificate::open(&dir, share, now);
        Self {
            id,
            identity,
            dir,
            share,
            bundle,
            live,
            _follows: rotation,
            own,
            session: None,
            skew: time::Duration::ZERO,
            is_up: true,
            is_out: false,
            cut: None,
            tried_at: None,
        }
    }

    fn clock(&self, now: Now) -> OffsetDateTime {
        now.wall + self.skew
    }

    pub(super) fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    /// SHA-256 of the certificate of its own.
    pub(super) fn certificate(&self) -> Option<String> {
        self.kept().map(|kept| kept.material.leaf().sha256.clone())
    }

    fn kept(&self) -> Option<Kept> {
        self.own.subscribe().borrow().clone()
    }

    /// The process ends.
    pub(super) fn stop(&mut self, console: Option<&Console>, now: Now) {
        (self.is_up, self.cut) = (false, None);
        self.hang_up(console, now);
    }

    /// The process starts.
    pub(super) fn start(&mut self, now: Now) {
        self.own = OwnCertificate::open(&self.dir, self.share, Now { wall: self.clock(now), ..now });
        (self.is_up, self.tried_at) = (true, None);
    }

    /// The line has broken: it begins anew.
    pub(super) fn redial(&mut self) {
        (self.tried_at, self.cut) = (None, None);
    }

    pub(super) fn hang_up(&mut self, console: Option<&Console>, now: Now) {
        if let Some((session, console)) = self.session.take().zip(console) {
            console.hang_up(&session.line, now.wall);
        }
    }

    /// When it has something to do by itself.
    pub(super) fn due(&self) -> Option<Instant> {
        self.session.as_ref().and_then(|session| session.schedule.due(self.kept().as_ref()))
    }

    /// Does what is to be done now: dials, moves over, renews.
    pub(super) async fn act(&mut self, console: &Console, now: Now) {
        if !self.is_up {
            return;
        }
        let is_stale = self.session.as_ref().is_some_and(|session| session.generation != console.generation);
        if is_stale {
            // The Console asks for a new connection, and cuts the old one after its grace.
            let old = self.session.take();
            self.dial(console, now).await;
            if self.session.is_none()
                && let Some(old) = old
            {
                console.hang_up(&old.line, now.wall);
            }
        } else if self.session.is_none() {
            let is_early = self.tried_at.is_some_and(|at| now.wall - at < RETRY && now.wall >= at);
            if !is_early {
                self.dial(console, now).await;
            }
        }
        let prompt = self.session.as_mut().and_then(|session| console.prompt(&mut session.line, now.wall));
        if let Some(prompt) = prompt {
            self.follow(prompt, console, now).await;
        }
        if self.due().is_some_and(|due| due <= now.steady) {
            self.renew(console, now).await;
        }
        if self.session.is_some() {
            self.cut = None;
        }
    }

    /// Offers what it has, the best first.
    async fn dial(&mut self, console: &Console, now: Now) {
        self.tried_at = Some(now.wall);
        let all = candidates(&self.live.current(), self.kept().as_ref(), Some(&self.bundle));
        let mut heard = Vec::new();
        for candidate in all {
            match self.try_with(&candidate, console, now).await {
                Ok(()) => return,
                Err(error) => heard.push(format!("with {}: {error}", candidate.kind.words())),
            }
        }
        let since = self.cut.take().map_or(now.wall, |(since, _)| since);
        self.cut = Some((since, heard));
    }

    async fn try_with(&mut self, candidate: &Candidate, console: &Console, now: Now) -> Result<(), String> {
        let clocks = (now.wall, self.clock(now));
        let (line, first) = console.accept(candidate, &self.identity, clocks)?;
        let basis = match candidate.kind {
            Kind::Registration => Basis::Registration,
            _ => Basis::Own,
        };
        let schedule = Schedule::new(basis, self.kept().as_ref(), (self.share)(), now.steady);
        self.session = Some(Session { line, schedule, generation: console.generation });
        if candidate.kind == Kind::Registration {
            self.renew(console, now).await;
        }
        if let Some(first) = first {
            self.follow(first, console, now).await;
        }
        Ok(())
    }

    /// What the Console says about certificates.
    async fn follow(&mut self, told: Authorities, console: &Console, now: Now) {
        let is_news = self.own.learn(told.ca, now.steady).await.expect("kept");
        if told.renew {
            if let Some(session) = self.session.as_mut() {
                session.schedule.tell();
            }
            self.renew(console, now).await;
        } else if is_news {
            self.move_over(console, now).await;
        }
    }

    async fn renew(&mut self, console: &Console, now: Now) {
        let Some(session) = &mut self.session else { return };
        let request = certs::request().expect("a key");
        let kept = self.own.subscribe().borrow().clone();
        match console.answer(&mut session.line, &request.csr_pem, now.wall).await {
            Certificate::Issued { chain, ca } => {
                self.own.keep(&request, chain, ca, now.steady).await.expect("kept");
                session.schedule.succeed();
                self.move_over(console, now).await;
            }
            Certificate::Refused { .. } => {
                session.schedule.fail(kept.as_ref(), (self.share)(), now.steady);
            }
        }
    }

    /// Make before break: the old line stays when the new certificate is not taken.
    async fn move_over(&mut self, console: &Console, now: Now) {
        let Some(own) = own_candidate(self.kept().as_ref()) else { return };
        let clocks = (now.wall, self.clock(now));
        if let Ok((line, first)) = console.accept(&own, &self.identity, clocks) {
            let schedule = Schedule::new(Basis::Own, self.kept().as_ref(), (self.share)(), now.steady);
            self.session = Some(Session { line, schedule, generation: console.generation });
            assert!(first.is_none_or(|first| !first.renew), "a certificate of a moment ago is renewed again");
        }
    }
}

/// Longer than the program waits, so that a year is not made of attempts.
const RETRY: time::Duration = time::Duration::hours(6);
