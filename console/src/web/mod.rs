//! The HTTPS listener (8083): the API of contract section 5 and the pages.
//!
//! ```text
//! mod.rs            every route, AppState
//! listener.rs       TCP -> TLS -> router; the newest configuration for each handshake
//! drain.rs          one connection from its first request to its end
//! crowd.rs          how many connections one address may have
//! forwarded.rs      what trusted proxies tell of their clients
//! patient.rs        a client that does not read its answer
//! pace.rs           the same for one stream of HTTP/2
//! auth.rs           who may call what
//! cookie.rs         the session cookie
//! origin.rs         which page made a request
//! error.rs          ApiError -> problem+json
//! csv.rs            lists as CSV
//! input.rs          bodies, parameters and pages of lists, judged
//! openapi.rs        the description of the API
//! stray.rs          parameters of calls that take none
//! admission.rs      heads that no handler sees; bodies that nobody read
//! guard.rs          headers of every answer; a panic is a 500
//! roster.rs         lists of Defenders
//! expiry.rs         every certificate that will end
//! history.rs        what was: connections, counts, rotations
//! bulk.rs           one call for many Defenders
//! refused.rs        who was refused at the Defender listener
//! restart.rs        Defenders start afresh
//! log.rs  tail.rs   a Defender's log: download, live
//! deploy/           files that Consoles and Defenders are deployed with
//! authority.rs      the Console's own CA, its rotation, Defenders that come back
//! alerts.rs  alert_settings.rs    alerts; how people hear of them
//! audits.rs  backups.rs  certificates.rs  defenders.rs  events.rs  keys.rs  metrics.rs  registrations.rs  session.rs
//! sessions.rs  settings.rs  users.rs
//! pages/            what people see in a browser
//! assets.rs         style, scripts and icons of the pages
//! compress.rs       pages and assets, smaller
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, post, put};
use certs::{CustomDir, Subscriber};
use rustls::ServerConfig;

use crate::access::Access;
use crate::alerts::Alerts;
use crate::authority::AuthorityRotation;
use crate::backup::keeper::Keeper;
use crate::enroll::Enrolment;
use crate::fleet::Fleet;
use crate::meet::Meeting;
use crate::metrics::Metrics;
use crate::names::ExtraNames;
use crate::public_url::PublicAddress;
use crate::refusals::Refusals;
use crate::store::Store;

mod admission;
mod alert_settings;
mod alerts;
mod assets;
mod audits;
mod auth;
mod authority;
mod backups;
mod bulk;
mod certificates;
mod compress;
mod cookie;
mod crowd;
mod csv;
mod defenders;
mod deploy;
mod drain;
mod error;
mod events;
mod expiry;
mod forwarded;
mod guard;
mod history;
mod input;
mod keys;
pub mod listener;
mod log;
mod metrics;
mod openapi;
mod origin;
mod pace;
mod pages;
mod patient;
mod refused;
mod registrations;
mod restart;
mod roster;
mod session;
mod sessions;
mod settings;
mod stray;
mod tail;
mod users;

/// What the handlers work with. Clones share all of it.
#[derive(Clone, Debug)]
pub struct AppState {
    /// Users, passwords, tokens.
    pub access: Access,
    /// What people should see to.
    pub alerts: Alerts,
    /// Backups that are kept.
    pub backups: Keeper,
    /// The rotation of the Console's own CA.
    pub authority: AuthorityRotation,
    /// Where operators put their own certificates.
    pub custom_dir: CustomDir,
    /// What the Defender listener runs on.
    pub defender: Subscriber<ServerConfig>,
    /// Port of the Defender listener.
    pub defender_port: u16,
    /// Issues install bundles.
    pub enrolment: Enrolment,
    /// Defenders and events.
    pub fleet: Fleet,
    /// What the HTTPS listener runs on.
    pub https: Subscriber<ServerConfig>,
    /// Compares custom certificates with what Defenders have and expect.
    pub meeting: Meeting,
    /// What is counted.
    pub metrics: Metrics,
    /// Names in self-signed certificates.
    pub names: ExtraNames,
    /// The URL that users reach the Console by, where it was told.
    pub public_url: PublicAddress,
    /// Who was refused at the Defender listener.
    pub refusals: Refusals,
    /// Whether all listeners accept.
    pub ready: Ready,
    /// The database.
    pub store: Store,
}

