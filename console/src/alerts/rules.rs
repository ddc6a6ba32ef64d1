//! Which alerts there should be: facts, the alerts that are open, and the time make changes. Pure.
//!
//! What comes in numbers is grouped: more than [`FEW`] new ones at once make one alert that names the count and the
//! first few. A group stays until nothing is left of it; when it grows past the next power of four it is raised
//! anew.

use std::collections::{BTreeMap, BTreeSet};

use time::{Duration, OffsetDateTime};

use super::alert::{Alert, Condition, Kind, Severity};
use conditions::{audit, backup, expiry, first_few, gone, many_expire, many_gone, waits};

mod conditions;

/// What is so now.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Certificates that the Console uses or trusts.
    pub certificates: Vec<Expiry>,
    /// Certificates of Defenders, each once.
    pub defender_certificates: Vec<Expiry>,
    /// Why the last files of a channel were refused: channel, a text that names the cause, the cause.
    pub refusals: Vec<Refusal>,
    /// Defenders that have been away for longer than the settings allow.
    pub away: Vec<Away>,
    /// Defenders that wait to come back.
    pub waiting: Vec<Waiting>,
    /// Whether it is too early after the start to say who is away.
    pub is_starting: bool,
    /// What the last check of the audit log found; `None` until it has ended.
    pub audit: Option<Trouble>,
    /// What the last backup came to; `None` until one was made.
    pub backup: Option<Trouble>,
}

/// Whether something is wrong: `None` when not.
pub type Trouble = Option<String>;

/// A certificate and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expiry {
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// What it is, for people: `the certificate of the Console's HTTPS (CN=…)`.
    pub what: String,
    /// When it expires.
    pub not_after: OffsetDateTime,
    /// What to do about it.
    pub remedy: String,
    /// Whether it is renewed without anybody's doing: only what was not renewed in time counts.
    pub renews_itself: bool,
}

/// A set of files that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// `console-https` or `console-defender`.
    pub channel: &'static str,
    /// A short text that is the same for the same cause.
    pub cause_id: String,
    /// Why.
    pub cause: String,
}

/// A Defender that is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Away {
    /// Its identity.
    pub id: String,
    /// Name of its host, from the Defender: hostile until escaped.
    pub hostname: String,
    /// When it was last heard.
    pub last_seen: OffsetDateTime,
}

/// A Defender that waits for an administrator to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Its identity.
    pub id: String,
    /// Name of its host, from the Defender: hostile until escaped.
    pub hostname: String,
}

/// What to change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Conditions to raise an alert for. One that is told of only once (`Condition::is_told_once`) and was raised
    /// before is opened again without a message.
    pub raise: Vec<Condition>,
    /// Keys of open alerts that are over.
    pub resolve: Vec<String>,
    /// Keys of open alerts whose place another one takes: nobody is told.
    pub supersede: Vec<String>,
}

/// What should be open, and what of that is open already under another key.
#[derive(Debug, Default)]
struct Wanted {
    conditions: BTreeMap<String, Condition>,
    /// Open ones that are left as they are.
    kept: BTreeSet<String>,
    /// Open ones that gave way to another one.
    superseded: BTreeSet<String>,
}

/// The changes that bring the `open` alerts in line with the `facts`. `thresholds` are days before an expiry.
#[must_use]
pub(super) fn judge(facts: &Facts, open: &[Alert], thresholds: &[u16], now: OffsetDateTime) -> Changes {
    let open_keys: BTreeSet<&str> = open.iter().map(|alert| alert.condition.as_str()).collect();
    let mut wanted = Wanted::default();
    for certificate in &facts.certificates {
        wanted.add_expiry(expiry(certificate, thresholds, now).map(|(_, condition)| condition), open);
    }
    wanted.add_defender_expiries(facts, open, thresholds, now);
    wanted.add_refusals(facts, &open_keys);
    wanted.add_away(facts, open, now);
    wanted.add_waiting(facts);
    wanted.add_trouble(facts.audit.as_ref(), &open_keys, audit);
    wanted.add_trouble(facts.backup.as_ref(), &open_keys, backup);
    let is_test = |alert: &&Alert| alert.kind == Kind::Test && now - alert.raised_at < TEST_LASTS;
    wanted.kept.extend(open.iter().filter(is_test).map(|alert| alert.condition.clone()));
    wanted.against(&open_keys)
}

impl Wanted {
    fn add(&mut self, condition: Condition) {
        self.conditions.insert(condition.key.clone(), condition);
    }

    fn against(self, open: &BTreeSet<&str>) -> Changes {
        let Self { conditions, kept, superseded } = self;
        let mut changes = Changes::default();
        for key in open.iter().filter(|key| !conditions.contains_key(**key) && !kept.contains(**key)) {
            let list = if superseded.contains(*key) { &mut changes.supersede } else { &mut changes.resolve };
            list.push((*key).to_owned());
        }
        let is_new = |condition: &Condition| !open.contains(condition.key.as_str());
        changes.raise = conditions.into_values().filter(is_new).collect();
        changes
    }

    /// The narrower threshold takes the place of the wider ones of the same certificate.
    fn add_expiry(&mut self, condition: Option<Condition>, open: &[Alert]) {
        let Some(condition) = condition else { return };
        if let Some((certificate, _)) = condition.key.rsplit_once('/') {
            let same =
                |alert: &&Alert| alert.condition.rsplit_once('/').is_some_and(|(one, _)| one == certificate);
            let others = open.iter().filter(same).map(|alert| alert.condition.clone());
            self.superseded.extend(others.filter(|key| *key != condition.key));
        }
        self.add(condition);
    }

