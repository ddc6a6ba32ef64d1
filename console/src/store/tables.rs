//! All rows of all tables, read and written without knowing what they mean: for backups. Which tables and columns
//! there are is asked of the database, so that a new one is never forgotten.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use sqlx::any::{Any, AnyRow};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, Transaction};

use super::{Store, StoreError};

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// BIGINT.
    Number(i64),
    /// TEXT.
    Text(String),
    /// NULL.
    Null(()),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// BIGINT.
    Numbers,
    /// TEXT.
    Texts,
}

/// A table as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Names of columns and what they hold.
    pub columns: Vec<(String, Holds)>,
}

/// The database as it was at one moment, however long the reading takes. Writers do not wait for it.
pub struct Snapshot {
    transaction: Transaction<'static, Any>,
    is_file: bool,
}

impl Store {
    /// The database as it is now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let is_file = self.writer.is_some();
        let begin =
            if is_file { "BEGIN" } else { "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY" };
        let transaction =
            self.pool().begin_with(begin).await.map_err(StoreError::during("beginning a transaction"))?;
        Ok(Snapshot { transaction, is_file })
    }
}

impl Snapshot {
    /// The newest schema step that was taken. The moment of the snapshot is that of the first call.
    ///
    /// # Errors
    /// When the database fails, also when it is none of a Console.
    pub async fn schema(&mut self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations")
            .fetch_one(&mut *self.transaction)
            .await
            .map_err(StoreError::during("reading the schema step"))
    }

    /// All tables in the order that they were made in: a row refers to tables before its own only.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tables(&mut self) -> Result<Vec<Table>, StoreError> {
        tables(&mut self.transaction, self.is_file).await
    }

    /// The rows of a table.
    pub fn rows<'s>(&'s mut self, table: &'s Table) -> BoxStream<'s, Result<Vec<Cell>, StoreError>> {
        let columns = table.columns.iter().map(|(name, _)| quoted(name)).collect::<Vec<_>>().join(", ");
        let sql = format!("SELECT {columns} FROM {}", quoted(&table.name));
        sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch(&mut *self.transaction)
            .map(|row| row.and_then(|row| cells(&row, table)).map_err(StoreError::during("reading all rows")))
            .boxed()
    }
}

fn cells(row: &AnyRow, table: &Table) -> Result<Vec<Cell>, sqlx::Error> {
    let columns = table.columns.iter().enumerate();
    let cell = |(at, (_, holds)): (usize, &(String, Holds))| {
        Ok(match holds {
            Holds::Numbers => row.try_get::<Option<i64>, _>(at)?.map(Cell::Number),
            Holds::Texts => row.try_get::<Option<String>, _>(at)?.map(Cell::Text),
        }
        .unwrap_or(Cell::Null(())))
    };
    columns.map(cell).collect()
}

/// All tables but the record of schema steps.
pub(super) async fn tables(connection: &mut AnyConnection, is_file: bool) -> Result<Vec<Table>, StoreError> {
    let rows = sqlx::query(if is_file { FILE_COLUMNS } else { POSTGRES_COLUMNS })
        .fetch_all(connection)
        .await
        .map_err(StoreError::during(READING))?;
    let mut tables: Vec<Table> = Vec::new();
    for row in rows {
        let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        let (name, column, kind): (String, String, String) = read().map_err(StoreError::during(READING))?;
        let holds = match kind.to_ascii_lowercase().as_str() {
            "bigint" => Holds::Numbers,
            "text" => Holds::Texts,
            _ => {
                return Err(StoreError::Value {
                    operation: READING,
                    value: format!("{name}.{column} {kind}"),
                });
            }
        };
        match tables.last_mut() {
            Some(table) if table.name == name => table.columns.push((column, holds)),
            _ => tables.push(Table { name, columns: vec![(column, holds)] }),
        }
    }
    Ok(tables)
}

/// A name of the database's own, which may be a word of SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

const READING: &str = "reading the names of tables";

const FILE_COLUMNS: &str = "SELECT t.name, c.name, c.type FROM sqlite_master t JOIN pragma_table_info(t.name) c \
     WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND t.name <> '_sqlx_migrations' \
     ORDER BY t.rowid, c.cid";

const POSTGRES_COLUMNS: &str = "SELECT CAST(t.relname AS TEXT), CAST(c.attname AS TEXT), \
     CAST(format_type(c.atttypid, NULL) AS TEXT) FROM pg_class t JOIN pg_attribute c ON c.attrelid = t.oid \
     WHERE t.relkind = 'r' AND t.relnamespace = CAST(current_schema() AS regnamespace) AND c.attnum > 0 \
     AND NOT c.attisdropped AND t.relname <> '_sqlx_migrations' ORDER BY t.oid, c.attnum";
