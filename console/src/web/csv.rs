//! Lists as CSV (RFC 4180): for callers that ask for `text/csv` or `format=csv`, the whole list that the filters find,
//! not a page of it. Rows are written as the caller reads them.
//!
//! Spreadsheets run what looks like a formula, and host names come from strangers: a text that begins like one gets
//! an apostrophe in front.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The form of a list: the `format` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// The whole list as a table for spreadsheets.
    Csv,
    /// A page of the list.
    Json,
}

/// The form that the `Accept` header asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accept(Format);

/// One cell.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    /// A number of ours.
    Number(i64),
    /// Any text.
    Text(String),
}

impl Accept {
    /// Whether to answer with CSV; the parameter wins over the header.
    pub(super) fn is_csv(self, format: Option<Format>) -> bool {
        format.unwrap_or(self.0) == Format::Csv
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Accept {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let accepted = parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let names = accepted.flat_map(|value| value.split(','));
        let mut types = names.filter_map(|name| name.split(';').next()).map(str::trim);
        let first = types.find_map(|name| match name.to_ascii_lowercase().as_str() {
            "text/csv" => Some(Format::Csv),
            "application/json" => Some(Format::Json),
            _ => None,
        });
        Ok(Self(first.unwrap_or(Format::Json)))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.unwrap_or_default())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// The answer: `names` as the first line, then a line for each of `rows`; offered as `NAME.csv`.
pub(super) fn answer<const N: usize>(
    name: &str,
    names: [&'static str; N],
    rows: impl Iterator<Item = [Cell; N]> + Send + 'static,
) -> Response {
    let mut first = String::new();
    write(&mut first, &names.map(Cell::from));
    let parts = stream::unfold((first, rows), |(mut text, mut rows)| async move {
        while text.len() < CHUNK_BYTES {
            let Some(row) = rows.next() else { break };
            write(&mut text, &row);
        }
        let rest = (String::with_capacity(CHUNK_BYTES), rows);
        (!text.is_empty()).then(|| (Ok::<_, Infallible>(Bytes::from(text)), rest))
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
    ];
    (headers, Body::from_stream(parts)).into_response()
}

fn write(line: &mut String, cells: &[Cell]) {
    for (position, cell) in cells.iter().enumerate() {
        if position > 0 {
            line.push(',');
        }
        match cell {
            Cell::Number(number) => line.push_str(&number.to_string()),
            Cell::Text(text) => quote(line, text),
        }
    }
    line.push_str("\r\n");
}

fn quote(line: &mut String, text: &str) {
    let looks_like_formula = text.starts_with(FORMULA);
    if !looks_like_formula && !text.contains(['"', ',', '\r', '\n', ';', '\t']) {
        line.push_str(text);
        return;
    }
    line.push('"');
    if looks_like_formula {
        line.push('\'');
    }
    line.push_str(&text.replace('"', "\"\""));
    line.push('"');
}

/// What spreadsheets take for the beginning of a formula, or pass over before one; also as full-width characters.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

const CHUNK_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use http_body_util::BodyExt as _;

    use super::*;

    async fn written(rows: Vec<[Cell; 2]>) -> String {
        let answer = answer("list", ["name", "days"], rows.into_iter());
        assert_eq!(answer.headers()[CONTENT_DISPOSITION], "attachment; filename=\"list.csv\"");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(body.to_vec()).expect("UTF-8")
    }

    #[tokio::test]
    async fn cells_that_could_be_taken_for_something_else_are_quoted() {
        let hostile = ["a,b", "say \"so\"", "two\r\nlines", "plain", ""];
        let text = written(hostile.map(|text| [text.into(), Cell::from(-5)]).to_vec()).await;
        let lines =
            "name,days\r\n\"a,b\",-5\r\n\"say \"\"so\"\"\",-5\r\n\"two\r\nlines\",-5\r\nplain,-5\r\n,-5\r\n";
        assert_eq!(text, lines);
    }

    #[tokio::test]
    async fn no_cell_begins_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "=cmd|' /C calc'!\"A0\""]
        {
            let line = written(vec![[text.into(), 1.into()]]).await;
            let quoted = format!("name,days\r\n\"'{}\",1\r\n", text.replace('"', "\"\""));
            assert_eq!(line, quoted);
        }
    }

    #[tokio::test]
    async fn a_long_list_comes_in_parts_and_whole() {
        let rows: Vec<_> =
            (0..5000).map(|number| ["a name of some length".into(), Cell::from(number)]).collect();
        assert_eq!(written(rows).await.lines().count(), 5001);
    }

    #[tokio::test]
    async fn the_header_asks_for_csv_and_the_parameter_decides() {
        for (header, is_csv) in [
            ("text/csv", true),
            ("Text/CSV;q=0.9, application/json", true),
            ("application/json, text/csv", false),
            ("*/*", false),
            ("text/html", false),
        ] {
            let (mut parts, ()) =
                Request::builder().header(ACCEPT, header).body(()).expect("valid").into_parts();
            let accept = Accept::from_request_parts(&mut parts, &()).await.expect("taken");
            assert_eq!(accept.is_csv(None), is_csv, "{header}");
            assert!(accept.is_csv(Some(Format::Csv)) && !accept.is_csv(Some(Format::Json)));
        }
    }
}
