//! Which entries of the audit log are asked for, and the SQL of that. The SQL is put together of constants; what
//! callers write is bound, never part of it.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;

use super::{Audit, READING, read};
use crate::store::{Store, StoreError, milliseconds, text};

/// Which entries; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Only those of this user, also by the user's access keys.
    pub user: Option<String>,
    /// Only those of this action.
    pub action: Option<String>,
    /// Only those made at this time or later.
    pub since: Option<OffsetDateTime>,
    /// Only those made before this time.
    pub until: Option<OffsetDateTime>,
    /// Only those that contain this text, in upper or lower case.
    pub search: String,
}

/// Something bound.
enum Value {
    Number(i64),
    Text(String),
}

/// Conditions and what they bind, in order.
#[derive(Default)]
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition; each `?` of it stands for one of `values`.
    fn and(&mut self, condition: &'static str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        let mut number = self.values.len();
        for character in condition.chars() {
            if character == '?' {
                number += 1;
                self.sql.push_str(&format!("${number}"));
            } else {
                self.sql.push(character);
            }
        }
        self.values.extend(values);
    }
}

impl AuditQuery {
    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        if let Some(user) = &self.user {
            let key = format!("{}/", text(user));
            let length = i64::try_from(key.chars().count()).unwrap_or(i64::MAX);
            let name = Value::Text(text(user).into_owned());
            conditions.and(
                "(username = ? OR SUBSTR(username, 1, CAST(? AS INTEGER)) = ?)",
                [name, Value::Number(length), Value::Text(key)],
            );
        }
        if let Some(action) = &self.action {
            conditions.and("action = ?", [Value::Text(text(action).into_owned())]);
        }
        if let Some(since) = self.since {
            conditions.and("made_at >= ?", [Value::Number(milliseconds(since))]);
        }
        if let Some(until) = self.until {
            conditions.and("made_at < ?", [Value::Number(milliseconds(until))]);
        }
        if !self.search.is_empty() {
            conditions.and(SEARCH, [Value::Text(pattern(&self.search))]);
        }
        conditions
    }
}

impl Store {
    /// A page of the entries, newest first, and how many there are in all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audits(
        &self,
        query: &AuditQuery,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<Audit>, u64), StoreError> {
        let fault = || StoreError::during(READING);
        let Conditions { sql, values } = query.conditions();
        let count = format!("SELECT COUNT(*) FROM audits{sql}");
        let count =
            values.iter().fold(sqlx::query_scalar(AssertSqlSafe(count)), |count, value| match value {
                Value::Number(number) => count.bind(*number),
                Value::Text(text) => count.bind(text.clone()),
            });
        let total: i64 = count.persistent(false).fetch_one(self.pool()).await.map_err(fault())?;
        let (first, second) = (values.len() + 1, values.len() + 2);
        let page = format!("{COLUMNS}{sql} ORDER BY seq DESC LIMIT ${first} OFFSET ${second}");
        let page = values.into_iter().fold(sqlx::query(AssertSqlSafe(page)), |page, value| match value {
            Value::Number(number) => page.bind(number),
            Value::Text(text) => page.bind(text),
        });
        let rows = page
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(offset).unwrap_or(i64::MAX))
            .persistent(false)
            .fetch_all(self.pool())
            .await
            .map_err(fault())?;
        let page = rows.iter().map(|row| read(row).map(|(_, audit)| audit)).collect::<Result<_, _>>();
        Ok((page.map_err(fault())?, u64::try_from(total).unwrap_or(0)))
    }

    /// Every action that is in the log, in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audited_actions(&self) -> Result<Vec<String>, StoreError> {
        let actions = sqlx::query_scalar("SELECT DISTINCT action FROM audits").fetch_all(self.pool()).await;
        actions.map_err(StoreError::during(READING))
    }
}

/// `search` as a pattern of LIKE, every character of it taken as itself.
pub(in crate::store) fn pattern(search: &str) -> String {
    let mut pattern = String::from("%");
    for character in text(search).to_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

const COLUMNS: &str =
    "SELECT seq, made_at, username, address, action, object, old_value, new_value, hash FROM audits";

const SEARCH: &str = "LOWER(username || ' ' || address || ' ' || action || ' ' || object || ' ' || old_value || ' ' \
     || new_value) LIKE ? ESCAPE '\\'";
