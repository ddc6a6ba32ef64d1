//! Which alerts there should be: facts, the alerts that are open, and the time make changes. Pure.
//!
//! What comes in numbers is grouped: more than [`FEW`] new ones at once make one alert that names the count and the
//! first few. A group stays until nothing is left of it; when it grows past the next power of four it is raised
//! anew.

use std::collections::{BTreeMap, BTreeSet};

use time::{Duration, OffsetDateTime};

use super::alert::{Alert, Condition, Kind, Severity};

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

/// The narrowest threshold that a certificate has reached (0 when it has expired), and what to say of it.
fn expiry(certificate: &Expiry, thresholds: &[u16], now: OffsetDateTime) -> Option<(u16, Condition)> {
    let left = certificate.not_after - now;
    let reached = |days: &u16| {
        left <= Duration::days(i64::from(*days))
            && (!certificate.renews_itself || *days <= LATE_DAYS || left <= Duration::ZERO)
    };
    let threshold =
        if left <= Duration::ZERO { 0 } else { thresholds.iter().copied().filter(reached).min()? };
    let date = certificate.not_after.date();
    let summary = match left.whole_days() {
        _ if left <= Duration::ZERO => format!("Expired on {date}: {}.", certificate.what),
        0 => format!("Expires within a day, on {date}: {}.", certificate.what),
        1 => format!("Expires in 1 day, on {date}: {}.", certificate.what),
        days => format!("Expires in {days} days, on {date}: {}.", certificate.what),
    };
    let condition = Condition {
        key: format!("certificate/{}/{threshold}", certificate.sha256),
        kind: Kind::CertificateExpires,
        severity: urgency(threshold),
        summary,
        remedy: certificate.remedy.clone(),
    };
    Some((threshold, condition))
}

fn urgency(threshold: u16) -> Severity {
    match threshold {
        0..=1 => Severity::Critical,
        2..=14 => Severity::Warning,
        15.. => Severity::Info,
    }
}

fn many_expire(key: String, threshold: u16, members: &[(&Expiry, Condition)]) -> Condition {
    let names = first_few(members.iter().map(|(certificate, _)| certificate.what.as_str()));
    let what = match threshold {
        0 => "have expired".to_owned(),
        1 => "expire within a day".to_owned(),
        days => format!("expire within {days} days"),
    };
    Condition {
        key,
        kind: Kind::CertificateExpires,
        severity: urgency(threshold),
        summary: format!("{} certificates of Defenders {what}: {names}.", members.len()),
        remedy: "The Certificates page lists all of them, the first to expire on top.".to_owned(),
    }
}

fn gone(away: &Away, now: OffsetDateTime) -> Condition {
    let Away { id, hostname, last_seen } = away;
    Condition {
        key: format!("disconnected/{id}"),
        kind: Kind::DefenderDisconnected,
        severity: Severity::Warning,
        summary: format!(
            "The Defender of {hostname} has been disconnected for {}.",
            minutes(now - *last_seen)
        ),
        remedy: format!(
            "Check that the host runs and reaches the Console; the log of the Defender says what it tries. \
             Decommission it if it is gone for good (Defender {id})."
        ),
    }
}

fn many_gone(key: String, members: &[&Away]) -> Condition {
    let names = first_few(members.iter().map(|away| away.hostname.as_str()));
    Condition {
        key,
        kind: Kind::DefenderDisconnected,
        severity: Severity::Critical,
        summary: format!("{} Defenders have been disconnected for long: {names}.", members.len()),
        remedy:
            "When so many are away, look at the network, at the name and the certificate of the Defender \
                 listener first. The Defenders page lists them."
                .to_owned(),
    }
}

fn minutes(away: Duration) -> String {
    match away.whole_minutes() {
        ..=1 => format!("{} s", away.whole_seconds()),
        minutes @ 2..=119 => format!("{minutes} minutes"),
        minutes => format!("{} hours", minutes / 60),
    }
}

fn first_few<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(FEW);
    names.truncate(FEW);
    let list = names.join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

fn audit(cause: &str) -> Condition {
    Condition {
        key: "audit".to_owned(),
        kind: Kind::AuditBroken,
        severity: Severity::Critical,
        summary: format!("The audit log is not as it was written: {cause}."),
        remedy: "Compare it with a backup, and find out who else can write to the database.".to_owned(),
    }
}

fn backup(cause: &str) -> Condition {
    Condition {
        key: "backup".to_owned(),
        kind: Kind::BackupFailed,
        severity: Severity::Warning,
        summary: format!("The last backup could not be made: {cause}."),
        remedy: "Mend that, then make one on the Settings page.".to_owned(),
    }
}

/// As many as are told one by one.
pub(super) const FEW: usize = 5;

/// How long an alert that was raised to try alerts out stays.
pub const TEST_LASTS: Duration = Duration::minutes(1);

/// Certificates of Defenders from the Console's own CA live for 30 days and are renewed when a third is left.
const LATE_DAYS: u16 = 7;

const AWAY_GROUP: &str = "disconnected-many/";

#[cfg(test)]
#[path = "rules/tests.rs"]
mod tests;
