//! The Console and the hosts of the model, and the time that passes for them.

use std::collections::BTreeSet;
use std::time::Duration;

use console::authority::Step;
use console::enroll::{BundleOrder, Lives};
use defender::own::Now;
use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration as Days, OffsetDateTime};
use tokio::time::Instant;

use super::console::Console;
use super::host::Host;

/// Everything.
pub(super) struct World {
    dir: TempDir,
    lives: Lives,
    begun: Instant,
    now: OffsetDateTime,
    pub(super) console: Option<Console>,
    pub(super) hosts: Vec<Host>,
    /// Bundles that were made, with the end of their life.
    bundles: Vec<(String, OffsetDateTime)>,
    /// Every CA that ever signed.
    pub(super) cas: BTreeSet<String>,
    /// Every certificate that a Defender ever had.
    pub(super) certificates: BTreeSet<String>,
}

impl World {
    pub(super) async fn new(lives: Lives) -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let dir = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let dir = dir.expect("a directory");
        let console = Some(Console::open(dir.path(), lives, START).await);
        Self {
            dir,
            lives,
            begun: Instant::now(),
            now: START,
            console,
            hosts: Vec::new(),
            bundles: Vec::new(),
            cas: BTreeSet::new(),
            certificates: BTreeSet::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        let passed = Duration::try_from(self.now - START).expect("time goes on");
        Now { wall: self.now, steady: self.begun + passed }
    }

    /// Makes a bundle to be used later.
    pub(super) async fn bundle(&mut self, life: Duration) {
        let Some(console) = &self.console else { return };
        let text = console.bundle(BundleOrder { life, max_uses: None }, self.now).await;
        self.bundles.push((text, self.now + life));
    }

    /// A host is set up with one of the bundles that are still good, the oldest for 0.
    pub(super) async fn join(&mut self, which: usize) {
        self.bundles.retain(|(_, end)| *end > self.now);
        if self.bundles.is_empty() {
            self.bundle(DAY).await;
        }
        let Some((text, _)) = self.bundles.get(which % self.bundles.len().max(1)) else { return };
        let now = self.now();
        self.hosts.push(Host::new(self.hosts.len(), self.dir.path(), &text.clone(), now));
        self.act().await;
        let (host, is_open) = (self.hosts.last().expect("just joined"), self.console.is_some());
        assert!(!is_open || host.is_connected(), "{} cannot join: {:?}", host.id, host.cut);
    }

    /// `kill -9`, and the start that follows.
    pub(super) async fn crash(&mut self) {
        if let Some(console) = self.console.take() {
            console.kill().await;
        }
        self.start_console().await;
    }

    pub(super) async fn stop_console(&mut self) {
        let now = self.now();
        self.hosts.iter_mut().for_each(|host| host.hang_up(self.console.as_ref(), now));
        if let Some(console) = self.console.take() {
            console.stop().await;
        }
    }

    pub(super) async fn start_console(&mut self) {
        let now = self.now();
        // The lines are gone with the process.
        self.hosts.iter_mut().for_each(|host| host.hang_up(None, now));
        if self.console.is_none() {
            self.console = Some(Console::open(self.dir.path(), self.lives, self.now).await);
        }
        self.hosts.iter_mut().for_each(Host::redial);
    }

    /// Takes a step of a rotation; whether it was taken.
    pub(super) async fn step(&mut self, step: Step) -> bool {
        let Some(console) = &mut self.console else { return false };
        let taken = console.step(step, self.now).await;
        self.act().await;
        taken
    }

    pub(super) async fn decommission(&mut self, which: usize) {
        let (Some(console), count) = (&self.console, self.hosts.len()) else { return };
        let Some(host) = self.hosts.get_mut(which % count.max(1)) else { return };
        if console.decommission(host.id, self.now).await {
            host.is_out = true;
            host.hang_up(self.console.as_ref(), Now { wall: self.now, steady: self.begun });
        }
    }

    /// Lets time pass.
    pub(super) async fn pass(&mut self, span: Days) {
        let end = self.now + span;
        while self.now < end {
            let steady = self.now().steady;
            let due = self.hosts.iter().filter_map(Host::due).min();
            let until_due = due.map_or(Days::WEEK, |due| {
                Days::try_from(due.saturating_duration_since(steady)).unwrap_or(Days::WEEK) + Days::SECOND
            });
            let is_someone_cut = self.hosts.iter().any(|host| host.cut.is_some());
            let longest = if is_someone_cut { Days::hours(6) } else { Days::WEEK };
            self.now = (self.now + until_due.min(longest)).min(end);
            if let Some(console) = &mut self.console {
                console.look(self.now).await;
            }
            self.act().await;
        }
    }

    /// Everybody does what is to be done, and nobody may be lost by it.
    pub(super) async fn act(&mut self) {
        let now = self.now();
        if let Some(console) = &self.console {
            self.cas.insert(console.ca());
            for host in &mut self.hosts {
                host.act(console, now).await;
                assert!(!(host.is_out && host.is_connected()), "{} was decommissioned and is back", host.id);
            }
            let members: Vec<_> = self.hosts.iter().filter(|host| !host.is_out).map(|host| host.id).collect();
            console.approve_all(&members, self.now).await;
        }
        self.certificates.extend(self.hosts.iter().filter_map(Host::certificate));
        for host in &mut self.hosts {
            let should = host.is_up && !host.is_out && self.console.is_some() && host.skew.abs() <= Days::DAY;
            match &host.cut {
                Some((since, heard)) if should => {
                    let for_long = self.now - *since;
                    assert!(for_long <= Days::HOUR * 8, "{} is lost for {for_long}: {heard:?}", host.id);
                }
                Some(_) => host.cut = None,
                None => {}
            }
        }
    }

    /// Who is there, of those who should be.
    pub(super) fn assert_all_are_there(&self) {
        for host in self.hosts.iter().filter(|host| !host.is_out) {
            assert!(host.is_connected(), "{} is not there: {:?}", host.id, host.cut);
            assert!(host.certificate().is_some(), "{} has no certificate of its own", host.id);
        }
    }
}

const START: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
