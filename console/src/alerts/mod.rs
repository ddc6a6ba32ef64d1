//! Alerts: what a person should see to, before it breaks. Raised and resolved by rules, kept in the store, told to the
//! readers of events, a webhook, a syslog server, and on every page.
//!
//! ```text
//! alert.rs      what an alert is
//! facts.rs      what is so now
//! rules.rs      facts + open alerts + time -> what to raise and to resolve; pure
//! watch.rs      applies the rules every few seconds
//! settings.rs   thresholds and receivers
//! notice.rs     what receivers are told
//! delivery.rs   from the queue in the store to a receiver, again and again
//! webhook.rs  syslog.rs  outbound.rs  sending.rs   how it goes out, and why it did not
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lifecycle::Tasks;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::metrics::Text;
use crate::store::alerts::{SECRET, SETTINGS};
use crate::store::audits::{Action, Actor, Deed};
use crate::store::{Store, StoreError};

mod alert;
mod delivery;
mod facts;
mod notice;
mod outbound;
mod rules;
mod sending;
mod settings;
mod syslog;
mod watch;
mod webhook;

pub use alert::{Alert, Condition, Kind, Severity};
pub use facts::Sources;
pub use rules::{TEST_LASTS, Trouble};
pub use sending::SendError;
pub use settings::{Secret, Settings, SettingsFault, Transport};

use delivery::Fate;
use notice::{Notice, Occasion};

/// The alerts of this Console. Clones share them.
#[derive(Debug, Clone)]
pub struct Alerts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    sources: Sources,
    /// Name of this host.
    console: String,
    state: Mutex<State>,
    /// Something may have changed: the rules are applied at once.
    look: Notify,
    wake: [Notify; Channel::ALL.len()],
    fates: [[AtomicU64; Fate::ALL.len()]; Channel::ALL.len()],
    waiting: [AtomicU64; Channel::ALL.len()],
}

#[derive(Debug, Default)]
struct State {
    settings: Arc<Settings>,
    secret: Secret,
    /// What the last check of the audit log found; `None` until it has ended.
    audit: Option<Trouble>,
    /// As the store has them.
    open: Vec<Alert>,
}

/// Where messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// A syslog server.
    Syslog,
    /// A URL.
    Webhook,
}

/// What came of trying out a channel.
#[derive(Debug)]
pub struct Tried {
    /// How long it took.
    pub took: Duration,
    /// The status that the webhook answered with.
    pub status: Option<u16>,
    /// Why it did not get through.
    pub error: Option<SendError>,
}

