//! What survives a restart: one database, SQLite in the data directory or PostgreSQL, behind one set of SQL.
//!
//! ```text
//! mod.rs       open, migrate, transactions, errors
//! fleet.rs     Defenders and their reports
//! hosts.rs     host reports of many Defenders, and that they have come
//! history/     connections, counts, rotations and refusals of the past
//! enrolment.rs registrations and own certificates; exported_names.rs: names in bundles
//! users.rs     local users
//! audits/      who changed what
//! tokens.rs    bearer tokens, as digests
//! sessions.rs  sessions of the web UI, as digests
//! keys.rs      named access keys of programs, as digests
//! alerts.rs    alerts; messages.rs: the queue of messages about them
//! settings.rs  key and value
//! tables.rs    all rows of all tables, for backups
//! load.rs      filling an empty database with them
//! writer.rs    the one writer of the fleet's tables
//! figures.rs   what the writer counts
//! prune.rs     what is forgotten
//! ```
//!
//! Rules of the SQL, so that it serves both: `$1` placeholders, TEXT and BIGINT only, times as milliseconds
//! since 1970, `ON CONFLICT` for upserts, order of texts decided in Rust (collations differ). PostgreSQL takes
//! no NUL character in TEXT: [`text`] removes it from what peers send.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::any::{Any, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, SqlSafeStr as _, Transaction};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::config::{Database, DatabaseUrl};

pub use figures::Figures;

pub mod alerts;
pub mod audits;
pub mod enrolment;
mod exported_names;
mod figures;
pub mod fleet;
pub mod history;
pub mod hosts;
pub mod keys;
pub mod load;
mod messages;
mod prune;
pub mod sessions;
pub mod settings;
pub mod tables;
pub mod tokens;
pub mod users;
pub mod writer;

/// The database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
    /// SQLite only, which has one writer: it waits its turn here, in order, not in SQLite's sleep and retry.
    writer: Option<Arc<Mutex<()>>>,
    /// Transactions that were committed since the start.
    commits: Arc<AtomicU64>,
}

/// A transaction that writes; rolled back when dropped before `Write::commit`.
pub struct Write {
    transaction: Transaction<'static, Any>,
    commits: Arc<AtomicU64>,
    /// Dropped after the transaction.
    _turn: Option<OwnedMutexGuard<()>>,
}

/// Why the database did not do what was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The Console stops.
    #[error("the store is closed: the Console is stopping")]
    Closed,
    /// The file cannot be made or opened for reading and writing.
    #[error(
        "opening database {path} (the data directory must be writable for the Console's user and have space left)"
    )]
    File {
        /// The database file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The schema cannot be brought up to date.
    #[error("bringing the schema of {place} up to date")]
    Migrate {
        /// File, or address without the password.
        place: String,
        /// Which step, and why.
        #[source]
        source: Box<MigrateError>,
    },
    /// The database was written by a newer Console.
    #[error("{place} was written by a newer version (schema step {step}): run that version or a newer one")]
    Newer {
        /// File, or address without the password.
        place: String,
        /// The step that this version does not know.
        step: i64,
    },
    /// No connection.
    #[error("opening database {place} ({remedy})")]
    Open {
        /// File, or address without the password.
        place: String,
        /// What to do about it.
        remedy: &'static str,
        /// What the driver says.
        #[source]
        source: sqlx::Error,
    },
    /// A statement failed.
    #[error("{operation} in the database")]
    Query {
        /// What was being done.
        operation: &'static str,
        /// What the driver says.
        #[source]
        source: sqlx::Error,
    },
    /// A row holds what no version of the Console writes.
    #[error("{operation} in the database: {value:?} is not known to this version")]
    Value {
        /// What was being done.
        operation: &'static str,
        /// The value.
        value: String,
    },
}

impl StoreError {
    /// Names what was being done: `.map_err(StoreError::during("reading users"))`.
    pub fn during(operation: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| {
            FAULTS.fetch_add(1, Ordering::Relaxed);
            Self::Query { operation, source }
        }
    }
}

/// Statements that the database did not carry out, since the start of the process.
#[must_use]
pub fn faults() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

static FAULTS: AtomicU64 = AtomicU64::new(0);

