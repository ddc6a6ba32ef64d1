//! What alerts say of each condition: how urgent it is, in words, and what to do.

use time::{Duration, OffsetDateTime};

use super::{Away, Condition, Expiry, FEW, Kind, Severity};

/// The narrowest threshold that a certificate has reached (0 when it has expired), and what to say of it.
pub(super) fn expiry(
    certificate: &Expiry,
    thresholds: &[u16],
    now: OffsetDateTime,
) -> Option<(u16, Condition)> {
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

pub(super) fn urgency(threshold: u16) -> Severity {
    match threshold {
        0..=1 => Severity::Critical,
        2..=14 => Severity::Warning,
        15.. => Severity::Info,
    }
}

pub(super) fn many_expire(key: String, threshold: u16, members: &[(&Expiry, Condition)]) -> Condition {
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

pub(super) fn gone(away: &Away, now: OffsetDateTime) -> Condition {
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

pub(super) fn many_gone(key: String, members: &[&Away]) -> Condition {
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

pub(super) fn waits(key: String, summary: String) -> Condition {
    Condition {
        key,
        kind: Kind::ReturnWaiting,
        severity: Severity::Warning,
        summary,
        remedy: "Approve it on the Authority page if it is one of yours; decommission it if it is not."
            .to_owned(),
    }
}

pub(super) fn minutes(away: Duration) -> String {
    match away.whole_minutes() {
        ..=1 => format!("{} s", away.whole_seconds()),
        minutes @ 2..=119 => format!("{minutes} minutes"),
        minutes => format!("{} hours", minutes / 60),
    }
}

pub(super) fn first_few<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(FEW);
    names.truncate(FEW);
    let list = names.join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

pub(super) fn audit(cause: &str) -> Condition {
    Condition {
        key: "audit".to_owned(),
        kind: Kind::AuditBroken,
        severity: Severity::Critical,
        summary: format!("The audit log is not as it was written: {cause}."),
        remedy: "Compare it with a backup, and find out who else can write to the database.".to_owned(),
    }
}

pub(super) fn backup(cause: &str) -> Condition {
    Condition {
        key: "backup".to_owned(),
        kind: Kind::BackupFailed,
        severity: Severity::Warning,
        summary: format!("The last backup could not be made: {cause}."),
        remedy: "Mend that, then make one on the Settings page.".to_owned(),
    }
}

/// Certificates of Defenders from the Console's own CA live for 30 days and are renewed when a third is left.
const LATE_DAYS: u16 = 7;
