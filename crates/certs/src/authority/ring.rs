//! One CA with its key, and the authorities that the Console has at a time, as they lie on disk.
//!
//! ```text
//! ca.pem  ca-key.pem             the present one
//! rotation                       stage, since when, who began: its presence is the commit of a rotation
//! next-ca.pem  next-ca-key.pem   the one to come: its certificate, then the same key signed by the present one
//! crosses.pem                    how each earlier one vouches for the one after it, newest first
//! retired.pem                    certificates of earlier ones, newest first
//! ```
//!
//! Each step is one file put in place or removed, so that a crash leaves the stage before or after it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rcgen::{Issuer, KeyPair};
use time::OffsetDateTime;

use super::{AuthorityError, CA_FILE, CA_KEY_FILE, CA_LIFE, read_part, system};
use crate::certificate::Certificate;
use crate::channel::Channel;
use crate::disk::{self, FileState};
use crate::generate::{self, Dates, Generated};
use crate::{key, pem};

/// A CA with its key.
pub(super) struct Ca {
    pub(super) certificate: Certificate,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

/// Where a rotation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Everybody learns to trust the next CA; the present one signs.
    Trust,
    /// The next CA signs; both are trusted.
    Sign,
}

/// A rotation under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// Where it stands.
    pub stage: Stage,
    /// Since when.
    pub since: OffsetDateTime,
    /// Whether nobody has asked for it: the CA is to expire.
    pub automatic: bool,
}

/// All authorities.
pub(super) struct Ring {
    pub(super) present: Ca,
    /// The one to come, and how the present one vouches for it.
    pub(super) next: Option<(Ca, Certificate)>,
    pub(super) phase: Option<Phase>,
    pub(super) crosses: Vec<Certificate>,
    pub(super) retired: Vec<Certificate>,
}

impl Ca {
    pub(super) fn open(ca_path: &Path, key_path: &Path) -> Result<Self, AuthorityError> {
        if pem::decode(&read_part(ca_path)?).is_ok_and(|blocks| blocks.len() > 1) {
            let cause = "it holds more than one PEM block".to_owned();
            return Err(AuthorityError::Ca { file: ca_path.to_owned(), cause });
        }
        Self::open_with_rest(ca_path, key_path).map(|(ca, _)| ca)
    }

    /// The CA, and the certificates behind it in its file.
    fn open_with_rest(ca_path: &Path, key_path: &Path) -> Result<(Self, Vec<Certificate>), AuthorityError> {
        let damaged = |file: &Path, cause: String| AuthorityError::Ca { file: file.to_owned(), cause };
        let mut certificates =
            parse(&read_part(ca_path)?).map_err(|cause| damaged(ca_path, cause))?.into_iter();
        let key = read_part(key_path)?;
        let certificate =
            certificates.next().filter(|one| one.is_ca() && one.is_issued_by(one)).ok_or_else(|| {
                damaged(ca_path, "its certificate is not that of a CA, or its signature is wrong".into())
            })?;
        let text = str::from_utf8(&key).map_err(|error| damaged(key_path, error.to_string()))?;
        key::parse(key_path, &key).map_err(|fault| damaged(key_path, fault.to_string()))?;
        let key = KeyPair::from_pem(text).map_err(|error| damaged(key_path, error.to_string()))?;
        if !certificate.has_public_key(&rcgen::PublicKeyData::subject_public_key_info(&key)) {
            let name = ca_path.file_name().unwrap_or_default().to_string_lossy();
            return Err(damaged(key_path, format!("the key does not belong to {name}")));
        }
        let issuer = Issuer::from_ca_cert_der(certificate.der(), key)
            .map_err(|error| damaged(ca_path, error.to_string()))?;
        Ok((Self { certificate, issuer }, certificates.collect()))
    }

    pub(super) fn pem(&self) -> String {
        pem::encode_certificates([self.certificate.der().as_ref()])
    }
}

