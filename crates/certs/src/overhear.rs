//! Tests only: the log lines of the current thread.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// What was logged since this was made.
pub(crate) struct Overheard {
    heard: Heard,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Heard {
    lines: Arc<Mutex<Vec<String>>>,
    more: Arc<Notify>,
}

impl Overheard {
    /// Listens on this thread until dropped.
    pub(crate) fn listen() -> Self {
        let heard = Heard::default();
        let guard = set_default(tracing_subscriber::registry().with(heard.clone()));
        Self { heard, _guard: guard }
    }

    /// Every line so far, as `LEVEL message`, and forgets them.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lines.lock().expect("no panic"))
    }

    /// Waits for a line that contains `text`.
    pub(crate) async fn until(&self, text: &str) {
        let heard = async {
            loop {
                let more = self.heard.more.notified();
                if self.heard.lines.lock().expect("no panic").iter().any(|line| line.contains(text)) {
                    return;
                }
                more.await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), heard).await.is_err() {
            panic!("no line {text:?} in {:#?}", self.take());
        }
    }
}

impl<S: Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !event.metadata().target().starts_with("certs") {
            return;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let line = format!("{} {}", event.metadata().level(), message.0);
        self.lines.lock().expect("no panic").push(line);
        self.more.notify_waiters();
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
