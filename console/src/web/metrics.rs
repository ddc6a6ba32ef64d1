//! `GET metrics`: the counters, and what is so at this moment, as Prometheus reads it.

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use certs::{Channel, Subscriber};
use rustls::ServerConfig;
use tokio::time::Instant;

use super::AppState;
use super::auth::AnyUser;
use super::error::ApiError;
use crate::fleet::Census;
use crate::metrics::process::Process;
use crate::metrics::{Call, Metrics, Text};

/// Counts each call, whatever becomes of it.
pub(super) async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let answer = next.run(request).await;
    let route = path.as_ref().map(MatchedPath::as_str);
    let (status, took) = (answer.status(), started.elapsed());
    metrics.calls().count(Call { route, method: &method, status, took });
    answer
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "console",
    responses((status = 200, description = "The text format, version 0.0.4", body = String,
        content_type = "text/plain")))]
pub(super) async fn page(_: AnyUser, State(state): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    // A fleet and its descriptors take a while to count.
    let page = tokio::task::spawn_blocking(move || write(&state)).await;
    let page = page.map_err(|error| ApiError::Internal(format!("writing the metrics: {error}")))?;
    Ok(([(CONTENT_TYPE, FORMAT)], page))
}

fn write(state: &AppState) -> String {
    let mut text = Text::default();
    text.family("garrison_build_info", "gauge", "1, with the version of the Console.");
    text.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    write_fleet(&mut text, &state.fleet.census(), state.fleet.reports_stored());
    text.family(
        "garrison_certificate_not_after_seconds",
        "gauge",
        "When the certificate in use expires, Unix time.",
    );
    write_expiry(&mut text, Channel::ConsoleHttps, &state.https);
    write_expiry(&mut text, Channel::ConsoleDefender, &state.defender);
    text.family("garrison_ca_not_after_seconds", "gauge", "When the Console's own CA expires, Unix time.");
    text.sample("", &[], state.names.ca_expiration().unix_timestamp());
    state.metrics.write(&mut text);
    write_process(&mut text, &state.metrics);
    text.finish()
}

fn write_fleet(text: &mut Text, census: &Census, reports_stored: u64) {
    text.family(
        "garrison_defenders",
        "gauge",
        "Defenders that are not decommissioned, by state and version.",
    );
    for (version, connected, disconnected) in &census.versions {
        text.sample("", &[("state", "connected"), ("version", version)], connected);
        text.sample("", &[("state", "disconnected"), ("version", version)], disconnected);
    }
    text.family("garrison_defender_sessions", "gauge", "Defenders with a session now.");
    text.sample("", &[], census.sessions);
    text.family("garrison_defender_sessions_opened_total", "counter", "Sessions opened since the start.");
    text.sample("", &[], census.sessions_so_far);
    text.family("garrison_reports_stored_total", "counter", "Reports of Defenders stored since the start.");
    text.sample("", &[], reports_stored);
}

fn write_expiry(text: &mut Text, channel: Channel, subscriber: &Subscriber<ServerConfig>) {
    let live = subscriber.current();
    let labels = [("channel", channel.id()), ("source", &live.source.to_string())];
    text.sample("", &labels, live.material.leaf().not_after.unix_timestamp());
}

fn write_process(text: &mut Text, metrics: &Metrics) {
    let process = Process::now();
    if let Some(bytes) = process.resident_bytes {
        text.family("garrison_process_resident_memory_bytes", "gauge", "Memory in use.");
        text.sample("", &[], bytes);
    }
    if let Some(count) = process.open_descriptors {
        text.family("garrison_process_open_fds", "gauge", "Open files and connections.");
        text.sample("", &[], count);
    }
    if let Some(cpu) = process.cpu {
        text.family("garrison_process_cpu_seconds_total", "counter", "Processor time of all threads.");
        text.sample("", &[], cpu.as_secs_f64());
    }
    text.family("garrison_process_start_time_seconds", "gauge", "When the Console started, Unix time.");
    text.sample("", &[], metrics.started().unix_timestamp());
}

const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