    fn add_defender_expiries(
        &mut self,
        facts: &Facts,
        open: &[Alert],
        thresholds: &[u16],
        now: OffsetDateTime,
    ) {
        let mut by_threshold: BTreeMap<u16, Vec<(&Expiry, Condition)>> = BTreeMap::new();
        for certificate in &facts.defender_certificates {
            if let Some((threshold, condition)) = expiry(certificate, thresholds, now) {
                by_threshold.entry(threshold).or_default().push((certificate, condition));
            }
        }
        for (threshold, reached) in by_threshold {
            let prefix = format!("defender-certificates/{threshold}/");
            let (single, grouped) = split(reached, open, &prefix, |(_, condition)| condition.key.clone());
            for (_, condition) in single {
                self.add_expiry(Some(condition), open);
            }
            if let Some((key, members)) = grouped {
                for (_, condition) in &members {
                    if let Some((certificate, _)) = condition.key.rsplit_once('/') {
                        let same =
                            |key: &String| key.rsplit_once('/').is_some_and(|(one, _)| one == certificate);
                        let others = open.iter().map(|alert| alert.condition.clone()).filter(same);
                        self.superseded.extend(others);
                    }
                }
                self.supersede_groups(open, &prefix, &key);
                self.add(many_expire(key, threshold, &members));
            }
        }
        if self.conditions.keys().any(|key| key.starts_with("defender-certificates/")) {
            // The same certificates at the next threshold.
            let groups = open.iter().map(|alert| &alert.condition);
            self.superseded.extend(groups.filter(|key| key.starts_with("defender-certificates/")).cloned());
        }
    }

    fn add_refusals(&mut self, facts: &Facts, open: &BTreeSet<&str>) {
        for Refusal { channel, cause_id, cause } in &facts.refusals {
            let prefix = format!("refused/{channel}/");
            // Also earlier causes: none of them is over before a set was taken.
            self.kept.extend(open.iter().filter(|key| key.starts_with(&prefix)).map(|key| (*key).to_owned()));
            self.add(Condition {
                key: format!("{prefix}{cause_id}"),
                kind: Kind::CertificatesRefused,
                severity: Severity::Warning,
                summary: format!("New certificate files for {channel} were refused: {cause}"),
                remedy: "What ran before goes on. See the Certificates page, mend the files in the custom \
                         certificates directory; they are looked at again as soon as they change."
                    .to_owned(),
            });
        }
    }

    fn add_away(&mut self, facts: &Facts, open: &[Alert], now: OffsetDateTime) {
        if facts.is_starting {
            let about_absence = open.iter().filter(|alert| alert.kind == Kind::DefenderDisconnected);
            self.kept.extend(about_absence.map(|alert| alert.condition.clone()));
            return;
        }
        let away: Vec<&Away> = facts.away.iter().collect();
        let (single, grouped) = split(away, open, AWAY_GROUP, |away| format!("disconnected/{}", away.id));
        for away in single {
            self.add(gone(away, now));
        }
        if let Some((key, members)) = grouped {
            self.supersede_groups(open, AWAY_GROUP, &key);
            self.add(many_gone(key, &members));
        }
    }

    /// One by one while they are few.
    fn add_waiting(&mut self, facts: &Facts) {
        if facts.waiting.len() > FEW {
            let names = first_few(facts.waiting.iter().map(|one| one.hostname.as_str()));
            let summary = format!("{} Defenders wait to come back: {names}.", facts.waiting.len());
            return self.add(waits("returns-many".to_owned(), summary));
        }
        for Waiting { id, hostname } in &facts.waiting {
            let summary = format!("The Defender of {hostname} waits to come back ({id}).");
            self.add(waits(format!("return/{id}"), summary));
        }
    }

    /// A group of another size gives way without a word.
    fn supersede_groups(&mut self, open: &[Alert], prefix: &str, key: &str) {
        let groups = open.iter().map(|alert| &alert.condition);
        self.superseded.extend(groups.filter(|one| one.starts_with(prefix) && *one != key).cloned());
    }

    fn add_trouble(
        &mut self,
        trouble: Option<&Trouble>,
        open: &BTreeSet<&str>,
        condition: fn(&str) -> Condition,
    ) {
        match trouble {
            None => {
                let key = condition("").key;
                self.kept.extend(open.contains(key.as_str()).then_some(key));
            }
            Some(Some(cause)) => self.add(condition(cause)),
            Some(None) => {}
        }
    }
}

/// Members of a group, or none: those with an alert of their own keep it.
type Split<T> = (Vec<T>, Option<(String, Vec<T>)>);

fn split<T>(all: Vec<T>, open: &[Alert], prefix: &str, key: impl Fn(&T) -> String) -> Split<T> {
    let known: BTreeSet<&str> = open.iter().map(|alert| alert.condition.as_str()).collect();
    let size_of =
        |alert: &Alert| alert.condition.strip_prefix(prefix).and_then(|size| size.parse::<u32>().ok());
    let group = open.iter().filter_map(size_of).max();
    let (mut single, new): (Vec<T>, Vec<T>) =
        all.into_iter().partition(|one| known.contains(key(one).as_str()));
    if new.is_empty() || (group.is_none() && new.len() <= FEW) {
        single.extend(new);
        return (single, None);
    }
    let size = new.len().checked_ilog2().unwrap_or(0) / 2;
    let key = format!("{prefix}{}", group.unwrap_or(0).max(size));
    (single, Some((key, new)))
}

/// As many as are told one by one.
pub(super) const FEW: usize = 5;

/// How long an alert that was raised to try alerts out stays.
pub const TEST_LASTS: Duration = Duration::minutes(1);

const AWAY_GROUP: &str = "disconnected-many/";

#[cfg(test)]
mod tests;