impl Ring {
    /// Reads what is there, and ends what a crash has left unfinished.
    pub(super) fn open(dir: &Path) -> Result<Self, AuthorityError> {
        for name in [ROTATION, NEXT_CA, NEXT_KEY, CROSSES, RETIRED] {
            remove(&disk::unfinished(&dir.join(name)))?;
        }
        let phase = match read_phase(dir)? {
            Some(Written::Retire) => {
                finish(dir)?;
                None
            }
            Some(Written::Phase(phase)) => Some(phase),
            None => None,
        };
        let next = match phase {
            Some(_) => Some(open_next(dir)?),
            None => {
                remove(&dir.join(NEXT_CA))?;
                remove(&dir.join(NEXT_KEY))?;
                None
            }
        };
        let present = Ca::open(&dir.join(CA_FILE), &dir.join(CA_KEY_FILE))?;
        let (crosses, retired) = (read_list(&dir.join(CROSSES))?, read_list(&dir.join(RETIRED))?);
        Ok(Self { present, next, phase, crosses, retired })
    }

    /// The one that signs for Defenders and for their listener.
    pub(super) fn signer(&self) -> &Ca {
        match (&self.next, self.phase) {
            (Some((next, _)), Some(Phase { stage: Stage::Sign, .. })) => next,
            _ => &self.present,
        }
    }

    /// All that Defenders are to trust, the present one first.
    pub(super) fn trusted(&self) -> impl Iterator<Item = &Ca> {
        [&self.present].into_iter().chain(self.next.as_ref().map(|(next, _)| next))
    }

    pub(super) fn trusted_pem(&self) -> String {
        self.trusted().map(Ca::pem).collect()
    }

    /// The one that signs the leaf of a channel. People who pinned the present one keep it until it is retired.
    pub(super) fn issuer_for(&self, channel: Channel) -> &Ca {
        match channel {
            Channel::ConsoleHttps => &self.present,
            Channel::ConsoleDefender | Channel::Defender => self.signer(),
        }
    }

    /// What stands behind the leaf of a channel: for HTTPS its CA, so that a client can pin it by its fingerprint at
    /// the first handshake; for Defenders, what leads to CAs that they may still trust.
    pub(super) fn intermediates(&self, channel: Channel) -> Vec<&Certificate> {
        match channel {
            Channel::ConsoleHttps => vec![&self.present.certificate],
            Channel::ConsoleDefender | Channel::Defender => self.path(),
        }
    }

    /// Every CA that ever signed here.
    pub(super) fn known(&self) -> impl Iterator<Item = &Certificate> {
        self.trusted().map(|ca| &ca.certificate).chain(&self.retired)
    }

    /// For a Defender's own certificate, which is renewed. No longer than the CA, as long as that has some time left.
    pub(super) fn dates(&self, now: OffsetDateTime, life: Duration) -> Dates {
        let life = time::Duration::try_from(life).unwrap_or(time::Duration::MAX);
        self.bounded(Dates::starting(now, life), now)
    }

    /// For a certificate that others verify, by clocks that may be wrong.
    pub(super) fn server_dates(&self, now: OffsetDateTime, life: time::Duration) -> Dates {
        self.bounded(Dates::for_wrong_clocks(now, life), now)
    }

    fn bounded(&self, dates: Dates, now: OffsetDateTime) -> Dates {
        let not_after = self.signer().certificate.facts().not_after;
        // Those of the last days would be shorter and shorter, and renewed more and more often. Whether they are good
        // is no matter of the CA's dates: where we verify, those do not count.
        if not_after - now > LAST_DAYS { dates.until(not_after) } else { dates }
    }

    /// What leads from the signer to every earlier authority, for Defenders that were away.
    pub(super) fn path(&self) -> Vec<&Certificate> {
        let newest = match (&self.next, self.phase) {
            (Some((_, cross)), Some(Phase { stage: Stage::Sign, .. })) => Some(cross),
            _ => None,
        };
        newest.into_iter().chain(&self.crosses).collect()
    }
}

