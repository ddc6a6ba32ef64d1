//! What a settled look means for a channel: take it, hold it, refuse it, or nothing; with the log line of each.
//! Reads no files and never waits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::channel::Channel;
use crate::custom::{USING_CUSTOM, log_doubts};
use crate::disk::Look;
use crate::error::{CertError, rfc3339};
use crate::fingerprint::Fingerprint;
use crate::gate::Gate;
use crate::material::Material;
use crate::publish::{Live, Publisher, Refusal, Subscriber};
use crate::raw::Found;
use crate::rotate::Outcome;
use crate::source::Source;
use waiting::Waiting;

mod waiting;

/// Makes a configuration.
struct Build<T>(Box<Builder<T>>);

type Builder<T> = dyn Fn(&Material) -> Result<T, CertError> + Send + Sync;

/// What a channel runs on, and what it has said already.
#[derive(Debug)]
pub(crate) struct Judge<T> {
    channel: Channel,
    build: Build<T>,
    publisher: Publisher<T>,
    /// What was last judged; the same again means nothing.
    judged: Option<Fingerprint>,
    /// The files that were absent then.
    missing: Vec<&'static str>,
    /// The last error and the files that it was about, while it is the newest thing that was logged about the files.
    reported: Option<(Fingerprint, String)>,
    /// A set that looks half copied, and since when it looks so.
    held: Option<(Fingerprint, Instant)>,
    /// When a set that was refused for its dates must be judged again.
    retry_at: Option<OffsetDateTime>,
    /// When it was last logged that the set that runs is out of its dates.
    unfit_logged: Option<OffsetDateTime>,
    /// Who has a say before a set goes live.
    gate: Option<Gate>,
    /// The set before the gate.
    waiting: Option<Waiting>,
}

impl<T> fmt::Debug for Build<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Build")
    }
}

/// The answer to a look.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// Judged, maybe with something to tell.
    Done(Option<Outcome>),
    /// It looks half copied: look again at this time.
    Hold(Instant),
}

impl<T> Judge<T> {
    /// Publishes the first value.
    pub(crate) fn start(
        channel: Channel,
        source: Source,
        material: Arc<Material>,
        build: impl Fn(&Material) -> Result<T, CertError> + Send + Sync + 'static,
    ) -> Result<(Self, Subscriber<T>), CertError> {
        let build = Build(Box::new(build));
        let tls = build.0(&material)?;
        let (judged, missing) = match source {
            Source::Custom => (Some(material.fingerprint()), Vec::new()),
            Source::SelfSigned => (None, channel.files().names().collect()),
        };
        let now = OffsetDateTime::now_utc();
        let (publisher, subscriber) = Publisher::new(source, material, tls, now);
        let mut judge = Self {
            channel,
            build,
            publisher,
            judged,
            missing,
            reported: None,
            held: None,
            retry_at: None,
            unfit_logged: None,
            gate: None,
            waiting: None,
        };
        judge.check_fitness(now);
        Ok((judge, subscriber))
    }

    /// The channel.
    pub(crate) fn channel(&self) -> Channel {
        self.channel
    }

    /// What was last judged.
    pub(crate) fn judged(&self) -> Option<Fingerprint> {
        self.judged
    }

    /// Judges what has settled on disk.
    pub(crate) fn judge(
        &mut self,
        look: Look,
        now: Instant,
        hold: Duration,
        date: OffsetDateTime,
    ) -> Judgement {
        let seen = look.fingerprint();
        self.withdraw();
        let since = self.held.take().filter(|(held, _)| *held == seen).map_or(now, |(_, since)| since);
        if look.is_closed() && self.publisher.current().source == Source::SelfSigned {
            // As far as anybody knows the channel has no files. That the directory cannot be read is told once for
            // all channels, in `folders.rs`.
            self.judged = Some(seen);
            return Judgement::Done(None);
        }
        let raw = match look.into_found() {
            Ok(Found::Complete(raw)) => raw,
            Ok(Found::Missing(names)) => {
                self.judged = Some(seen);
                self.note_missing(names);
                return Judgement::Done(None);
            }
            Err(error) => return Judgement::Done(self.refuse(seen, &error)),
        };
        let live = self.publisher.current();
        if live.source == Source::Custom && live.material.fingerprint() == seen {
            self.judged = Some(seen);
            self.settle_down();
            return Judgement::Done(None);
        }
        let material = match Material::parse(raw) {
            Ok(material) => material,
            Err(error) => return Judgement::Done(self.refuse(seen, &error)),
        };
        if let Some(error) = material.unfit(date) {
            let outcome = self.refuse(seen, &error);
            self.retry_at = material.next_date(date);
            return Judgement::Done(outcome);
        }
        if !material.is_issued_by_own_cas() && now < since + hold {
            self.held = Some((seen, since));
            return Judgement::Hold(since + hold);
        }
        Judgement::Done(self.offer(material, now, date))
    }

    /// The files are as they were before they looked half copied.
    pub(crate) fn forget_held(&mut self) {
        self.held = None;
    }

