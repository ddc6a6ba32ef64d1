//! Backups that are kept in the data directory: make one, list, download and delete them, and their schedule. For
//! administrators: a backup is everything that the Console knows.

use axum::Json;
use axum::body::{Body as Answer, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use utoipa::ToSchema;

use super::AppState;
use super::auth::{Administrator, AdministratorOrAuditor};
use super::error::ApiError;
use super::input::{Body, Listed, Page, Parameters, Search, Secret};
use crate::backup::keeper::{Keeper, Schedule};
use crate::backup::kept::Kept;
use crate::backup::schedule::Every;
use crate::backup::{Kind, Passphrase};
use crate::store::audits::{Action, Actor, Deed};
use crate::store::milliseconds;

/// `GET settings/backups`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BackupSettings {
    /// How often a backup is made.
    schedule: Every,
    /// The hour of the day, UTC, from which it is made.
    #[schema(minimum = 0, maximum = 23, example = 2)]
    hour: u8,
    /// How many scheduled backups are kept; older ones are removed.
    #[schema(minimum = 1, maximum = 1000, example = 7)]
    keep: u32,
    /// Whether this Console has a passphrase to encrypt them with.
    passphrase_set: bool,
    /// Why the newest backup failed; absent when it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<LastFailure>,
}

/// Why a backup failed.
#[derive(Serialize, ToSchema)]
pub(super) struct LastFailure {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
    /// What went wrong.
    cause: String,
    /// What to do about it.
    remedy: &'static str,
}

/// `POST settings/backups`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBackupSettings {
    /// How often a backup is made.
    schedule: Every,
    /// The hour of the day, UTC, from which it is made; 2 unless told.
    #[schema(minimum = 0, maximum = 23, example = 2)]
    hour: Option<u8>,
    /// How many scheduled backups are kept; 7 unless told.
    #[schema(minimum = 1, maximum = 1000, example = 7)]
    keep: Option<u32>,
    /// The passphrase to encrypt backups with from now on, 12 to 1024 characters; absent: as before. It is never
    /// shown again.
    #[schema(value_type = Option<String>, min_length = 12, max_length = 1024)]
    passphrase: Option<Secret>,
}

/// Shows when backups are made.
#[utoipa::path(get, path = "/settings/backups", tag = "settings", operation_id = "backups",
    responses((status = 200, description = "The settings", body = BackupSettings)))]
pub(super) async fn schedule(
    _: AdministratorOrAuditor,
    State(state): State<AppState>,
) -> Result<Json<BackupSettings>, ApiError> {
    shown(&state.backups).await
}

/// Changes when backups are made, for administrators. A backup that was missed while the Console did not run is made
/// when it starts.
#[utoipa::path(post, path = "/settings/backups", tag = "settings", operation_id = "change_backups",
    request_body = NewBackupSettings,
    responses((status = 200, description = "The settings", body = BackupSettings)))]
pub(super) async fn change_schedule(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
    Body(body): Body<NewBackupSettings>,
) -> Result<Json<BackupSettings>, ApiError> {
    let bad = |form: &str| ApiError::BadRequest(form.to_owned());
    let hour = body.hour.unwrap_or(2);
    let keep = body.keep.unwrap_or(7);
    if hour > 23 {
        return Err(bad("hour is a number from 0 to 23, in UTC"));
    }
    if !(1..=MOST_KEPT).contains(&keep) {
        return Err(bad("keep is a number from 1 to 1000"));
    }
    let passphrase = body.passphrase.map(|text| Passphrase::parse(&text));
    let passphrase = passphrase.transpose().map_err(|form| ApiError::BadRequest(form.to_string()))?;
    if body.schedule != Every::Off && passphrase.is_none() && !state.backups.has_passphrase().await {
        return Err(bad("passphrase is missing: scheduled backups need one"));
    }
    let old = state.backups.schedule().await?;
    let is_same = (old.every, old.hour) == (body.schedule, hour);
    let since = if is_same { old.since } else { milliseconds(OffsetDateTime::now_utc()) };
    let new = Schedule { every: body.schedule, hour, keep, since };
    state.backups.change(new, passphrase, &actor).await?;
    shown(&state.backups).await
}

