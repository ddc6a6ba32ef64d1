//! Makes a backup beside a running Console: one snapshot of the database, read through a connection of its own, and
//! the files of the certificate authority. The file appears whole or not at all.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::records::{Record, compress};
use super::seal::{Cost, Sealer};
use super::{About, BackupError, CERTIFICATES, Kind, Passphrase, blocking, io, sync_directory};
use crate::config::Database;
use crate::store::tables::Snapshot;
use crate::store::{Store, StoreError};

/// A backup that was made.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    /// Size of the file.
    pub bytes: u64,
    /// Rows of all tables.
    pub rows: u64,
}

/// Writes a backup of the Console of `data_dir` to `path`, in place of a file that is there.
///
/// # Errors
/// [`BackupError`]; `path` is as before.
pub async fn make(
    database: &Database,
    data_dir: &Path,
    path: &Path,
    kind: Kind,
    passphrase: Passphrase,
) -> Result<Made, BackupError> {
    if let Database::Embedded(file) = database
        && !file.is_file()
    {
        return Err(BackupError::Nothing(data_dir.to_owned()));
    }
    let store = Store::open_as_is(database).await?;
    let made = write(&store, data_dir, path, kind, passphrase).await;
    store.close().await;
    made
}

async fn write(
    store: &Store,
    data_dir: &Path,
    path: &Path,
    kind: Kind,
    passphrase: Passphrase,
) -> Result<Made, BackupError> {
    let (mut snapshot, schema, files) = consistent(store, data_dir).await?;
    let created_at = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let about = About { created_at, kind, version: env!("CARGO_PKG_VERSION").to_owned(), schema };
    let (lines, received) = mpsc::channel(LINES);
    let target = path.to_owned();
    // Encrypting and writing to a disk would hold up the Console's other work.
    let file = tokio::task::spawn_blocking(move || seal(&target, about, &passphrase, received));
    let rows = dump(&mut snapshot, files, &lines).await;
    if rows.is_ok() {
        // A receiver that is gone has an error to tell.
        let _ = lines.send(Piece::End).await;
    }
    drop(lines);
    let bytes = file.await.map_err(|_| BackupError::Stopped)?;
    match (rows, bytes) {
        (Ok(rows), Ok(bytes)) => Ok(Made { bytes, rows }),
        (Err(BackupError::Stopped) | Ok(_), Err(error)) | (Err(error), _) => Err(error),
    }
}

/// Snapshot and files of one moment: a certificate authority that is exchanged meanwhile is noticed.
async fn consistent(store: &Store, data_dir: &Path) -> Result<(Snapshot, i64, Files), BackupError> {
    let dir = data_dir.join(CERTIFICATES);
    let look = || {
        let dir = dir.clone();
        blocking(move || files(&dir))
    };
    loop {
        let before = look().await?;
        let mut snapshot = store.snapshot().await?;
        let schema = snapshot.schema().await?;
        if before == look().await? {
            return Ok((snapshot, schema, before));
        }
    }
}

/// Path below the data directory, and content.
type Files = BTreeMap<String, Zeroizing<Vec<u8>>>;

fn files(dir: &Path) -> Result<Files, BackupError> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(dir.to_owned(), CERTIFICATES.to_owned())];
    while let Some((folder, name)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(io("reading", &folder))? {
            let entry = entry.map_err(io("reading", &folder))?;
            let path = entry.path();
            let Some(last) = entry.file_name().to_str().map(ToOwned::to_owned) else { continue };
            let kind = entry.file_type().map_err(io("reading", &path))?;
            let name = format!("{name}/{last}");
            if kind.is_dir() {
                folders.push((path, name));
            } else if kind.is_file() && !last.ends_with(UNFINISHED) {
                match std::fs::read(&path) {
                    Ok(content) => drop(files.insert(name, Zeroizing::new(content))),
                    // Exchanged since it was listed; the second look tells.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(io("reading", &path)(error)),
                }
            }
        }
    }
    Ok(files)
}

/// What goes to the file.
enum Piece {
    Lines(Zeroizing<Vec<u8>>),
    End,
}

