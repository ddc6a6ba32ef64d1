//! `/audit`: who changed what, from where, old and new values side by side, and whether the log is as it was written.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::visitor::encode;
use super::words::{Moment, number};
use super::{Entry, Frame, PageError, Visitor, render};
use crate::store::audits::Audit;
use crate::web::AppState;
use crate::web::audits::{Filter, Proof};
use crate::web::error::ApiError;
use crate::web::input::{Page, Parameters};

/// Parameters of the page: those of `GET audits`, and whether to look at the whole log.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    user: Option<String>,
    action: Option<String>,
    since: Option<String>,
    until: Option<String>,
    search: Option<String>,
    offset: Option<usize>,
    limit: Option<usize>,
    #[serde(default)]
    verify: bool,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    filter: Filter,
    actions: Vec<String>,
    rows: Vec<Row>,
    page: Page,
    total: usize,
    /// `None` while nobody asked and the log is long.
    proof: Option<Proof>,
}

struct Row {
    time: Moment,
    user: String,
    address: String,
    action: String,
    title: String,
    object: String,
    changes: Vec<Change>,
    hash: String,
}

/// A value before and after.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    name: String,
    old: Option<String>,
    new: Option<String>,
}

pub(super) async fn page(
    visitor: Visitor,
    shown: Result<Parameters<Shown>, ApiError>,
    State(state): State<AppState>,
) -> Result<Response, PageError> {
    if !visitor.is_auditor() {
        return Err(ApiError::Forbidden("only administrators and auditors may read the audit log").into());
    }
    let Parameters(shown) = shown?;
    let verify = shown.verify;
    let filter = Filter::from(shown);
    let page = Page::parse(filter.offset, filter.limit)?;
    let (audits, total) = state.store.audits(&filter.query()?, page.offset, page.limit).await?;
    let mut actions = state.store.audited_actions().await?;
    actions.sort_unstable();
    let is_short = !filter.is_set() && total <= LOOKED_AT_UNASKED;
    let proof = if verify || is_short { Some(Proof::of(&state.store).await?) } else { None };
    let frame = Frame::new(&state, visitor, Entry::Audit, "Audit log");
    let rows = audits.into_iter().map(Row::new).collect();
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    render(&AuditPage { frame, filter, actions, rows, page, total, proof })
}

impl From<Shown> for Filter {
    fn from(shown: Shown) -> Self {
        let Shown { user, action, since, until, search, offset, limit, verify: _ } = shown;
        Self { user, action, since, until, search, offset, limit, format: None }
    }
}

