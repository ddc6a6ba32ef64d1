//! The way back: the file is read to its end and checked before anything is touched; then it is staged beside what is
//! there, and takes its place.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use lifecycle::Instance;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::mpsc;

use super::records::{Record, Records, Secret};
use super::seal::{Opener, Sealed};
use super::switch::{DATABASE, Stage, finish, has_content, make_folder, settle};
use super::{About, BackupError, CERTIFICATES, Passphrase, SealError, blocking, io};
use crate::config::Database;
use crate::store::Store;
use crate::store::audits::{Action, Actor, Deed};
use crate::store::load::Load;

/// What to restore, and where to.
#[derive(Debug)]
pub struct Plan {
    /// The backup.
    pub file: PathBuf,
    /// The directory that becomes the Console's.
    pub data_dir: PathBuf,
    /// The database that becomes the Console's.
    pub database: Database,
    /// What the backup was encrypted with.
    pub passphrase: Passphrase,
    /// What to do with what is there.
    pub there: There,
}

/// What to do with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    /// Restore only where there is nothing.
    Keep,
    /// Keep it aside.
    Replace,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the file says of itself.
    pub about: About,
    /// Where what was there is now.
    pub aside: Option<String>,
    /// An earlier restore was interrupted and has been completed first.
    pub has_finished_another: bool,
}

/// Restores a backup.
///
/// # Errors
/// [`BackupError`]; what was there is there still.
pub async fn restore(plan: Plan) -> Result<Restored, BackupError> {
    if Instance::is_held(&plan.data_dir) {
        return Err(lifecycle::InstanceError::Held(plan.data_dir.clone()).into());
    }
    let (path, passphrase) = (plan.file.clone(), plan.passphrase.clone());
    let about = blocking(move || check(&path, &passphrase)).await?;
    let _instance = Instance::take(&plan.data_dir)?;
    let mut has_finished_another = finish(&plan.data_dir)?;
    let database = match &plan.database {
        Database::Embedded(_) => None,
        Database::Postgres(url) => {
            let store = Store::open_as_is(&plan.database).await?;
            let is_empty = store.is_empty().await?;
            if !is_empty {
                has_finished_another |= settle(&plan.data_dir, &store).await?;
            }
            Some((store, url.to_string(), is_empty))
        }
    };
    let aside = aside(&plan, database.as_ref().is_none_or(|(_, _, is_empty)| *is_empty))?;
    let staged = stage(&plan, &about, database, aside.as_deref()).await;
    staged.map(|()| Restored { about, aside, has_finished_another })
}

/// The name of the place for what is there.
fn aside(plan: &Plan, is_empty: bool) -> Result<Option<String>, BackupError> {
    let in_directory = has_content(&plan.data_dir);
    if !in_directory && is_empty {
        return Ok(None);
    }
    if plan.there == There::Keep {
        let place = match &plan.database {
            Database::Postgres(url) if !is_empty => url.to_string(),
            _ => plan.data_dir.display().to_string(),
        };
        return Err(BackupError::Full(place));
    }
    // Two restores within a second must not meet in one place.
    let form =
        format_description!("replaced-[year][month][day]T[hour][minute][second]-[subsecond digits:6]Z");
    Ok(Some(OffsetDateTime::now_utc().format(form).unwrap_or_else(|_| "replaced".to_owned())))
}

async fn stage(
    plan: &Plan,
    about: &About,
    postgres: Option<(Store, String, bool)>,
    aside: Option<&str>,
) -> Result<(), BackupError> {
    let mut stage = Stage::begin(&plan.data_dir)?;
    let id = certs::hex::encode(lifecycle::random::bytes::<16>());
    let folder = aside.unwrap_or("replaced").to_owned();
    let staged = async {
        let Some((store, place, is_empty)) = postgres else {
            let store = Store::open_as_is(&Database::Embedded(stage.path.join(DATABASE))).await?;
            let load = fill(plan, about, &store, "the staged database", None, &stage.path).await?;
            load.finish(&deed(plan, about), &id, OffsetDateTime::now_utc()).await?;
            store.close().await;
            return stage.prepare(&folder, &id);
        };
        let schema = aside.filter(|_| !is_empty);
        let load = fill(plan, about, &store, &place, schema, &stage.path).await?;
        // Whether the commit got through decides, also when its answer does not.
        stage.prepare(&folder, &id)?;
        let committed = load.finish(&deed(plan, about), &id, OffsetDateTime::now_utc()).await;
        store.close().await;
        committed.map_err(Into::into)
    }
    .await;
    match staged {
        Ok(()) => stage.decide(),
        Err(error) => {
            stage.abandon();
            Err(error)
        }
    }
}

