//! `GET metrics`: the counters, and what is so at this moment, as Prometheus reads it.

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use certs::{Channel, Subscriber};
use protocol::message::CertificateSource;
use rustls::ServerConfig;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::AppState;
use super::auth::AnyUser;
use super::error::ApiError;
use crate::fleet::Census;
use crate::metrics::process::Process;
use crate::metrics::{Call, Metrics, Text};
use crate::store::{self, Figures};

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
    let census = state.fleet.census(OffsetDateTime::now_utc());
    write_fleet(&mut text, &census);
    write_store(&mut text, &state.fleet.writer_figures(), state.store.transactions());
    write_expiring(&mut text, &census);
    write_channels(&mut text, state);
    let (readers, events) = state.fleet.event_figures();
    text.family("garrison_event_readers", "gauge", "Readers of live events now.");
    text.sample("", &[], readers);
    text.family("garrison_events_total", "counter", "Live events since the start.");
    text.sample("", &[], events);
    text.family(
        "garrison_store_errors_total",
        "counter",
        "Statements that the database did not carry out, since the start.",
    );
    text.sample("", &[], store::faults());
    state.metrics.write(&mut text);
    state.alerts.write(&mut text);
    write_process(&mut text, &state.metrics);
    text.finish()
}

fn write_fleet(text: &mut Text, census: &Census) {
    let help = "Defenders that are not decommissioned, by state and version.";
    text.family("garrison_defenders", "gauge", help);
    for (version, connected, disconnected) in &census.versions {
        text.sample("", &[("state", "connected"), ("version", version)], connected);
        text.sample("", &[("state", "disconnected"), ("version", version)], disconnected);
    }
    text.family("garrison_defender_sessions", "gauge", "Defenders with a session now.");
    text.sample("", &[], census.sessions);
    text.family("garrison_defender_sessions_opened_total", "counter", "Sessions opened since the start.");
    text.sample("", &[], census.sessions_so_far);
}

fn write_store(text: &mut Text, figures: &Figures, transactions: u64) {
    text.family("garrison_reports_stored_total", "counter", "Reports of Defenders stored since the start.");
    text.sample("", &[], figures.stored);
    text.family("garrison_reports_waiting", "gauge", "Reports that wait for the disk.");
    text.sample("", &[], figures.waiting);
    let help = "Time from the arrival of a report to the disk.";
    text.family("garrison_report_delay_seconds", "histogram", help);
    for (bound, count) in &figures.delays {
        text.sample("_bucket", &[("le", bound)], count);
    }
    text.sample("_bucket", &[("le", "+Inf")], figures.stored);
    text.sample("_sum", &[], figures.delay_seconds);
    text.sample("_count", &[], figures.stored);
    text.family("garrison_store_transactions_total", "counter", "Transactions committed since the start.");
    text.sample("", &[], transactions);
}

/// One series for each bound, not for each Defender.
fn write_expiring(text: &mut Text, census: &Census) {
    let help = "Defenders whose certificate expires within so many days or has expired; 0 is expired.";
    text.family("garrison_defender_certificates_expiring", "gauge", help);
    for (days, count) in &census.expiring {
        text.sample("", &[("within_days", &days.to_string())], count);
    }
    let help = "When the first certificate of a Defender expires, Unix time, by source.";
    text.family("garrison_defender_certificate_not_after_min_seconds", "gauge", help);
    for (source, not_after) in &census.soonest {
        let source = match source {
            CertificateSource::Custom => "custom",
            CertificateSource::SelfSigned => "self-signed",
        };
        text.sample("", &[("source", source)], not_after.unix_timestamp());
    }
}

fn write_channels(text: &mut Text, state: &AppState) {
    let channels = [(Channel::ConsoleHttps, &state.https), (Channel::ConsoleDefender, &state.defender)];
    let each = |text: &mut Text, value: &dyn Fn(&Subscriber<ServerConfig>) -> i64| {
        for (channel, subscriber) in channels {
            let source = subscriber.current().source.to_string();
            text.sample("", &[("channel", channel.id()), ("source", &source)], value(subscriber));
        }
    };
    let help = "When the certificate in use expires, Unix time.";
    text.family("garrison_certificate_not_after_seconds", "gauge", help);
    each(text, &|subscriber| subscriber.current().material.leaf().not_after.unix_timestamp());
    let help = "When the first certificate of the chain in use expires, Unix time.";
    text.family("garrison_certificate_chain_not_after_seconds", "gauge", help);
    each(text, &|subscriber| {
        let live = subscriber.current();
        let leaf = live.material.leaf().not_after;
        live.material.chain_facts().map(|facts| facts.not_after).fold(leaf, Ord::min).unix_timestamp()
    });
    text.family("garrison_certificate_rotated_seconds", "gauge", "When the channel last changed, Unix time.");
    each(text, &|subscriber| subscriber.current().rotated_at.unix_timestamp());
    text.family(
        "garrison_certificate_refused",
        "gauge",
        "1 while the last set of custom files was refused and an older one runs, else 0.",
    );
    each(text, &|subscriber| i64::from(subscriber.last_error().is_some()));
    text.family("garrison_ca_not_after_seconds", "gauge", "When the Console's own CA expires, Unix time.");
    text.sample("", &[], state.names.ca_expiration().unix_timestamp());
    let help = "When the first of the CAs expires that certificates of Defenders must come from, Unix time.";
    text.family("garrison_client_ca_not_after_seconds", "gauge", help);
    let live = state.defender.current();
    if let Some(first) = live.material.ca_facts().map(|facts| facts.not_after).min() {
        text.sample("", &[("source", &live.source.to_string())], first.unix_timestamp());
    }
}

fn write_process(text: &mut Text, metrics: &Metrics) {
    let process = Process::now();
    let mut gauge = |name, help, value: Option<u64>| {
        text.family(name, "gauge", help);
        if let Some(value) = value {
            text.sample("", &[], value);
        }
    };
    gauge("garrison_process_resident_memory_bytes", "Memory in use.", process.resident_bytes);
    let open = process.open_descriptors.and_then(|count| u64::try_from(count).ok());
    gauge("garrison_process_open_fds", "Open files and connections.", open);
    gauge("garrison_process_max_fds", "How many may be open.", process.most_descriptors);
    gauge("garrison_process_threads", "Threads.", process.threads);
    text.family("garrison_process_cpu_seconds_total", "counter", "Processor time of all threads.");
    if let Some(cpu) = process.cpu {
        text.sample("", &[], cpu.as_secs_f64());
    }
    text.family("garrison_process_start_time_seconds", "gauge", "When the Console started, Unix time.");
    text.sample("", &[], metrics.started().unix_timestamp());
}

const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