    /// Publishes a new fallback if the channel runs on one.
    pub(crate) fn follow_fallback(
        &mut self,
        fallback: Arc<Material>,
        date: OffsetDateTime,
    ) -> Option<Outcome> {
        let live = self.publisher.current();
        if live.source == Source::Custom || live.material.fingerprint() == fallback.fingerprint() {
            return None;
        }
        match self.build.0(&fallback) {
            Ok(tls) => Some(self.publish(Source::SelfSigned, fallback, tls, date)),
            Err(error) => {
                let channel = self.channel.log_name();
                tracing::error!(remedy = error.remedy(), "Failed to load {channel} certificates: {error}");
                let (error, remedy) = (error.to_string(), error.remedy());
                Some(Outcome::Refused { channel: self.channel, error, remedy })
            }
        }
    }

    /// Logs, at once and then hourly, that what runs is out of its dates; forgets what was judged when a refused
    /// set comes into its own. Returns the next date that matters.
    pub(crate) fn check_fitness(&mut self, date: OffsetDateTime) -> Option<OffsetDateTime> {
        if self.retry_at.is_some_and(|at| at < date) {
            (self.retry_at, self.judged) = (None, None);
        }
        let live = self.publisher.current();
        match live.material.unfit(date) {
            Some(error) => {
                if self.unfit_logged.is_none_or(|at| date - at >= UNFIT_AGAIN) {
                    self.unfit_logged = Some(date);
                    let channel = self.channel.log_name();
                    let remedy = error.remedy();
                    tracing::error!(remedy, "Unfit {channel} {} certificates in use: {error}", live.source);
                }
            }
            None => self.unfit_logged = None,
        }
        let dates = [live.material.next_date(date), self.retry_at];
        dates.into_iter().flatten().min()
    }

    fn take(&mut self, material: &Arc<Material>, date: OffsetDateTime) -> Option<Outcome> {
        let seen = material.fingerprint();
        let tls = match self.build.0(material) {
            Ok(tls) => tls,
            Err(error) => return self.refuse(seen, &error),
        };
        if self.publisher.current().source == Source::SelfSigned {
            tracing::debug!(channel = self.channel.id(), "{USING_CUSTOM}");
        }
        self.judged = Some(seen);
        self.settle_down();
        let outcome = self.publish(Source::Custom, Arc::clone(material), tls, date);
        log_doubts(material, date);
        Some(outcome)
    }

    fn publish(&mut self, source: Source, material: Arc<Material>, tls: T, date: OffsetDateTime) -> Outcome {
        let live = self.publisher.publish(source, material, tls, date);
        let Live { generation, .. } = *live;
        let facts = live.material.leaf();
        let (not_after, sha256) = (facts.not_after, facts.sha256.clone());
        tracing::info!(
            generation,
            %source,
            not_after = rfc3339(not_after),
            sha256,
            "{}",
            self.channel.rotated_text()
        );
        self.unfit_logged = None;
        Outcome::Rotated { channel: self.channel, source, generation, not_after, sha256 }
    }

    /// Keeps what runs. Tells of each set and cause once, until something else happens.
    fn refuse(&mut self, seen: Fingerprint, error: &CertError) -> Option<Outcome> {
        self.refuse_for(seen, error.to_string(), error.remedy(), None)
    }

    /// The same for a cause that is not in the files; `set` is the leaf of a set that goes on waiting.
    fn refuse_for(
        &mut self,
        seen: Fingerprint,
        text: String,
        remedy: String,
        set: Option<String>,
    ) -> Option<Outcome> {
        self.judged = Some(seen);
        self.missing.clear();
        self.retry_at = None;
        let reported = Some((seen, text.clone()));
        if self.reported == reported {
            return None;
        }
        tracing::error!(remedy, "Failed to load {} custom certificates: {text}", self.channel.log_name());
        self.reported = reported;
        let at = OffsetDateTime::now_utc();
        self.publisher.set_refusal(Some(Refusal { error: text.clone(), remedy: remedy.clone(), at, set }));
        Some(Outcome::Refused { channel: self.channel, error: text, remedy })
    }

    /// Files are absent: tells which were removed, and which a set still lacks, each once.
    fn note_missing(&mut self, missing: Vec<&'static str>) {
        (self.reported, self.retry_at) = (None, None);
        let before = std::mem::replace(&mut self.missing, missing);
        if before == self.missing {
            return;
        }
        let channel = self.channel.log_name();
        let removed = self.missing.iter().copied().filter(|name| !before.contains(name)).collect::<Vec<_>>();
        if !removed.is_empty() {
            let files = removed.join(", ");
            tracing::warn!("Removed {channel} custom certificates, what runs goes on: {files}");
        }
        if self.publisher.current().source == Source::Custom {
            return;
        }
        if self.missing.len() < self.channel.files().names().count() {
            let files = self.missing.join(", ");
            tracing::info!("Incomplete {channel} custom certificates, still missing: {files}");
        } else {
            self.publisher.set_refusal(None);
        }
    }

    /// The files are those that run.
    fn settle_down(&mut self) {
        self.missing.clear();
        (self.reported, self.retry_at) = (None, None);
        self.publisher.set_refusal(None);
    }
}

/// How often it is repeated that what runs is out of its dates.
const UNFIT_AGAIN: time::Duration = time::Duration::HOUR;

#[cfg(test)]
mod tests;
