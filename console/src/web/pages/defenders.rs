//! `/defenders`: the list, filtered, sorted and paged by the query of the API; what is chosen is in the URL.

use askama::Template;
use axum::extract::{Query, RawQuery, State};
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::refused::{self, RefusedView};
use super::words::{self, Moment, Validity};
use super::{Entry, Frame, PageError, Visitor, encode, render};
use crate::fleet::{Facets, ListOrder, Row, Sort};
use crate::web::AppState;
use crate::web::error::ApiError;
use crate::web::roster::Filter;

#[derive(Template)]
#[template(path = "defenders.html")]
struct Defenders {
    frame: Frame,
    list: List,
    facets: Facets,
    columns: Vec<Column>,
    rows: Vec<RowView>,
    all: String,
    connected: String,
    disconnected: String,
    known: usize,
    refused: Vec<RefusedView>,
    refused_count: usize,
}

/// Which part of which list is shown.
struct List {
    filter: Filter,
    offset: usize,
    limit: usize,
    total: usize,
}

/// A column that the list can be sorted by.
struct Column {
    name: &'static str,
    /// What a click leads to.
    url: String,
    /// `ascending` or `descending` if it is the one that the list is sorted by.
    sorted: Option<&'static str>,
}

/// One Defender.
struct RowView {
    id: String,
    hostname: String,
    cluster: Option<String>,
    is_connected: bool,
    is_cloned: bool,
    last_seen: Moment,
    version: String,
    address: String,
    os: String,
    source: &'static str,
    validity: Validity,
}

pub(super) async fn page(
    visitor: Visitor,
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let now = OffsetDateTime::now_utc();
    let filter = parse(&query.unwrap_or_default())?;
    let query = filter.query(now)?;
    let found = state.fleet.query(&query);
    let (known, connected) = (state.fleet.known(), state.fleet.connected());
    let list = List { filter, offset: query.offset, limit: query.limit, total: found.total };
    let columns = COLUMNS.iter().map(|(sort, name)| list.column(*sort, name)).collect();
    let rows = found.rows.iter().map(|row| RowView::new(row, now)).collect();
    let (refused, refused_count) = refused::newest(&state, now);
    let frame = Frame::new(&state, visitor, Entry::Defenders, "Defenders");
    render(&Defenders {
        frame,
        list,
        facets: (*state.fleet.facets()).clone(),
        columns,
        rows,
        all: words::number(known),
        connected: words::number(connected),
        disconnected: words::number(known.saturating_sub(connected)),
        known,
        refused,
        refused_count,
    })
}

/// The parameters of the API's list; fields of the form that are left empty do not count.
fn parse(query: &str) -> Result<Filter, ApiError> {
    let filled =
        query.split('&').filter(|pair| pair.split_once('=').is_some_and(|(_, value)| !value.is_empty()));
    let filled = filled.collect::<Vec<_>>().join("&");
    let uri: Uri = format!("/?{filled}").parse().unwrap_or_default();
    let filter = Query::<Filter>::try_from_uri(&uri);
    filter.map(|Query(filter)| filter).map_err(|rejection| ApiError::BadRequest(rejection.body_text()))
}

impl List {
    fn column(&self, sort: Sort, name: &'static str) -> Column {
        let is_sorted = self.filter.sort.unwrap_or_default() == sort;
        let order = self.filter.order.unwrap_or_default();
        let (sorted, next) = match order {
            ListOrder::Asc if is_sorted => (Some("ascending"), ListOrder::Desc),
            ListOrder::Desc if is_sorted => (Some("descending"), ListOrder::Asc),
            ListOrder::Asc | ListOrder::Desc => (None, ListOrder::Asc),
        };
        let filter = Filter { sort: Some(sort), order: Some(next), offset: None, ..self.filter.clone() };
        Column { name, url: page_url(&filter), sorted }
    }

    /// The whole list as CSV.
    fn csv(&self) -> String {
        let filter = Filter { offset: None, limit: None, ..self.filter.clone() };
        let query = query_of(&filter);
        let and = if query.is_empty() { "" } else { "&" };
        format!("/api/v1/defenders?{query}{and}format=csv")
    }