impl Filter {
    fn texts(&self) -> [(&'static str, &str); 5] {
        [
            ("user", self.user.as_deref().unwrap_or_default()),
            ("action", self.action.as_deref().unwrap_or_default()),
            ("since", self.since.as_deref().unwrap_or_default()),
            ("until", self.until.as_deref().unwrap_or_default()),
            ("search", self.search.as_deref().unwrap_or_default()),
        ]
    }

    /// Whether anything narrows the list.
    fn is_set(&self) -> bool {
        self.texts().iter().any(|(_, text)| !text.is_empty())
    }
}

impl AuditPage {
    fn text(&self, name: &str) -> &str {
        self.filter.texts().into_iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    /// The address of the same list, elsewhere or in another form.
    fn url(&self, path: &str, more: &str) -> String {
        let texts = self.filter.texts().into_iter().filter(|(_, text)| !text.is_empty());
        let mut query: Vec<String> = texts.map(|(name, text)| format!("{name}={}", encode(text))).collect();
        if !more.is_empty() {
            query.push(more.to_owned());
        }
        if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
    }

    fn entries(&self, proof: &Proof) -> String {
        number(usize::try_from(proof.entries).unwrap_or(usize::MAX))
    }

    fn csv(&self) -> String {
        self.url("/api/v1/audits", "format=csv")
    }

    fn previous(&self) -> Option<String> {
        let before = self.page.offset.saturating_sub(self.page.limit);
        (self.page.offset > 0).then(|| self.url("/audit", &format!("offset={before}")))
    }

    fn next(&self) -> Option<String> {
        let after = self.page.offset.saturating_add(self.page.limit);
        (after < self.total).then(|| self.url("/audit", &format!("offset={after}")))
    }

    fn range(&self) -> String {
        match self.rows.len() {
            0 => format!("None of {}", number(self.total)),
            rows => {
                let (first, last) = (self.page.offset + 1, self.page.offset + rows);
                format!("{} to {} of {}", number(first), number(last), number(self.total))
            }
        }
    }
}

impl Row {
    fn new(audit: Audit) -> Self {
        let value = |raw: &str| serde_json::from_str(raw).unwrap_or_else(|_| Value::from(raw));
        Self {
            time: Moment::new(audit.time),
            changes: changes(&value(audit.old.get()), &value(audit.new.get())),
            title: title(&audit.action),
            user: audit.user,
            address: audit.address,
            action: audit.action,
            object: audit.object,
            hash: audit.hash,
        }
    }
}

/// `user.signed-in` as people say it: `User signed in`.
fn title(action: &str) -> String {
    let words = action.replace(['.', '-'], " ");
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

/// What differs: field by field of objects, item by item of lists.
fn changes(old: &Value, new: &Value) -> Vec<Change> {
    if let (Value::Array(before), Value::Array(after)) = (old, new) {
        let gone = before.iter().filter(|item| !after.contains(item));
        let come = after.iter().filter(|item| !before.contains(item));
        let gone = gone.map(|item| Change { name: String::new(), old: shown(item), new: None });
        let come = come.map(|item| Change { name: String::new(), old: None, new: shown(item) });
        return gone.chain(come).collect();
    }
    let (Some(before), Some(after)) = (fields(old), fields(new)) else {
        let change = Change { name: String::new(), old: shown(old), new: shown(new) };
        return vec![change];
    };
    let mut names: Vec<&String> = before.iter().chain(&after).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let change = |name: &String| Change {
        name: name.replace('_', " "),
        old: value_of(&before, name),
        new: value_of(&after, name),
    };
    names.into_iter().map(change).filter(|change| change.old.is_some() || change.new.is_some()).collect()
}

fn value_of(fields: &[(&String, &Value)], name: &str) -> Option<String> {
    fields.iter().find(|(field, _)| *field == name).and_then(|(_, value)| shown(value))
}

/// The fields of an object; of nothing, none.
fn fields(value: &Value) -> Option<Vec<(&String, &Value)>> {
    match value {
        Value::Object(fields) => Some(fields.iter().collect()),
        Value::Null => Some(Vec::new()),
        _ => None,
    }
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(items.iter().filter_map(shown).collect::<Vec<_>>().join(", ")),
        other => Some(other.to_string()),
    }
}

/// A log as long as this is looked at each time that the page is opened.
const LOOKED_AT_UNASKED: u64 = 2_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(old: &Value, new: &Value) -> Vec<String> {
        let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let tell = |change: Change| format!("{}: {} > {}", change.name, text(change.old), text(change.new));
        changes(old, new).into_iter().map(tell).collect()
    }

    #[test]
    fn old_and_new_values_are_set_side_by_side() {
        assert_eq!(told(&json!({ "role": "a" }), &json!({ "role": "b" })), ["role: a > b"]);
        assert_eq!(told(&Value::Null, &json!({ "b": 1, "a_b": [1, "x"] })), ["a b: - > 1, x", "b: - > 1"]);
        assert_eq!(told(&json!({ "a": true }), &Value::Null), ["a: true > -"]);
        assert_eq!(told(&json!(["x", "y"]), &json!(["y", "z"])), [": x > -", ": - > z"]);
        assert_eq!(told(&json!("x"), &json!(2)), [": x > 2"]);
        assert!(told(&Value::Null, &Value::Null).is_empty());
    }

    #[test]
    fn actions_read_as_words() {
        assert_eq!(title("user.sign-in-failed"), "User sign in failed");
        assert_eq!(title(""), "");
    }
}
