//! Takes messages from the queue in the store to one channel, until a receiver has taken them or a day has passed.

use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::notice::Notice;
use super::sending::SendError;
use super::{Alerts, Channel, syslog, webhook};
use crate::store::StoreError;
use crate::store::alerts::Message;

/// Sends what is due on `channel` until shutdown.
pub(super) async fn run(alerts: Alerts, channel: Channel, shutdown: CancellationToken) {
    loop {
        let work = async {
            match round(&alerts, channel).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(
                        error = lifecycle::logging::error_chain(&error),
                        channel = channel.id(),
                        "Cannot read or write messages about alerts"
                    );
                    LONGEST_WAIT
                }
            }
        };
        tokio::select! {
            // A message that was on its way is sent again after the start; receivers drop repeats.
            () = shutdown.cancelled() => return,
            wait = work => tokio::select! {
                () = shutdown.cancelled() => return,
                () = alerts.woken(channel) => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Sends everything that is due, and says how long there is nothing more to do.
async fn round(alerts: &Alerts, channel: Channel) -> Result<Duration, StoreError> {
    let store = alerts.store();
    let dropped = store.trim_messages(channel.id(), MOST_MESSAGES).await?;
    if dropped > 0 {
        alerts.count(channel, Fate::Dropped, dropped);
        tracing::warn!(
            channel = channel.id(),
            dropped,
            "Too many messages about alerts wait: the oldest are dropped"
        );
    }
    loop {
        let due = store.due_messages(channel.id(), OffsetDateTime::now_utc()).await?;
        if due.is_empty() {
            break;
        }
        for message in due {
            attempt(alerts, channel, message).await?;
        }
    }
    let (next, waiting) = store.waiting_messages(channel.id()).await?;
    alerts.set_waiting(channel, waiting);
    let wait = next.map(|next| next - OffsetDateTime::now_utc());
    let wait = wait.and_then(|wait| Duration::try_from(wait).ok()).unwrap_or_default();
    Ok(if next.is_some() { wait.min(LONGEST_WAIT) } else { LONGEST_WAIT })
}

async fn attempt(alerts: &Alerts, channel: Channel, message: Message) -> Result<(), StoreError> {
    let now = OffsetDateTime::now_utc();
    match send(alerts, channel, &message, now).await {
        Ok(()) => {
            alerts.count(channel, Fate::Sent, 1);
            alerts.store().remove_message(message.id).await
        }
        Err(SendError::NotConfigured(_)) => {
            alerts.count(channel, Fate::Dropped, 1);
            alerts.store().remove_message(message.id).await
        }
        Err(error) if now - message.created_at >= GIVE_UP_AFTER => {
            tracing::error!(
                channel = channel.id(),
                delivery = message.id.to_string(),
                attempts = message.attempts + 1,
                error = lifecycle::logging::error_chain(&error),
                remedy = error.remedy(),
                "A message about an alert was not taken for 24 h and is given up"
            );
            alerts.count(channel, Fate::GivenUp, 1);
            alerts.store().remove_message(message.id).await
        }
        Err(error) => {
            tracing::warn!(
                channel = channel.id(),
                delivery = message.id.to_string(),
                error = lifecycle::logging::error_chain(&error),
                remedy = error.remedy(),
                "A message about an alert was not taken, it is tried again"
            );
            alerts.count(channel, Fate::Failed, 1);
            let delay = delay(message.attempts, lifecycle::random::share());
            alerts.store().postpone_message(&message, OffsetDateTime::now_utc() + delay).await
        }
    }
}

async fn send(
    alerts: &Alerts,
    channel: Channel,
    message: &Message,
    now: OffsetDateTime,
) -> Result<(), SendError> {
    let (settings, secret) = alerts.current();
    match channel {
        Channel::Syslog => match serde_json::from_str::<Notice>(&message.body) {
            Ok(notice) => syslog::send(&settings, &notice).await,
            // Of another version: nobody can read it.
            Err(_) => Err(SendError::NotConfigured("the message")),
        },
        Channel::Webhook => {
            webhook::send(&settings, &secret, message.id, &message.body, now).await.map(|_| ())
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody wants it any more, or too many wait.
    Dropped,
    /// Not taken; it is tried again.
    Failed,
    /// Not taken for a day.
    GivenUp,
    /// Taken.
    Sent,
}

impl Fate {
    pub(super) const ALL: [Self; 4] = [Self::Dropped, Self::Failed, Self::GivenUp, Self::Sent];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
            Self::Sent => "sent",
        }
    }
}

/// Time to the next attempt: half of 2 s, 4 s, 8 s … 15 min, and a `share` of the other half.
fn delay(attempts: u32, share: f64) -> Duration {
    let ceiling = Duration::from_secs(2).saturating_mul(1 << attempts.min(9)).min(LONGEST_DELAY);
    ceiling.mul_f64(share.clamp(0.0, 1.0).midpoint(1.0))
}

const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
const GIVE_UP_AFTER: time::Duration = time::Duration::hours(24);

/// Messages of one channel that may wait.
const MOST_MESSAGES: u32 = 10_000;

/// A clock that is set back does not stop messages for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_from_two_seconds_to_a_quarter_of_an_hour() {
        let ceilings: Vec<u64> = (0..12).map(|attempts| delay(attempts, 1.0).as_secs()).collect();
        assert_eq!(ceilings, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!(delay(0, 0.0), Duration::from_secs(1));
    }
}