    /// This page, and no other of the list.
    fn at(&self, offset: usize) -> String {
        page_url(&Filter { offset: Some(offset).filter(|offset| *offset > 0), ..self.filter.clone() })
    }

    fn previous(&self) -> Option<String> {
        (self.offset > 0).then(|| self.at(self.offset.saturating_sub(self.limit)))
    }

    fn next(&self) -> Option<String> {
        let next = self.offset.saturating_add(self.limit);
        (next < self.total && self.limit > 0).then(|| self.at(next))
    }

    /// `1–50 of 200`.
    fn range(&self) -> String {
        words::range(self.offset, self.limit, self.total)
    }

    fn is_filtered(&self) -> bool {
        let choice = Filter { sort: None, order: None, offset: None, limit: None, ..self.filter.clone() };
        !query_of(&choice).is_empty()
    }

    fn search(&self) -> &str {
        self.filter.search.as_deref().unwrap_or_default()
    }

    fn is_version(&self, value: &str) -> bool {
        self.filter.version.as_deref() == Some(value)
    }

    fn is_os(&self, value: &str) -> bool {
        self.filter.os.as_deref() == Some(value)
    }

    fn is_cluster(&self, value: &str) -> bool {
        self.filter.cluster.as_deref() == Some(value)
    }

    fn is_arch(&self, value: &str) -> bool {
        self.filter.arch.as_deref() == Some(value)
    }

    fn is_source(&self, value: &str) -> bool {
        self.filter.source.is_some_and(|source| name_of(source) == value)
    }

    fn is_within(&self, value: &str) -> bool {
        self.filter.expires_within.as_deref() == Some(value)
    }

    fn has_limit(&self, limit: &usize) -> bool {
        self.limit == *limit
    }

    fn sort(&self) -> Option<String> {
        self.filter.sort.map(name_of)
    }

    fn order(&self) -> Option<String> {
        self.filter.order.map(name_of)
    }
}

impl RowView {
    fn new(row: &Row, now: OffsetDateTime) -> Self {
        let defender = &row.record.defender;
        Self {
            id: defender.id.to_string(),
            hostname: defender.hostname.clone(),
            cluster: defender.cluster.clone(),
            is_connected: row.is_connected(),
            is_cloned: row.twin().is_some(),
            last_seen: Moment::new(row.last_seen()),
            version: defender.version.clone(),
            address: row.address(),
            os: defender.os.clone(),
            source: row.source(),
            validity: Validity::of_defender(&row.record.certificate, now),
        }
    }
}

/// The name that the API gives to a value.
fn name_of(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

fn page_url(filter: &Filter) -> String {
    let query = query_of(filter);
    if query.is_empty() { "/defenders".to_owned() } else { format!("/defenders?{query}") }
}

fn query_of(filter: &Filter) -> String {
    let number = |number: usize| number.to_string();
    let pairs = [
        ("search", filter.search.clone()),
        ("connected", filter.connected.map(|connected| connected.to_string())),
        ("version", filter.version.clone()),
        ("source", filter.source.map(name_of)),
        ("os", filter.os.clone()),
        ("arch", filter.arch.clone()),
        ("cluster", filter.cluster.clone()),
        ("expires_within", filter.expires_within.clone()),
        ("sort", filter.sort.map(name_of)),
        ("order", filter.order.map(name_of)),
        ("offset", filter.offset.map(number)),
        ("limit", filter.limit.map(number)),
    ];
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(&value?))));
    pairs.collect::<Vec<_>>().join("&")
}

/// What the list can be sorted by, in the order of the table.
const COLUMNS: [(Sort, &str); 8] = [
    (Sort::Hostname, "Host"),
    (Sort::Connected, "State"),
    (Sort::LastSeen, "Last heard"),
    (Sort::Version, "Version"),
    (Sort::Address, "Address"),
    (Sort::Os, "System"),
    (Sort::Source, "Certificate"),
    (Sort::NotAfter, "Time left"),
];

/// How many rows a page may have.
const SIZES: [usize; 5] = [25, 50, 100, 250, 500];