/// Whether the Console is ready to serve. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// From now on it is.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Every URL of the API, below `/api/v1/`.
fn table() -> Vec<(&'static str, MethodRouter<AppState>)> {
    vec![
        ("_ping", get(session::ping)),
        ("version", get(session::version)),
        ("openapi.json", get(openapi::description)),
        ("signup", post(session::sign_up)),
        ("authenticate", post(session::authenticate)),
        ("password", post(session::change_password)),
        ("sessions", get(sessions::list)),
        ("sessions/{id}", delete(sessions::end)),
        ("access-keys", get(keys::list).post(keys::add)),
        ("access-keys/{name}", delete(keys::remove)),
        ("users", get(users::list).post(users::add)),
        ("users/{username}", put(users::change).delete(users::remove)),
        ("defenders", get(roster::list)),
        ("defenders/names", get(roster::names)),
        ("defenders/refused", get(refused::refusals)),
        ("defenders/facets", get(roster::facets)),
        ("defenders/install-bundle", get(defenders::install_bundle)),
        ("defenders/decommission", post(bulk::decommission)),
        ("defenders/daemonset-helm.tar.gz", post(deploy::defenders::daemon_set_chart)),
        ("defenders/daemonset.yaml", post(deploy::defenders::daemon_set)),
        ("defenders/docker-compose.yaml", post(deploy::defenders::compose)),
        ("defenders/openshift-helm.tar.gz", post(deploy::defenders::openshift_chart)),
        ("defenders/openshift.yaml", post(deploy::defenders::openshift)),
        ("console/docker-compose.yaml", post(deploy::console::compose)),
        ("console/istio-helm.tar.gz", post(deploy::console::istio_chart)),
        ("console/istio.yaml", post(deploy::console::istio)),
        ("console/kubernetes-helm.tar.gz", post(deploy::console::kubernetes_chart)),
        ("console/kubernetes.yaml", post(deploy::console::kubernetes)),
        ("console/openshift-helm.tar.gz", post(deploy::console::openshift_chart)),
        ("console/openshift.yaml", post(deploy::console::openshift)),
        ("defenders/{id}/connections", get(history::connections)),
        ("defenders/restart", post(restart::restart_many)),
        ("defenders/{id}/restart", post(restart::restart)),
        ("defenders/{id}/log", get(log::download)),
        ("defenders/{id}/log/stream", get(tail::stream)),
        ("defenders/{id}/host", get(defenders::host)),
        ("defenders/{id}", get(defenders::one).delete(defenders::decommission)),
        ("certs/ca.pem", get(certificates::ca)),
        ("certificates/expiry", get(expiry::list)),
        ("certificates/{channel}/chain", get(certificates::chain)),
        ("certificates/{channel}/accept", post(certificates::accept)),
        ("certificates/history", get(history::certificates)),
        ("fleet/history", get(history::fleet)),
        ("certificates", get(certificates::list)),
        ("authority", get(authority::show)),
        ("authority/rotation", post(authority::begin)),
        ("authority/rotation/advance", post(authority::advance)),
        ("authority/rotation/retire", post(authority::retire)),
        ("authority/rotation/rollback", post(authority::roll_back)),
        ("returns", get(authority::returns)),
        ("returns/{id}/approve", post(authority::approve)),
        ("registrations", get(registrations::list)),
        ("registrations/{id}", delete(registrations::revoke)),
        ("settings/general", get(settings::general).post(settings::change_general)),
        ("settings/certs", get(settings::certs).post(settings::change_certs)),
        ("settings/sessions", get(sessions::limits).post(sessions::change_limits)),
        ("settings/backups", get(backups::schedule).post(backups::change_schedule)),
        ("backups", get(backups::list).post(backups::make)),
        ("backups/{name}", get(backups::download).delete(backups::remove)),
        ("audits", get(audits::list)),
        ("audits/verify", get(audits::verify)),
        ("alerts", get(alerts::list)),
        ("alerts/{id}/acknowledge", post(alerts::acknowledge)),
        ("settings/alerts", get(alert_settings::show).post(alert_settings::change)),
        ("settings/alerts/test", post(alert_settings::try_out)),
        ("metrics", get(metrics::page)),
        ("events", get(events::stream)),
    ]
}

/// Answers every URL of the Console.
pub fn router(state: AppState) -> Router {
    let api = table()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(&format!("/api/v1/{path}"), methods));
    api.merge(pages::router())
        .fallback(pages::unknown_path)
        .method_not_allowed_fallback(error::unknown_method)
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(middleware::from_fn(admission::admit))
        .layer(middleware::from_fn(guard::guard))
        .layer(middleware::from_fn_with_state(state.metrics.clone(), metrics::count))
        .with_state(state)
}

const MOST_BODY_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
