//! `/settings`: names in self-signed certificates, public URL, sessions, backups. What is not the visitor's to change
//! is shown or left out, as the API does.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::alerts::AlertForm;
use super::words::{self, Moment};
use super::{Entry, Frame, PageError, Visitor, render};
use crate::access::SessionLimits;
use crate::backup::Kind;
use crate::backup::keeper::{Failure, Schedule};
use crate::backup::kept::Kept;
use crate::backup::schedule::Every;
use crate::web::AppState;
use crate::web::error::ApiError;

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings {
    frame: Frame,
    names: Names,
    public_url: String,
    is_flag: bool,
    /// For administrators.
    sessions: Option<SessionLimits>,
    /// For administrators.
    backups: Option<Backups>,
    /// For administrators.
    alerts: Option<AlertForm>,
}

/// Names in self-signed certificates.
struct Names {
    extra: Vec<String>,
    ca_end: Moment,
    /// Whether both channels run on files of the operator, so that the names wait.
    are_waiting: bool,
}

struct Backups {
    schedule: Schedule,
    has_passphrase: bool,
    failure: Option<FailureView>,
    kept: Vec<KeptView>,
}

struct FailureView {
    at: Moment,
    cause: String,
    remedy: &'static str,
}

struct KeptView {
    name: String,
    at: Moment,
    size: String,
    version: String,
    kind: &'static str,
}

pub(super) async fn page(visitor: Visitor, State(state): State<AppState>) -> Result<Response, PageError> {
    let is_administrator = visitor.is_administrator();
    let custom = [&state.https, &state.defender];
    let names = Names {
        extra: state.names.list().await?,
        ca_end: Moment::new(state.names.ca_expiration()),
        are_waiting: custom.iter().all(|tls| tls.current().source == certs::Source::Custom),
    };
    let (sessions, backups) = match is_administrator {
        true => (Some(state.access.session_limits().await?), Some(backups(&state).await?)),
        false => (None, None),
    };
    let public_url = state.public_url.current().map(|url| url.as_str().to_owned()).unwrap_or_default();
    render(&Settings {
        frame: Frame::new(&state, visitor, Entry::Settings, "Settings"),
        names,
        public_url,
        is_flag: state.public_url.is_flag(),
        sessions,
        backups,
        alerts: is_administrator.then(|| AlertForm::of(&state)),
    })
}

async fn backups(state: &AppState) -> Result<Backups, ApiError> {
    let kept = state.backups.list().await?;
    Ok(Backups {
        schedule: state.backups.schedule().await?,
        has_passphrase: state.backups.has_passphrase().await,
        failure: state.backups.failure().map(FailureView::from),
        kept: kept.into_iter().map(KeptView::from).collect(),
    })
}

impl Backups {
    fn is(&self, name: &str) -> bool {
        let every = match self.schedule.every {
            Every::Daily => "daily",
            Every::Monthly => "monthly",
            Every::Off => "off",
            Every::Weekly => "weekly",
        };
        every == name
    }
}

impl From<Failure> for FailureView {
    fn from(failure: Failure) -> Self {
        let Failure { time, cause, remedy } = failure;
        Self { at: Moment::new(time), cause, remedy }
    }
}

impl From<Kept> for KeptView {
    fn from(kept: Kept) -> Self {
        let kind = match kept.kind {
            Kind::Command => "command",
            Kind::Requested => "on request",
            Kind::Scheduled => "scheduled",
        };
        let Kept { name, time, size, version, .. } = kept;
        Self { name, at: Moment::new(time), size: words::bytes(size), version, kind }
    }
}