/// When the CA in `dir` took its last step: was made, or moved in a rotation. `None` when there is none. Blocks.
#[must_use]
pub fn last_step(dir: &Path) -> Option<OffsetDateTime> {
    // Each step writes one of these last, or next to last; a server certificate that is issued anew is in none of them.
    let written = [CA_FILE, RETIRED, ROTATION].map(|name| fs::metadata(dir.join(name)).ok()?.modified().ok());
    written.into_iter().flatten().max().map(OffsetDateTime::from)
}

/// Makes the next CA, and commits to it.
pub(super) fn begin(
    dir: &Path,
    ring: &Ring,
    now: OffsetDateTime,
    automatic: bool,
) -> Result<(), AuthorityError> {
    let path = dir.join(NEXT_CA);
    let issue = |cause| AuthorityError::Issue { file: path.clone(), cause };
    let dates = (Dates::for_wrong_clocks(now, CA_LIFE), Dates::for_wrong_clocks(now, CROSS_LIFE));
    let (Generated { cert_pem, key_pem, .. }, cross) =
        generate::next_authority(&ring.present.issuer, dates.0, dates.1).map_err(issue)?;
    put(&dir.join(NEXT_KEY), key_pem.as_bytes())?;
    put(&path, format!("{cert_pem}{cross}").as_bytes())?;
    write_phase(dir, Phase { stage: Stage::Trust, since: now, automatic })
}

/// Moves to another stage of the rotation under way.
pub(super) fn write_phase(dir: &Path, phase: Phase) -> Result<(), AuthorityError> {
    let stage = match phase.stage {
        Stage::Trust => "trust",
        Stage::Sign => "sign",
    };
    let by = if phase.automatic { AUTOMATIC } else { "manual" };
    put(&dir.join(ROTATION), format!("{stage} {} {by}\n", phase.since.unix_timestamp()).as_bytes())
}

/// Gives the rotation up: the key of the next CA is forgotten. Its certificate is kept with those of the past, because
/// a Defender that it signed for may be away, and comes back with that.
pub(super) fn give_up(dir: &Path, ring: &Ring) -> Result<(), AuthorityError> {
    if let Some((next, _)) = &ring.next {
        push(&dir.join(RETIRED), &next.certificate, MOST_KNOWN)?;
    }
    abandon(dir)
}

/// Ends the rotation: without its file there is none.
fn abandon(dir: &Path) -> Result<(), AuthorityError> {
    remove(&dir.join(ROTATION))?;
    disk::sync_folder(dir).map_err(|source| system("syncing", dir, source))
}

/// The next CA takes the place of the present one.
pub(super) fn retire(dir: &Path) -> Result<(), AuthorityError> {
    put(&dir.join(ROTATION), RETIRE.as_bytes())?;
    finish(dir)
}

/// Every step may be the second time that it is taken.
fn finish(dir: &Path) -> Result<(), AuthorityError> {
    let (next, cross) = open_next(dir)?;
    let key = read_part(&dir.join(NEXT_KEY))?;
    let ca_path = dir.join(CA_FILE);
    let old =
        parse(&read_part(&ca_path)?).map_err(|cause| AuthorityError::Ca { file: ca_path.clone(), cause })?;
    if let Some(old) = old.first().filter(|old| old.der() != next.certificate.der()) {
        push(&dir.join(RETIRED), old, MOST_KNOWN)?;
        push(&dir.join(CROSSES), &cross, MOST_KEPT)?;
    }
    put(&ca_path, next.pem().as_bytes())?;
    put(&dir.join(CA_KEY_FILE), &key)?;
    abandon(dir)?;
    remove(&dir.join(NEXT_KEY))?;
    remove(&dir.join(NEXT_CA))
}

