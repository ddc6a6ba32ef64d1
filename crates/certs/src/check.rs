//! `certs check`: the running program's own checks on a directory, told to a person.

use std::fmt;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use crate::channel::Channel;
use crate::disk::{Look, reason};
use crate::error::{CertError, rfc3339};
use crate::guard::Guard;
use crate::material::Material;
use crate::raw::Found;
use crate::{revocations, tls};

/// How a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The program would refuse this.
    Error,
    /// A channel is fine.
    Ok,
    /// Taken with a warning.
    Warning,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it counts.
    pub verdict: Verdict,
    /// What it is about: a file, or the directory.
    pub path: PathBuf,
    /// What was found.
    pub what: String,
    /// What to do about it; empty when nothing is.
    pub remedy: String,
}

/// All findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order to print.
    pub findings: Vec<Finding>,
}

/// Judges `dir` for a program that has `channels`, as that program would while it runs.
#[must_use]
pub fn check(channels: &[Channel], dir: &Path, now: OffsetDateTime) -> Report {
    let mut findings = Vec::new();
    match dir.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            for channel in channels {
                check_channel(*channel, dir, now, &mut findings);
            }
            if findings.is_empty() {
                findings.push(nothing_found(channels, dir));
            }
        }
        Ok(_) => findings.push(no_directory(dir, "is not a directory".to_owned())),
        Err(error) => findings.push(no_directory(dir, reason(&error))),
    }
    Report { findings }
}

impl Report {
    /// Whether the running program would take the directory (exit status 0).
    #[must_use]
    pub fn passed(&self) -> bool {
        let has = |verdict| self.findings.iter().any(|finding| finding.verdict == verdict);
        has(Verdict::Ok) && !has(Verdict::Error)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Error => "error",
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
        };
        write!(f, "{verdict}: {}: {}", self.path.display(), self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; remedy: {}", self.remedy)?;
        }
        Ok(())
    }
}

fn check_channel(channel: Channel, dir: &Path, now: OffsetDateTime, findings: &mut Vec<Finding>) {
    let look = Look::take(channel, dir);
    let missing = look.missing();
    if missing.len() == channel.files().names().count() {
        return;
    }
    if !missing.is_empty() {
        let unusable = look.unusable().into_iter().map(|fault| (fault.to_string(), fault.remedy()));
        findings.extend(unusable.map(|(what, remedy)| error(dir.to_owned(), what, remedy)));
        findings.extend(missing.iter().map(|name| {
            let what = format!("is missing, so {channel} stays on the certificates that it has");
            error(dir.join(name), what, format!("add it: {channel} needs {}", names(channel)))
        }));
        return;
    }
    match look.into_found().and_then(|found| judge(found, now)) {
        Ok(Some(material)) => {
            tell_good(&material, dir, now, findings);
            if channel == Channel::ConsoleDefender {
                check_list(&material, dir, now, findings);
            }
        }
        Ok(None) => {}
        Err(cause) => {
            let remedy = cause.remedy();
            findings.push(error(culprit(&cause, dir), format!("{channel}: {cause}"), remedy));
        }
    }
}

/// The revocation list beside a good set.
fn check_list(material: &Material, dir: &Path, now: OffsetDateTime, findings: &mut Vec<Finding>) {
    let path = dir.join(revocations::FILE);
    match revocations::check(dir, material) {
        Ok(None) => {}
        Ok(Some((what, due))) => {
            let is_late = due.is_some_and(|due| due < now);
            findings.push(Finding { verdict: Verdict::Ok, path: path.clone(), what, remedy: String::new() });
            if let Some(due) = due.filter(|_| is_late) {
                let what = format!("the list is out of date, a newer one was due {}", rfc3339(due));
                let remedy = "have the CA issue a new list; what this one names stays revoked".to_owned();
                findings.push(Finding { verdict: Verdict::Warning, path, what, remedy });
            }
        }
        Err(cause) => findings.push(error(path, cause.to_string(), cause.remedy())),
    }
}

/// Everything that a running program asks of a changed set.
fn judge(found: Found, now: OffsetDateTime) -> Result<Option<Material>, CertError> {
    let Found::Complete(raw) = found else { return Ok(None) };
    let material = Material::parse(raw)?;
    if let Some(error) = material.unfit(now) {
        return Err(error);
    }
    match material.channel() {
        Channel::ConsoleDefender => drop(tls::console_defender(&material, &Guard::default())?),
        Channel::ConsoleHttps => drop(tls::console_https(&material)?),
        Channel::Defender => drop(tls::defender_client(&material)?),
    }
    Ok(Some(material))
}

fn tell_good(material: &Material, dir: &Path, now: OffsetDateTime, findings: &mut Vec<Finding>) {
    let facts = material.leaf();
    let named = if facts.sans.is_empty() { String::new() } else { format!(" for {}", facts.sans.join(", ")) };
    let what = format!(
        "{}: {}{named}, issued by {}, valid until {}",
        material.channel(),
        facts.subject,
        facts.issuer,
        rfc3339(facts.not_after)
    );
    let path = dir.join(material.channel().files().cert);
    findings.push(Finding { verdict: Verdict::Ok, path, what, remedy: String::new() });
    findings.extend(material.doubts(now).iter().map(|doubt| Finding {
        verdict: Verdict::Warning,
        path: doubt.file().to_owned(),
        what: format!("{}: {}", material.channel(), doubt.suspicion()),
        remedy: doubt.remedy(),
    }));
}

/// The file that an error is about.
fn culprit(error: &CertError, dir: &Path) -> PathBuf {
    match error {
        CertError::Ca { file, .. }
        | CertError::CasExpired { file, .. }
        | CertError::Crl { file, .. }
        | CertError::Expired { file, .. }
        | CertError::NotYetValid { file, .. }
        | CertError::OutOfOrder { file, .. } => file.clone(),
        CertError::KeyPair { fault, .. } => fault.path().to_owned(),
        CertError::Tls(_) => dir.to_owned(),
    }
}

fn error(path: PathBuf, what: String, remedy: String) -> Finding {
    Finding { verdict: Verdict::Error, path, what, remedy }
}

fn nothing_found(channels: &[Channel], dir: &Path) -> Finding {
    let sets = channels.iter().map(|channel| names(*channel)).collect::<Vec<_>>();
    let remedy = format!("copy {} there", sets.join(", or "));
    error(dir.to_owned(), "holds no custom certificates".to_owned(), remedy)
}

fn no_directory(dir: &Path, what: String) -> Finding {
    error(dir.to_owned(), what, "name the directory that holds the custom certificates".to_owned())
}

fn names(channel: Channel) -> String {
    let names = channel.files().names().collect::<Vec<_>>();
    match names.split_last() {
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