async fn dump(
    snapshot: &mut Snapshot,
    files: Files,
    lines: &mpsc::Sender<Piece>,
) -> Result<u64, BackupError> {
    let mut out = Outgoing { lines, waiting: Zeroizing::default() };
    let mut count = (0, 0);
    for (path, content) in files {
        out.put(&Record::file(path, &content)).await?;
        count.0 += 1;
    }
    for table in snapshot.tables().await? {
        if LEFT_OUT.contains(&table.name.as_str()) {
            continue;
        }
        let columns = table.columns.iter().map(|(name, _)| name.clone()).collect();
        out.put(&Record::Table { name: table.name.clone(), columns }).await?;
        let mut rows = snapshot.rows(&table);
        while let Some(row) = rows.next().await {
            out.put(&Record::Row(row?)).await?;
            count.1 += 1;
        }
    }
    out.put(&Record::End { files: count.0, rows: count.1 }).await?;
    out.send().await?;
    Ok(count.1)
}

/// Collects lines, and sends many at a time.
struct Outgoing<'a> {
    lines: &'a mpsc::Sender<Piece>,
    waiting: Zeroizing<Vec<u8>>,
}

impl Outgoing<'_> {
    async fn put(&mut self, record: &Record) -> Result<(), BackupError> {
        let fault = |error| StoreError::during("encoding a row")(sqlx::Error::Encode(Box::new(error)));
        record.write_to(&mut self.waiting).map_err(fault)?;
        if self.waiting.len() >= PIECE { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<(), BackupError> {
        let piece = Piece::Lines(std::mem::take(&mut self.waiting));
        self.lines.send(piece).await.map_err(|_| BackupError::Stopped)
    }
}

fn seal(
    path: &Path,
    about: About,
    passphrase: &Passphrase,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<u64, BackupError> {
    let target = Target::open(path)?;
    let fault = || io("writing", &target.unfinished);
    let sealer = Sealer::new(BufWriter::new(&target.file), about, passphrase, Cost::USUAL).map_err(fault())?;
    let mut out = compress(sealer).map_err(fault())?;
    loop {
        match pieces.blocking_recv() {
            Some(Piece::Lines(lines)) => out.write_all(&lines).map_err(fault())?,
            Some(Piece::End) => break,
            None => return Err(BackupError::Stopped),
        }
    }
    let sealer = out.finish().map_err(fault())?;
    sealer.finish().and_then(|file| file.into_inner().map_err(Into::into)).map_err(fault())?;
    target.complete()
}

/// A file under another name until it is complete. What a killed process leaves under that name, the next one uses.
struct Target {
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
    is_complete: bool,
}

impl Target {
    fn open(path: &Path) -> Result<Self, BackupError> {
        let name = path.file_name().filter(|_| !path.is_dir());
        let is_directory = || std::io::Error::from(std::io::ErrorKind::IsADirectory);
        let name = name.ok_or_else(|| io("writing", path)(is_directory()))?;
        let mut unfinished = std::ffi::OsString::from(".");
        unfinished.push(name);
        unfinished.push(UNFINISHED);
        let unfinished = path.with_file_name(unfinished);
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(false).mode(0o600);
        let file = options.open(&unfinished).map_err(io("writing", &unfinished))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Busy),
            Err(TryLockError::Error(error)) => return Err(io("writing", &unfinished)(error)),
        }
        file.set_len(0).map_err(io("writing", &unfinished))?;
        Ok(Self { file, unfinished, path: path.to_owned(), is_complete: false })
    }

    fn complete(mut self) -> Result<u64, BackupError> {
        let synced = self.file.sync_all().and_then(|()| self.file.metadata());
        let bytes = synced.map_err(io("writing", &self.unfinished))?.len();
        std::fs::rename(&self.unfinished, &self.path).map_err(io("writing", &self.path))?;
        self.is_complete = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        sync_directory(folder.unwrap_or(Path::new(".")))?;
        Ok(bytes)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_complete {
            // Best effort: the next backup to this path uses it.
            let _ = std::fs::remove_file(&self.unfinished);
        }
    }
}

/// Whoever has one of these is signed in; after a restore everybody signs in again.
const LEFT_OUT: &[&str] = &["sessions", "tokens"];

const UNFINISHED: &str = ".unfinished";

/// Lines that are sent together.
const PIECE: usize = 256 * 1024;

/// Pieces on their way to the disk; when it is full, reading the database waits.
const LINES: usize = 4;