fn open_next(dir: &Path) -> Result<(Ca, Certificate), AuthorityError> {
    let path = dir.join(NEXT_CA);
    let (ca, rest) = Ca::open_with_rest(&path, &dir.join(NEXT_KEY))?;
    match rest.into_iter().next() {
        Some(cross) => Ok((ca, cross)),
        None => Err(AuthorityError::Ca {
            file: path,
            cause: "the signature of the present CA is missing".to_owned(),
        }),
    }
}

/// What the file of the rotation says.
enum Written {
    Phase(Phase),
    /// To be finished.
    Retire,
}

fn read_phase(dir: &Path) -> Result<Option<Written>, AuthorityError> {
    let path = dir.join(ROTATION);
    let text = match disk::read_file(&path) {
        FileState::Content { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
        FileState::Missing => return Ok(None),
        FileState::Unusable(fault) => {
            return Err(AuthorityError::Ca { file: path, cause: fault.to_string() });
        }
    };
    if text == RETIRE {
        return Ok(Some(Written::Retire));
    }
    let mut words = text.split_whitespace();
    let stage = match words.next() {
        Some("trust") => Some(Stage::Trust),
        Some("sign") => Some(Stage::Sign),
        _ => None,
    };
    let since = words.next().and_then(|word| word.parse().ok());
    let since = since.and_then(|since| OffsetDateTime::from_unix_timestamp(since).ok());
    let automatic = words.next() == Some(AUTOMATIC);
    match (stage, since) {
        (Some(stage), Some(since)) => Ok(Some(Written::Phase(Phase { stage, since, automatic }))),
        _ => Err(AuthorityError::Ca { file: path, cause: "it names no stage of a rotation".to_owned() }),
    }
}

/// Puts a certificate before those of a file, once.
fn push(path: &Path, new: &Certificate, most: usize) -> Result<(), AuthorityError> {
    let list = read_list(path)?;
    if list.iter().any(|one| one.der() == new.der()) {
        return Ok(());
    }
    let all = [new].into_iter().chain(&list).take(most).map(|one| one.der().as_ref());
    put(path, pem::encode_certificates(all).as_bytes())
}

fn read_list(path: &Path) -> Result<Vec<Certificate>, AuthorityError> {
    match disk::read_file(path) {
        FileState::Content { bytes, .. } => {
            parse(&bytes).map_err(|cause| AuthorityError::Ca { file: path.to_owned(), cause })
        }
        FileState::Missing => Ok(Vec::new()),
        FileState::Unusable(fault) => {
            Err(AuthorityError::Ca { file: path.to_owned(), cause: fault.to_string() })
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Certificate>, String> {
    let blocks = pem::decode(bytes).map_err(|instead| format!("it {instead}"))?;
    let parsed =
        blocks.iter().map(|block| Certificate::parse(&block.der).ok_or("it is a malformed certificate"));
    Ok(parsed.collect::<Result<Vec<_>, _>>()?)
}

fn put(path: &Path, content: &[u8]) -> Result<(), AuthorityError> {
    disk::replace(path, content).map_err(|source| system("writing", path, source))
}

fn remove(path: &Path) -> Result<(), AuthorityError> {
    disk::remove_if_there(path).map_err(|source| system("removing", path, source))
}

const ROTATION: &str = "rotation";
const NEXT_CA: &str = "next-ca.pem";
const NEXT_KEY: &str = "next-ca-key.pem";
const CROSSES: &str = "crosses.pem";
const RETIRED: &str = "retired.pem";
const RETIRE: &str = "retire\n";
const AUTOMATIC: &str = "automatic";

/// Before the end of a CA that is not rotated in time.
const LAST_DAYS: time::Duration = time::Duration::days(30);

/// Longer than anybody stays away.
const CROSS_LIFE: time::Duration = time::Duration::days(20 * 365);

/// Rotations that a Defender may have slept through: what vouches for them is sent with each handshake.
const MOST_KEPT: usize = 8;

/// Certificates of earlier CAs, also of those that were given up: they are sent to nobody.
const MOST_KNOWN: usize = 64;
