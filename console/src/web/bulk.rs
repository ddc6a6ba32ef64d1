//! One call for many Defenders: `{"ids":[…]}` is answered with what became of each.

use axum::Json;
use axum::extract::State;
use futures_util::future;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::AppState;
use super::auth::DefenderManagement;
use super::error::ApiError;
use super::input::Body;

/// Which Defenders.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ids {
    /// At most 1000; one that is named twice counts once.
    #[schema(max_items = 1000)]
    ids: Vec<Uuid>,
}

/// What became of one of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {
    /// Which.
    pub(super) id: Uuid,
    /// Whether it was done.
    pub(super) ok: bool,
    /// Why it was not.
    pub(super) error: Option<String>,
}

impl Ids {
    /// Each once, in the order given.
    ///
    /// # Errors
    /// More than 1000.
    pub(super) fn parse(self) -> Result<Vec<Uuid>, ApiError> {
        if self.ids.len() > MOST {
            return Err(ApiError::BadRequest(format!("ids are at most {MOST} in one call")));
        }
        let mut seen = std::collections::HashSet::new();
        Ok(self.ids.into_iter().filter(|id| seen.insert(*id)).collect())
    }
}

impl Done {
    /// It was done, or why not.
    pub(super) fn new(id: Uuid, error: Option<String>) -> Self {
        Self { id, ok: error.is_none(), error }
    }
}

/// Decommissions many Defenders, each as `DELETE defenders/{id}` does.
///
/// For administrators, operators and programs that manage Defenders.
#[utoipa::path(post, path = "/defenders/decommission", tag = "defenders", operation_id = "decommission_many",
    request_body = Ids,
    responses((status = 200, description = "What became of each, in the order given", body = Vec<Done>)))]
pub(super) async fn decommission(
    DefenderManagement(actor): DefenderManagement,
    State(state): State<AppState>,
    Body(ids): Body<Ids>,
) -> Result<Json<Vec<Done>>, ApiError> {
    let now = OffsetDateTime::now_utc();
    let ids = ids.parse()?;
    // Together, so that the store writes them together.
    let one = |id: Uuid| {
        let (fleet, enrolment, actor) = (state.fleet.clone(), state.enrolment.clone(), actor.clone());
        async move {
            let is_done = fleet.decommission(id, actor, now).await?;
            enrolment.forget_return(id);
            let unknown = "no Defender has this id, or it was decommissioned";
            Ok::<_, ApiError>(Done::new(id, (!is_done).then(|| unknown.to_owned())))
        }
    };
    let done = future::try_join_all(ids.into_iter().map(one)).await?;
    let count = done.iter().filter(|done| done.ok).count();
    tracing::info!(count, user = actor.user, "Defenders decommissioned");
    Ok(Json(done))
}

const MOST: usize = 1000;
