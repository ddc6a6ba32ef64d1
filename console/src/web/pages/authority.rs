//! `/authority`: the Console's own CAs and their rotation, Defenders that wait to come back, and registrations.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use certs::Source;
use time::OffsetDateTime;
use uuid::Uuid;

use super::words::{self, Moment, Validity};
use super::{Entry, Frame, PageError, Visitor, render};
use crate::authority::{Behind, Progress};
use crate::enroll::{Registration, Return};
use crate::web::AppState;

#[derive(Template)]
#[template(path = "authority.html")]
struct AuthorityPage {
    frame: Frame,
    /// `settled`, `trust` or `sign`.
    stage: &'static str,
    since: Option<Moment>,
    /// Whether it goes on by itself.
    is_automatic: bool,
    /// Whether Defenders use custom certificates, so that all of this waits.
    is_custom: bool,
    cas: Vec<CaView>,
    progress: Progress,
    behind: Vec<BehindRow>,
    returns: Vec<ReturnRow>,
    registrations: Vec<RegistrationRow>,
    /// How many there are, also those that are not shown.
    known: usize,
    life: String,
    return_within: String,
}

/// One CA.
struct CaView {
    subject: String,
    sha256: String,
    begin: Moment,
    validity: Validity,
    is_present: bool,
    signs: bool,
}

/// A Defender that has not moved.
struct BehindRow {
    behind: Behind,
    seen: Moment,
}

/// A Defender that waits for an administrator.
struct ReturnRow {
    id: Uuid,
    hostname: String,
    address: String,
    why: String,
    asked: Moment,
    /// Whether the fleet has it, so that it can be decommissioned.
    is_known: bool,
}

/// A registration.
struct RegistrationRow {
    id: Uuid,
    maker: String,
    made: Moment,
    validity: Validity,
    max_uses: Option<u64>,
    uses: Vec<UseRow>,
    state: &'static str,
    /// Whether somebody may still enrol with it.
    is_open: bool,
}

/// Who enrolled.
struct UseRow {
    id: Uuid,
    hostname: Option<String>,
    address: String,
    at: Moment,
}

pub(super) async fn page(visitor: Visitor, State(state): State<AppState>) -> Result<Response, PageError> {
    let now = OffsetDateTime::now_utc();
    let (phase, cas) = state.authority.state();
    let mut progress = state.authority.progress();
    let mut behind = std::mem::take(&mut progress.behind);
    behind.sort_by(|a, b| (&a.hostname, a.id).cmp(&(&b.hostname, b.id)));
    behind.truncate(MOST_SHOWN);
    let mut registrations = state.enrolment.registrations();
    registrations.sort_by_key(|one| std::cmp::Reverse((one.created_at, one.id)));
    let known = registrations.len();
    let mut returns = state.enrolment.returns();
    returns.sort_by_key(|(id, one)| std::cmp::Reverse((one.asked_at, *id)));
    let lives = state.enrolment.lives();
    let span = |life: std::time::Duration| words::span(life.try_into().unwrap_or(time::Duration::MAX));
    render(&AuthorityPage {
        stage: state.authority.stage(),
        since: phase.map(|phase| Moment::new(phase.since)),
        is_automatic: phase.is_some_and(|phase| phase.automatic),
        is_custom: state.defender.current().source == Source::Custom,
        cas: cas
            .into_iter()
            .enumerate()
            .map(|(place, ca)| CaView {
                subject: ca.facts.subject,
                sha256: ca.facts.sha256,
                begin: Moment::new(ca.facts.not_before),
                validity: Validity::new(ca.facts.not_after, now),
                is_present: place == 0,
                signs: ca.signs,
            })
            .collect(),
        behind: behind
            .into_iter()
            .map(|behind| BehindRow { seen: Moment::new(behind.last_seen), behind })
            .collect(),
        returns: returns.into_iter().take(MOST_SHOWN).map(|one| ReturnRow::new(&state, one)).collect(),
        registrations: registrations
            .into_iter()
            .take(MOST_REGISTRATIONS)
            .map(|one| RegistrationRow::new(&state, one, now))
            .collect(),
        known,
        life: span(lives.own),
        return_within: span(lives.return_within),
        progress,
        frame: Frame::new(&state, visitor, Entry::Authority, "Authority"),
    })
}

impl AuthorityPage {
    fn is_administrator(&self) -> bool {
        self.frame.visitor.is_administrator()
    }

    fn stage_title(&self) -> &'static str {
        match self.stage {
            "trust" => "Stage 1 of 2: everybody learns to trust the next CA",
            "sign" => "Stage 2 of 2: everybody moves to the next CA",
            _ => "No rotation is under way",
        }
    }

    /// The share of Defenders, of 100.
    fn share(&self, count: &usize) -> usize {
        (count * 100).checked_div(self.progress.defenders).unwrap_or(100)
    }

    /// Whether Defenders can be named to be left behind.
    fn may_name(&self) -> bool {
        self.stage == "sign" && self.is_administrator()
    }
}

impl ReturnRow {
    fn new(state: &AppState, (id, one): (Uuid, Return)) -> Self {
        Self {
            id,
            hostname: one.hostname,
            address: one.address.to_canonical().to_string(),
            why: one.why.to_string(),
            asked: Moment::new(one.asked_at),
            is_known: state.fleet.get(id).is_some(),
        }
    }
}

impl RegistrationRow {
    fn new(state: &AppState, one: Registration, now: OffsetDateTime) -> Self {
        let used = u64::try_from(one.uses.len()).unwrap_or(u64::MAX);
        let word = if one.revoked_at.is_some() {
            "revoked"
        } else if one.expires_at <= now {
            "expired"
        } else if one.max_uses.is_some_and(|max| used >= max) {
            "used up"
        } else {
            "open"
        };
        let mut uses: Vec<_> = one.uses.into_iter().collect();
        uses.sort_by_key(|(id, one)| std::cmp::Reverse((one.at, *id)));
        let shown = uses.into_iter().take(MOST_SHOWN).map(|(id, one)| UseRow {
            id,
            hostname: state.fleet.get(id).map(|defender| defender.hostname),
            address: one.address.to_canonical().to_string(),
            at: Moment::new(one.at),
        });
        Self {
            id: one.id,
            maker: one.created_by,
            made: Moment::new(one.created_at),
            validity: Validity::renewing(one.expires_at, now),
            max_uses: one.max_uses,
            uses: shown.collect(),
            state: word,
            is_open: word == "open" || word == "used up",
        }
    }

    fn short(&self) -> String {
        self.id.to_string().chars().take(8).collect()
    }
}

/// How many rows of a list are shown; the API has them all.
const MOST_SHOWN: usize = 200;
const MOST_REGISTRATIONS: usize = 50;
