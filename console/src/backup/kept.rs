//! The backups that are kept in `<data-dir>/backups/`: their names, what they say of themselves, and how old ones go.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;
use utoipa::ToSchema;

use super::seal::Sealed;
use super::{About, BackupError, Kind, io, switch};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Kept {
    /// Name of the file.
    #[schema(example = "garrison-20261122T020000Z.backup")]
    pub name: String,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Size in bytes.
    pub size: u64,
    /// Version of the Console that made it.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// What it was made by.
    pub kind: Kind,
}

impl Kept {
    /// Of two that were begun in one second, the newer one has the longer name, or the greater number at its end.
    #[must_use]
    pub fn newest_first(&self, other: &Self) -> Ordering {
        let place = |kept: &Self| (kept.time, kept.name.len());
        place(other).cmp(&place(self)).then_with(|| other.name.cmp(&self.name))
    }
}

/// The folder of the kept backups.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of a data directory.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("backups"))
    }

    /// A free name for one that is made now.
    pub(super) fn place(&self, now: OffsetDateTime) -> Result<PathBuf, BackupError> {
        switch::make_folder(&self.0)?;
        let form = format_description!("garrison-[year][month][day]T[hour][minute][second]Z");
        let stem = now.format(form).unwrap_or_else(|_| "garrison".to_owned());
        let names = (1_u32..).map(|number| match number {
            1 => format!("{stem}.backup"),
            _ => format!("{stem}-{number}.backup"),
        });
        let mut free = names.map(|name| self.0.join(name)).filter(|path| !path.exists());
        free.next().ok_or(BackupError::Busy)
    }

    /// Removes what a Console that was killed has left half written. The caller holds the data directory.
    pub(super) fn tidy(&self) {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let names = entries.filter(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.starts_with(".garrison-") && name.ends_with(".unfinished"))
        });
        // Best effort: it only takes room.
        names.for_each(|entry| drop(fs::remove_file(entry.path())));
    }

    /// All of them, newest first. Other files in the folder are passed over.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Kept>, BackupError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io("reading", &self.0)(error)),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut all: Vec<Kept> = names.filter_map(|name| self.one(&name)).collect();
        all.sort_by(Kept::newest_first);
        Ok(all)
    }

    /// One of them; `None` when there is none of that name.
    #[must_use]
    pub fn one(&self, name: &str) -> Option<Kept> {
        let path = self.path(name)?;
        let file = File::open(path).ok()?;
        let size = file.metadata().ok().filter(fs::Metadata::is_file)?.len();
        let sealed = Sealed::read(BufReader::new(file)).ok()?;
        let About { created_at, kind, version, .. } = sealed.about().clone();
        Some(Kept { name: name.to_owned(), time: created_at, size, version, kind })
    }

    /// Where the one of this name is, whether or not it is there; `None` for what is no name of a backup.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        let stem = name.strip_suffix(".backup")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_name = (1..=100).contains(&stem.len()) && stem.chars().all(plain);
        is_name.then(|| self.0.join(name))
    }

    /// Removes one; whether it was there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<bool, BackupError> {
        let Some(path) = self.path(name) else { return Ok(false) };
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io("removing", &path)(error)),
        }
    }

    /// Removes the oldest scheduled ones but for `keep`; the names of those that are gone.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn prune(&self, keep: usize) -> Result<Vec<String>, BackupError> {
        let scheduled = self.list()?.into_iter().filter(|kept| kept.kind == Kind::Scheduled);
        let mut gone = Vec::new();
        for kept in scheduled.skip(keep) {
            self.remove(&kept.name)?;
            gone.push(kept.name);
        }
        Ok(gone)
    }
}