impl Alerts {
    /// The alerts that the store knows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(store: Store, sources: Sources, console: String) -> Result<Self, StoreError> {
        let settings = store.setting(SETTINGS).await?;
        // Written by us; a value of another version falls back to what is the same in all.
        let settings =
            settings.and_then(|text| serde_json::from_str::<Settings>(&text).ok()).unwrap_or_default();
        let secret = store.setting(SECRET).await?.unwrap_or_default();
        let state = State {
            settings: Arc::new(settings),
            secret: Secret::parse(secret.into()).unwrap_or_default(),
            audit: None,
            open: store.open_alerts().await?,
        };
        Ok(Self(Arc::new(Inner {
            store,
            sources,
            console,
            state: Mutex::new(state),
            look: Notify::new(),
            wake: Default::default(),
            fates: Default::default(),
            waiting: Default::default(),
        })))
    }

    /// Applies the rules and sends messages until shutdown.
    pub fn run(&self, tasks: &Tasks, shutdown: &CancellationToken) {
        tasks.spawn_critical("alerts", shutdown.clone(), watch::run(self.clone(), shutdown.clone()));
        for channel in Channel::ALL {
            let sending = delivery::run(self.clone(), channel, shutdown.clone());
            tasks.spawn_critical("alert messages", shutdown.clone(), sending);
        }
    }

    /// Says what the last check of the audit log found.
    pub fn report_audit(&self, trouble: Trouble) {
        self.state().audit = Some(trouble);
        self.look();
    }

    /// Something may have changed: the rules are applied soon.
    pub fn look(&self) {
        self.0.look.notify_one();
    }

    /// The alerts to show on every page: open, nobody has acknowledged them, the most urgent first. None when the
    /// settings say so, but for one that was raised to try it out.
    #[must_use]
    pub fn banner(&self) -> Vec<Alert> {
        let state = self.state();
        let is_shown = |alert: &&Alert| {
            let is_on = state.settings.banner && alert.severity >= Severity::Warning;
            alert.acknowledged_at.is_none() && (is_on || alert.kind == Kind::Test)
        };
        let mut shown: Vec<Alert> = state.open.iter().filter(is_shown).cloned().collect();
        shown.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.raised_at));
        shown
    }

    /// The alerts that are open, oldest first.
    #[must_use]
    pub fn all_open(&self) -> Vec<Alert> {
        self.state().open.clone()
    }

    /// Settings and secret now.
    #[must_use]
    pub fn current(&self) -> (Arc<Settings>, Secret) {
        let state = self.state();
        (Arc::clone(&state.settings), state.secret.clone())
    }

    /// Puts other settings in place in the name of `actor`, and another secret when one is given.
    ///
    /// # Errors
    /// When the database fails; nothing has changed then.
    pub async fn change(
        &self,
        settings: Settings,
        secret: Option<Secret>,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let (old, _) = self.current();
        let now = OffsetDateTime::now_utc();
        let mut new = settings.for_audit();
        if let (Some(secret), Some(new)) = (&secret, new.as_object_mut()) {
            new.insert(
                "webhook_secret".to_owned(),
                if secret.is_set() { "changed" } else { "removed" }.into(),
            );
        }
        let (actor, action, object) = (actor.clone(), Action::SettingChanged, SETTINGS.to_owned());
        let deed = Deed { actor, action, object, old: old.for_audit(), new };
        let value = serde_json::to_string(&settings).unwrap_or_default();
        let text = secret.as_ref().map(Secret::reveal);
        self.0.store.change_alert_settings(&value, text, &deed, now).await?;
        {
            let mut state = self.state();
            state.settings = Arc::new(settings);
            if let Some(secret) = secret {
                state.secret = secret;
            }
        }
        for channel in Channel::ALL {
            self.0.store.hasten_messages(channel.id(), now).await?;
            self.wake(channel);
        }
        self.look();
        Ok(())
    }

    /// Notes that `actor` has seen an alert; `None` when there is no such alert.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn acknowledge(&self, id: uuid::Uuid, actor: &Actor) -> Result<Option<Alert>, StoreError> {
        let alert = self.0.store.acknowledge_alert(id, actor, OffsetDateTime::now_utc()).await?;
        if let Some(alert) = &alert {
            let mut state = self.state();
            state.open.iter_mut().filter(|one| one.id == id).for_each(|one| alert.clone_into(one));
        }
        Ok(alert)
    }

    /// Sends a message to a channel now, to see whether it gets through.
    pub async fn try_out(&self, channel: Channel) -> Tried {
        let (settings, secret) = self.current();
        let (begin, now) = (Instant::now(), OffsetDateTime::now_utc());
        let notice = Notice::new(Occasion::Test, Alert::new(watch::test(), now), &self.0.console, now);
        let sent = match channel {
            Channel::Syslog => syslog::send(&settings, &notice).await.map(|()| None),
            Channel::Webhook => {
                let body = notice.message(channel.id()).body;
                let sent = webhook::send(&settings, &secret, notice.id, &body, now).await;
                sent.map(|status| Some(status.as_u16()))
            }
        };
        let took = begin.elapsed();
        match sent {
            Ok(status) => Tried { took, status, error: None },
            Err(error) => {
                let status = if let SendError::Status(status) = error { Some(status) } else { None };
                Tried { took, status, error: Some(error) }
            }
        }
    }

    /// Raises an alert that stays for a minute, to see whether the banner is shown.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn try_banner(&self) -> Result<(), StoreError> {
        watch::raise_test(self).await
    }

    /// Writes what is counted.
    pub fn write(&self, text: &mut Text) {
        text.family("garrison_alerts_open", "gauge", "Alerts that are open, by severity.");
        let open = self.all_open();
        for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
            let count = open.iter().filter(|alert| alert.severity == severity).count();
            text.sample("", &[("severity", severity.as_str())], count);
        }
        let help = "Messages about alerts that no receiver has taken yet, by channel.";
        text.family("garrison_alert_messages_waiting", "gauge", help);
        for (channel, waiting) in Channel::ALL.iter().zip(&self.0.waiting) {
            text.sample("", &[("channel", channel.id())], waiting.load(Ordering::Relaxed));
        }
        let help =
            "Attempts to send messages about alerts since the start, by channel and what became of them.";
        text.family("garrison_alert_messages_total", "counter", help);
        for (channel, fates) in Channel::ALL.iter().zip(&self.0.fates) {
            for (fate, count) in Fate::ALL.iter().zip(fates) {
                let labels = [("channel", channel.id()), ("outcome", fate.as_str())];
                text.sample("", &labels, count.load(Ordering::Relaxed));
            }
        }
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, channel: Channel) {
        self.0.wake.get(channel.place()).into_iter().for_each(Notify::notify_one);
    }

    async fn woken(&self, channel: Channel) {
        if let Some(wake) = self.0.wake.get(channel.place()) {
            wake.notified().await;
        }
    }

    fn count(&self, channel: Channel, fate: Fate, count: u64) {
        let place = Fate::ALL.iter().position(|one| *one == fate);
        let counters = self.0.fates.get(channel.place());
        if let Some(counter) = counters.zip(place).and_then(|(counters, place)| counters.get(place)) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn set_waiting(&self, channel: Channel, count: u64) {
        if let Some(waiting) = self.0.waiting.get(channel.place()) {
            waiting.store(count, Ordering::Relaxed);
        }
    }
}

impl Channel {
    const ALL: [Self; 2] = [Self::Syslog, Self::Webhook];

    /// As the API and the database write it.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::Webhook => "webhook",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Syslog => 0,
            Self::Webhook => 1,
        }
    }

    /// Whether the settings name a receiver.
    fn is_on(self, settings: &Settings) -> bool {
        match self {
            Self::Syslog => !settings.syslog_address.is_empty(),
            Self::Webhook => !settings.webhook_url.is_empty(),
        }
    }
}
