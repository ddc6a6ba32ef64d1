//! Defenders start afresh, one or many: the same process id and identity, a new `boot`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::{StreamExt as _, stream};
use protocol::command::RESTART;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::AppState;
use super::auth::DefenderManagement;
use super::bulk::{Done, Ids};
use super::defenders::UNKNOWN;
use super::error::ApiError;
use super::input::{Body, Id};
use crate::fleet::{CommandError, Fleet, SessionHandle};
use crate::store::audits::{Action, Actor, Deed};

/// Starts a Defender afresh, for administrators, operators and programs that manage Defenders.
///
/// It ends its connection in good order, starts anew in the same process and connects again. Reports are kept.
#[utoipa::path(post, path = "/defenders/{id}/restart", tag = "defenders", params(("id" = uuid::Uuid, Path)),
    responses((status = 204, description = "The Defender restarts now"),
        (status = 404, description = "No such Defender, or decommissioned"),
        (status = 409, description = "The Defender is not connected, too old, or refuses; see `type`"),
        (status = 502, description = "The Defender's answer cannot be used"),
        (status = 504, description = "The Defender did not answer in time")))]
pub(super) async fn restart(
    DefenderManagement(actor): DefenderManagement,
    Id(id): Id,
    State(state): State<AppState>,
) -> Result<StatusCode, ApiError> {
    let defender = state.fleet.get(id).ok_or(UNKNOWN)?;
    let session = state.fleet.session(id)?;
    state.store.record(&deed(&actor, id, &defender.hostname), OffsetDateTime::now_utc()).await?;
    order(session).await?;
    tracing::info!(defender = id.to_string(), user = actor.user, "Defender restarts as it was told");
    Ok(StatusCode::NO_CONTENT)
}

/// Starts many Defenders afresh, for the same users, each as `POST defenders/{id}/restart` does.
#[utoipa::path(post, path = "/defenders/restart", tag = "defenders", request_body = Ids,
    responses((status = 200, description = "What became of each, in the order given", body = Vec<Done>)))]
pub(super) async fn restart_many(
    DefenderManagement(actor): DefenderManagement,
    State(state): State<AppState>,
    Body(ids): Body<Ids>,
) -> Result<Json<Vec<Done>>, ApiError> {
    let targets: Vec<_> = ids.parse()?.into_iter().map(|id| (id, target(&state.fleet, id))).collect();
    let deeds: Vec<_> = targets
        .iter()
        .filter_map(|(id, target)| target.as_ref().ok().map(|(hostname, _)| deed(&actor, *id, hostname)))
        .collect();
    if !deeds.is_empty() {
        state.store.record_all(&deeds, OffsetDateTime::now_utc()).await?;
    }
    let orders = targets.into_iter().map(|(id, target)| async move {
        let outcome = match target {
            Ok((_, session)) => order(session).await.map_err(|error| error.to_string()),
            Err(cause) => Err(cause),
        };
        Done::new(id, outcome.err())
    });
    let done: Vec<Done> = stream::iter(orders).buffered(AT_ONCE).collect().await;
    let count = done.iter().filter(|done| done.ok).count();
    tracing::info!(count, user = actor.user, "Defenders restart as they were told");
    Ok(Json(done))
}

/// Host name and session, or why there is none.
fn target(fleet: &Fleet, id: Uuid) -> Result<(String, Arc<SessionHandle>), String> {
    let defender = fleet.get(id).ok_or("no Defender has this id, or it was decommissioned")?;
    let session = fleet.session(id).map_err(|error| error.to_string())?;
    Ok((defender.hostname, session))
}

async fn order(session: Arc<SessionHandle>) -> Result<(), CommandError> {
    // Whatever it says beside `ok`.
    session.command::<_, Value>(RESTART, &(), PATIENCE).await.map(drop)
}

fn deed(actor: &Actor, id: Uuid, hostname: &str) -> Deed {
    let (action, object) = (Action::Restarted, id.to_string());
    Deed { actor: actor.clone(), action, object, old: json!({ "hostname": hostname }), new: Value::Null }
}

/// How long a Defender may take to say that it restarts.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many Defenders are told side by side: a thousand that do not answer take 40 s.
const AT_ONCE: usize = 250;