/// The entry for the audit log that the backup brings along.
fn deed(plan: &Plan, about: &About) -> Deed {
    let object = plan.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let made_at = about.created_at.format(&time::format_description::well_known::Rfc3339);
    let new = json!({ "madeAt": made_at.unwrap_or_default(), "version": about.version });
    Deed { actor: Actor::console(), action: Action::BackupRestored, object, old: Value::Null, new }
}

/// Brings files to the stage and rows to the database, which is not committed yet.
async fn fill(
    plan: &Plan,
    about: &About,
    store: &Store,
    place: &str,
    aside: Option<&str>,
    stage: &Path,
) -> Result<Load, BackupError> {
    make_folder(&stage.join(CERTIFICATES))?;
    let (sender, mut received) = mpsc::channel(BATCHES);
    let (path, passphrase) = (plan.file.clone(), plan.passphrase.clone());
    let reader = tokio::task::spawn_blocking(move || read(&path, &passphrase, &sender));
    let mut load = store.load(place, about.schema, aside).await?;
    while let Some(batch) = received.recv().await {
        for record in batch {
            match record {
                Record::File { path, content } => write_file(plan, stage, &path, &content)?,
                Record::Table { name, columns } => load.table(&name, &columns).await?,
                Record::Row(row) => load.row(row).await?,
                Record::End { .. } => {}
            }
        }
    }
    // All of it was as it was written, or nothing is kept.
    reader.await.map_err(|_| BackupError::Stopped)??;
    Ok(load)
}

fn write_file(plan: &Plan, stage: &Path, name: &str, content: &Secret) -> Result<(), BackupError> {
    let content = content.decode().map_err(|error| misfit(&plan.file, &error))?;
    let path = stage.join(name);
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(&content)).map_err(io("writing", &path))
}

/// Reads the whole file and says what it is. Nothing is kept of it.
fn check(path: &Path, passphrase: &Passphrase) -> Result<About, BackupError> {
    let (about, mut records) = open(path, passphrase)?;
    while let Some(record) = records.next().map_err(|error| fault(path, error))? {
        let fits = match &record {
            Record::File { path, content } => is_ours(path) && content.decode().is_ok(),
            _ => true,
        };
        if !fits {
            return Err(misfit(path, &std::io::Error::other("a file in it would go elsewhere")));
        }
    }
    Ok(about)
}

fn read(path: &Path, passphrase: &Passphrase, sender: &mpsc::Sender<Vec<Record>>) -> Result<(), BackupError> {
    let (_, mut records) = open(path, passphrase)?;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let record = records.next().map_err(|error| fault(path, error))?;
        let is_last = record.is_none();
        batch.extend(record);
        if is_last || batch.len() == BATCH {
            sender.blocking_send(std::mem::take(&mut batch)).map_err(|_| BackupError::Stopped)?;
        }
        if is_last {
            return Ok(());
        }
    }
}

type Content = Records<Opener<BufReader<File>>>;

fn open(path: &Path, passphrase: &Passphrase) -> Result<(About, Content), BackupError> {
    let seal = |source| BackupError::Seal { path: path.to_owned(), source };
    let file = File::open(path).map_err(io("reading", path))?;
    let sealed = Sealed::read(BufReader::new(file)).map_err(seal)?;
    let (about, known) = (sealed.about().clone(), Store::newest_schema());
    if about.schema > known {
        let About { version, schema, .. } = about;
        return Err(BackupError::TooNew { path: path.to_owned(), version, schema, known });
    }
    let opened = sealed.open(passphrase).map_err(seal)?;
    Ok((about, Records::new(opened).map_err(io("reading", path))?))
}

/// A fault of the seal comes through the decompression as an error of input.
fn fault(path: &Path, error: std::io::Error) -> BackupError {
    match error.downcast::<SealError>() {
        Ok(source) => BackupError::Seal { path: path.to_owned(), source },
        Err(error) => misfit(path, &error),
    }
}

fn misfit(path: &Path, cause: &std::io::Error) -> BackupError {
    BackupError::Content { path: path.to_owned(), cause: cause.to_string() }
}

/// Whether a path stays below the folder of the certificate authority.
fn is_ours(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    parts.next() == Some(Component::Normal(CERTIFICATES.as_ref()))
        && parts.clone().next().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Records that are handed over together, and how many such batches wait for the database.
const BATCH: usize = 256;
const BATCHES: usize = 8;
