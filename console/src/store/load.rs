//! Filling an empty database with the rows of a backup, in one transaction: the schema of the backup first, then its
//! rows, then the steps that came after it.

use sqlx::{AnyConnection, AssertSqlSafe};
use time::OffsetDateTime;

use super::audits::{Deed, Ledger};
use super::tables::{Cell, Holds, Table, quoted, tables};
use super::{Store, StoreError, Write, migrator, settings};

/// The transaction.
pub struct Load {
    write: Write,
    place: String,
    tables: Vec<Table>,
    /// Where rows go now.
    into: Option<Into>,
    is_file: bool,
}

struct Into {
    /// The table with the columns that the backup has of it.
    table: Table,
    waiting: Vec<Vec<Cell>>,
}

impl Store {
    /// Begins to fill the database, whose schema becomes that of step `schema`. On PostgreSQL, tables that are there
    /// are moved to the schema `aside`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(&self, place: &str, schema: i64, aside: Option<&str>) -> Result<Load, StoreError> {
        let is_file = self.writer.is_some();
        let mut write = self.write().await?;
        if let Some(aside) = aside {
            move_aside(write.connection(), aside).await?;
        }
        let place = place.to_owned();
        migrate(write.connection(), &place, schema).await?;
        let tables = tables(write.connection(), is_file).await?;
        Ok(Load { write, place, tables, into: None, is_file })
    }

    /// Whether there is anything of a Console in it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        let is_file = self.writer.is_some();
        let mut write = self.write().await?;
        let tables = tables(write.connection(), is_file).await?;
        Ok(tables.is_empty())
    }
}

impl Load {
    /// The rows that follow are of this table.
    ///
    /// # Errors
    /// When the schema has no such table and columns, or the database fails.
    pub async fn table(&mut self, name: &str, columns: &[String]) -> Result<(), StoreError> {
        self.flush().await?;
        let table = self.tables.iter().find(|table| table.name == name);
        let table = table.ok_or_else(|| unknown(name))?;
        let column = |column: &String| {
            let found = table.columns.iter().find(|(name, _)| name == column);
            found.cloned().ok_or_else(|| unknown(&format!("{name}.{column}")))
        };
        let columns = columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let table = Table { name: name.to_owned(), columns };
        // A schema step may have put rows there.
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {}", quoted(name))))
            .execute(self.write.connection())
            .await
            .map_err(StoreError::during(WRITING))?;
        self.into = Some(Into { table, waiting: Vec::new() });
        Ok(())
    }

    /// A row of that table.
    ///
    /// # Errors
    /// When it does not fit, or the database fails.
    pub async fn row(&mut self, row: Vec<Cell>) -> Result<(), StoreError> {
        let Some(into) = &mut self.into else { return Err(unknown("a row without a table")) };
        let fits = |(cell, (_, holds)): (&Cell, &(String, Holds))| match cell {
            Cell::Null(()) => true,
            Cell::Number(_) => *holds == Holds::Numbers,
            Cell::Text(_) => *holds == Holds::Texts,
        };
        if row.len() != into.table.columns.len() || !row.iter().zip(&into.table.columns).all(fits) {
            return Err(unknown(&format!("a row of {}", into.table.name)));
        }
        into.waiting.push(row);
        // SQLite looks up the places of values one after the other.
        if into.waiting.len() * into.table.columns.len() >= VALUES { self.flush().await } else { Ok(()) }
    }

    /// Brings the schema up to date, enters `deed` in the audit log, notes `id`, and makes it all durable.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish(mut self, deed: &Deed, id: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        self.flush().await?;
        // Only what has a newer schema than the backup knows the step, so it is asked for all.
        migrate(self.write.connection(), &self.place, i64::MAX).await?;
        settings::set(&mut self.write, RESTORED, id).await?;
        let mut ledger = Ledger::open(self.write).await?;
        ledger.enter(deed, now).await?;
        ledger.commit().await
    }

    /// Makes an old schema durable, for tests.
    #[cfg(test)]
    pub(crate) async fn commit_as_is(self) -> Result<(), StoreError> {
        self.write.commit().await
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        let Some(Into { table, waiting }) = &mut self.into else { return Ok(()) };
        if waiting.is_empty() {
            return Ok(());
        }
        let sql = insert(table, waiting.len(), self.is_file);
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for (cell, (_, holds)) in waiting.drain(..).flat_map(|row| row.into_iter().zip(&table.columns)) {
            query = match (cell, holds) {
                (Cell::Number(number), _) => query.bind(number),
                (Cell::Text(text), _) => query.bind(text),
                (Cell::Null(()), Holds::Numbers) => query.bind(None::<i64>),
                (Cell::Null(()), Holds::Texts) => query.bind(None::<String>),
            };
        }
        query.execute(self.write.connection()).await.map_err(StoreError::during(WRITING))?;
        Ok(())
    }
}

/// `INSERT … VALUES ($1, $2), ($3, $4), …`; PostgreSQL is told what a NULL would be.
fn insert(table: &Table, rows: usize, is_file: bool) -> String {
    let columns = table.columns.iter().map(|(name, _)| quoted(name)).collect::<Vec<_>>().join(", ");
    let width = table.columns.len();
    let row = |row: usize| {
        let place = |(at, (_, holds)): (usize, &(String, Holds))| match (is_file, holds) {
            (true, _) => format!("${}", row * width + at + 1),
            (false, Holds::Numbers) => format!("CAST(${} AS BIGINT)", row * width + at + 1),
            (false, Holds::Texts) => format!("CAST(${} AS TEXT)", row * width + at + 1),
        };
        format!("({})", table.columns.iter().enumerate().map(place).collect::<Vec<_>>().join(", "))
    };
    let values = (0..rows).map(row).collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {} ({columns}) VALUES {values}", quoted(&table.name))
}

async fn migrate(connection: &mut AnyConnection, place: &str, upto: i64) -> Result<(), StoreError> {
    let result = migrator(upto).run(connection).await;
    result.map_err(|source| StoreError::Migrate { place: place.to_owned(), source: Box::new(source) })
}

/// Out of the way, and still there; PostgreSQL only.
async fn move_aside(connection: &mut AnyConnection, aside: &str) -> Result<(), StoreError> {
    let operation = "moving the tables aside";
    let mut names: Vec<String> =
        tables(connection, false).await?.into_iter().map(|table| table.name).collect();
    names.push("_sqlx_migrations".to_owned());
    let mut statements = vec![format!("CREATE SCHEMA {}", quoted(aside))];
    let moved = |name: &String| format!("ALTER TABLE {} SET SCHEMA {}", quoted(name), quoted(aside));
    statements.extend(names.iter().map(moved));
    for sql in statements {
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut *connection)
            .await
            .map_err(StoreError::during(operation))?;
    }
    Ok(())
}

fn unknown(what: &str) -> StoreError {
    StoreError::Value { operation: WRITING, value: what.to_owned() }
}

/// Setting that names the last restore: whether an interrupted one had reached the database.
pub const RESTORED: &str = "restored";

const WRITING: &str = "restoring rows";

/// Values in one statement.
const VALUES: usize = 400;