impl Store {
    /// Opens the database, makes it where it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`]; none of its texts holds a password.
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let (store, place) = match database {
            Database::Embedded(path) => (Self::open_file(path).await?, path.display().to_string()),
            Database::Postgres(url) => (Self::open_postgres(url).await?, url.to_string()),
        };
        migrate(&store.pool, place).await?;
        Ok(store)
    }

    /// Opens a database as it is: its schema stays, so that it may be in use by another version of the Console. A file
    /// that is not there is made, and empty.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_as_is(database: &Database) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        match database {
            Database::Embedded(path) => Self::open_file(path).await,
            Database::Postgres(url) => Self::open_postgres(url).await,
        }
    }

    /// The newest schema step that this version knows.
    #[must_use]
    pub fn newest_schema() -> i64 {
        MIGRATIONS.iter().map(|(step, _, _)| *step).max().unwrap_or(0)
    }

    /// For reads; also for a single statement that writes where its order does not matter.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Begins a transaction that may write. On SQLite it is the only one.
    pub(crate) async fn write(&self) -> Result<Write, StoreError> {
        let fault = StoreError::during("beginning a transaction");
        let (begin, turn) = match &self.writer {
            Some(writer) => ("BEGIN IMMEDIATE", Some(Arc::clone(writer).lock_owned().await)),
            None => ("BEGIN", None),
        };
        let transaction = self.pool.begin_with(begin).await.map_err(fault)?;
        Ok(Write { transaction, commits: Arc::clone(&self.commits), _turn: turn })
    }

    /// Transactions that were committed since the start.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Closes all connections; SQLite folds its log into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn open_file(path: &Path) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        // SQLite gives its side files the mode of the database.
        options.open(path).map_err(|source| StoreError::File { path: path.to_owned(), source })?;
        let pool = AnyPoolOptions::new()
            .max_connections(FILE_CONNECTIONS)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(PRAGMAS).await.map(|_| ()) })
            });
        let url = format!("sqlite://{}", percent_encode(path));
        let pool = connect(pool, &url, PRAGMAS).await.map_err(|source| StoreError::Open {
            place: path.display().to_string(),
            remedy: "restore it from a backup if it is damaged, or move it away to start empty",
            source,
        })?;
        Ok(Self { pool, writer: Some(Arc::default()), commits: Arc::default() })
    }

    async fn open_postgres(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let pool =
            AnyPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT);
        let pool = connect(pool, url.reveal(), "SELECT 1").await.map_err(|source| StoreError::Open {
            place: url.to_string(),
            remedy: "check host, port, database, user and password of --database-url, and that PostgreSQL runs",
            source,
        })?;
        Ok(Self { pool, writer: None, commits: Arc::default() })
    }
}

impl Write {
    /// The connection that the statements of the transaction run on.
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// Makes it durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(StoreError::during("committing a transaction"))?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A time as the database keeps it.
#[must_use]
pub fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// A time as the database keeps it, as a time; the epoch when it is out of range.
#[must_use]
pub fn from_milliseconds(milliseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A text as both databases can keep it: without NUL.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// A pool whose first connection has proved that the database can be used. The pool alone would try again and
/// again, and then name the time-out, not the cause.
async fn connect(pool: AnyPoolOptions, url: &str, check: &'static str) -> Result<AnyPool, sqlx::Error> {
    let first = async {
        let mut connection = AnyConnection::connect(url).await?;
        connection.execute(check).await?;
        connection.close().await
    };
    tokio::time::timeout(ACQUIRE_TIMEOUT, first).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    pool.connect(url).await
}

async fn migrate(pool: &AnyPool, place: String) -> Result<(), StoreError> {
    migrator(i64::MAX).run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(step) => StoreError::Newer { place, step },
        source => StoreError::Migrate { place, source: Box::new(source) },
    })
}

/// The schema steps up to and with `upto`.
fn migrator(upto: i64) -> Migrator {
    let steps = MIGRATIONS.iter().filter(|(step, _, _)| *step <= upto).map(|(step, name, sql)| {
        Migration::new(*step, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(steps.collect())
}

/// The path inside a `sqlite://` URL: everything but the plain characters as `%XX`.
fn percent_encode(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut url, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                url.push(char::from(*byte))
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
        url
    })
}

/// Every schema step in order: number, name, SQL. A step that was released is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../../migrations/0001_first.sql")),
    (2, "audits", include_str!("../../migrations/0002_audits.sql")),
    (3, "fleet history", include_str!("../../migrations/0003_fleet_history.sql")),
    (4, "access", include_str!("../../migrations/0004_access.sql")),
    (5, "alerts", include_str!("../../migrations/0005_alerts.sql")),
    (7, "enrolment", include_str!("../../migrations/0007_enrolment.sql")),
    (8, "rotation", include_str!("../../migrations/0008_rotation.sql")),
    (9, "meet", include_str!("../../migrations/0009_meet.sql")),
    (10, "certificates seen", include_str!("../../migrations/0010_certificates_seen.sql")),
    (13, "cluster", include_str!("../../migrations/0013_cluster.sql")),
];

/// What is acknowledged to a Defender is on the disk (`FULL`), and readers do not wait for the writer (`WAL`).
const PRAGMAS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON;";

/// One writes, the others read.
const FILE_CONNECTIONS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