async fn shown(backups: &Keeper) -> Result<Json<BackupSettings>, ApiError> {
    let Schedule { every, hour, keep, .. } = backups.schedule().await?;
    let last_failure = backups.failure().map(|failure| LastFailure {
        time: failure.time,
        cause: failure.cause,
        remedy: failure.remedy,
    });
    let passphrase_set = backups.has_passphrase().await;
    Ok(Json(BackupSettings { schedule: every, hour, keep, passphrase_set, last_failure }))
}

/// Lists the backups that are kept, newest first, for administrators and auditors.
#[utoipa::path(get, path = "/backups", tag = "backups", params(Search),
    responses((status = 200, description = "Backups", body = Vec<Kept>,
        headers(("Total-Count" = u64, description = "How many there are in all")))))]
pub(super) async fn list(
    _: AdministratorOrAuditor,
    State(state): State<AppState>,
    Parameters(search): Parameters<Search>,
) -> Result<Listed<Kept>, ApiError> {
    let page = Page::parse(search.offset, search.limit)?;
    let text = search.search.unwrap_or_default().to_lowercase();
    let mut all = state.backups.list().await?;
    all.retain(|kept| kept.name.to_lowercase().contains(&text));
    Ok(page.of(all, Kept::newest_first))
}

/// Makes a backup now, for administrators. It is kept until it is deleted.
#[utoipa::path(post, path = "/backups", tag = "backups",
    responses((status = 201, description = "The backup", body = Kept),
        (status = 409, description = "Another one is being made, or no passphrase is set")))]
pub(super) async fn make(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
) -> Result<(StatusCode, Json<Kept>), ApiError> {
    let kept = state.backups.make(Kind::Requested, &actor).await?;
    Ok((StatusCode::CREATED, Json(kept)))
}

/// Downloads a backup, for administrators. It is encrypted; `console restore` takes it.
#[utoipa::path(get, path = "/backups/{name}", tag = "backups",
    params(("name" = String, Path, description = "Name of the file")),
    responses((status = 200, description = "The file", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, description = "There is no backup of that name")))]
pub(super) async fn download(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Response, ApiError> {
    let kept = find(&state.backups, path).await?;
    let path = state.backups.folder().path(&kept.name).ok_or(UNKNOWN)?;
    let file = File::open(path).await.map_err(|_| UNKNOWN)?;
    enter(&state, &actor, Action::BackupDownloaded, &kept.name, Value::Null).await?;
    let chunks = stream::try_unfold(file, async |mut file| {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = file.read_buf(&mut chunk).await?;
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(chunk), file)))
    });
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{}\"", kept.name));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_LENGTH, HeaderValue::from(kept.size)),
        (header::CONTENT_DISPOSITION, disposition.map_err(|error| ApiError::Internal(error.to_string()))?),
    ];
    Ok((headers, Answer::from_stream(chunks)).into_response())
}

/// Deletes a backup, for administrators.
#[utoipa::path(delete, path = "/backups/{name}", tag = "backups",
    params(("name" = String, Path, description = "Name of the file")),
    responses((status = 204, description = "It is deleted"),
        (status = 404, description = "There is no backup of that name")))]
pub(super) async fn remove(
    Administrator(actor): Administrator,
    State(state): State<AppState>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<StatusCode, ApiError> {
    let kept = find(&state.backups, path).await?;
    if !state.backups.remove(&kept.name).await? {
        return Err(UNKNOWN);
    }
    let old = json!({ "kind": kept.kind, "size": kept.size });
    enter(&state, &actor, Action::BackupDeleted, &kept.name, old).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(
    backups: &Keeper,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Kept, ApiError> {
    let Path(name) =
        path.map_err(|_| ApiError::BadRequest("the name in the path is not UTF-8".to_owned()))?;
    backups.find(&name).await?.ok_or(UNKNOWN)
}

async fn enter(
    state: &AppState,
    actor: &Actor,
    action: Action,
    name: &str,
    old: Value,
) -> Result<(), ApiError> {
    let deed = Deed { actor: actor.clone(), action, object: name.to_owned(), old, new: Value::Null };
    Ok(state.store.record(&deed, OffsetDateTime::now_utc()).await?)
}

const UNKNOWN: ApiError = ApiError::NotFound("there is no backup of that name");
const MOST_KEPT: u32 = 1000;
const CHUNK: usize = 64 * 1024;
