//! `/access`: users, access keys, sessions, and one's own password. Each visitor sees what the API would show.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use time::OffsetDateTime;

use super::words::{Moment, Validity};
use super::{Entry, Frame, PageError, Visitor, render};
use crate::access::SessionLimits;
use crate::store::keys::KeyView;
use crate::store::sessions::SessionView;
use crate::store::users::{Role, UserView};
use crate::web::AppState;
use crate::web::sessions::readable;

#[derive(Template)]
#[template(path = "access.html")]
struct AccessPage {
    frame: Frame,
    /// `None` for those who may not read them.
    users: Option<Vec<UserRow>>,
    keys: Vec<KeyRow>,
    sessions: Vec<SessionRow>,
    limits: SessionLimits,
    roles: [RoleRow; 5],
    host: String,
}

struct UserRow {
    name: String,
    role: Role,
    created: Moment,
    keys: usize,
    is_self: bool,
}

struct KeyRow {
    key: KeyView,
    created: Moment,
    end: Validity,
    used: Option<Moment>,
}

struct SessionRow {
    session: SessionView,
    created: Moment,
    used: Moment,
    end: Moment,
    browser: String,
}

struct RoleRow {
    role: Role,
    about: &'static str,
    /// Whether the visitor may give a key this role.
    is_covered: bool,
}

pub(super) async fn page(
    visitor: Visitor,
    State(state): State<AppState>,
    parts: axum::http::request::Parts,
) -> Result<Response, PageError> {
    let now = OffsetDateTime::now_utc();
    let caller = visitor.caller.clone();
    let mut keys = state.access.keys(readable(&caller)).await?;
    keys.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut sessions = state.access.sessions(readable(&caller), &caller).await?;
    sessions.sort_unstable_by_key(|session| (!session.current, std::cmp::Reverse(session.last_used_at)));
    let users = match visitor.is_auditor() {
        true => Some(user_rows(state.access.users().await?, &keys, &visitor)),
        false => None,
    };
    let host = crate::web::origin::called(&parts);
    let public = state.public_url.current().map(|url| url.as_str().to_owned());
    let roles =
        Role::ALL.map(|role| RoleRow { role, about: about(role), is_covered: visitor.role.covers(role) });
    render(&AccessPage {
        users,
        keys: keys.into_iter().map(|key| KeyRow::new(key, now)).collect(),
        sessions: sessions.into_iter().map(SessionRow::new).collect(),
        limits: state.access.session_limits().await?,
        roles,
        host: public.unwrap_or_else(|| {
            format!("https://{}", host.as_ref().map_or("CONSOLE:8083", |host| host.as_str()))
        }),
        frame: Frame::new(&state, visitor, Entry::Access, "Access"),
    })
}

fn user_rows(mut users: Vec<UserView>, keys: &[KeyView], visitor: &Visitor) -> Vec<UserRow> {
    users.sort_unstable_by(|a, b| a.username.cmp(&b.username));
    let row = |user: UserView| UserRow {
        keys: keys.iter().filter(|key| key.username == user.username).count(),
        is_self: user.username == visitor.username,
        name: user.username,
        role: user.role,
        created: Moment::new(user.created_at),
    };
    users.into_iter().map(row).collect()
}

impl AccessPage {
    fn is_administrator(&self) -> bool {
        self.frame.visitor.is_administrator()
    }

    /// Whether the visitor may delete the key or end the session of this user.
    fn may_end(&self, username: &str) -> bool {
        self.is_administrator() || username == self.frame.visitor.username
    }
}

impl KeyRow {
    fn new(key: KeyView, now: OffsetDateTime) -> Self {
        let (created, end) = (Moment::new(key.created_at), Validity::new(key.expires_at, now));
        Self { created, end, used: key.last_used_at.map(Moment::new), key }
    }
}

impl SessionRow {
    fn new(session: SessionView) -> Self {
        let (created, used) = (Moment::new(session.created_at), Moment::new(session.last_used_at));
        let browser = browser(&session.user_agent);
        Self { created, used, end: Moment::new(session.expires_at), browser, session }
    }
}

/// `Firefox on Linux`, as far as what the browser says of itself can be believed; else what it says.
fn browser(user_agent: &str) -> String {
    let first = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    // Most name others to be served like them: the one that is named by fewest stands first.
    let program = first(&[
        ("Edg/", "Edge"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (program, system) {
        (Some(program), Some(system)) => format!("{program} on {system}"),
        (Some(program), None) => program.to_owned(),
        (None, _) if user_agent.is_empty() => "unknown".to_owned(),
        (None, _) => user_agent.to_owned(),
    }
}

fn about(role: Role) -> &'static str {
    match role {
        Role::Administrator => "Everything, also users, settings and backups.",
        Role::Auditor => "Reads everything, also users and the audit log. Changes nothing.",
        Role::DefenderManager => {
            "For automation: installs, restarts and decommissions Defenders, and reads fleet and certificates."
        }
        Role::Operator => "All but users and settings: installs, restarts and decommissions Defenders.",
        Role::Viewer => "Reads fleet and certificates.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_named_as_people_know_them() {
        let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36";
        for (text, expected) in [
            (chrome, "Chrome on Linux"),
            ("Mozilla/5.0 (Windows NT 10.0; Win64) Chrome/142.0 Safari/537.36 Edg/142.0", "Edge on Windows"),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Firefox/143.0", "Firefox on macOS"),
            ("curl/8.5.0", "curl"),
            ("<script>", "<script>"),
            ("", "unknown"),
        ] {
            assert_eq!(browser(text), expected);
        }
    }
}
