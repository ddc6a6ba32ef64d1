//! System tests: the two real programs, certificates made by `openssl`, one module per behaviour.
//!
//! ```text
//! start_table.rs    what a channel starts on (contract section 2)
//! bad_input.rs      every kind of bad file, at start and while running
//! rotation.rs       a changed set is taken; nothing else is disturbed
//! meet.rs, meet_names.rs  a custom set against what Defenders have and expect
//! manners.rs        copies, renames, links, exchanged directories
//! under_load.rs     fifty rotations under a connect loop
//! sessions.rs       hello, reports, heartbeats, close codes (contract section 4)
//! authority.rs      the Console's own CA is rotated; Defenders come back
//! ten_years/        years of a fleet in seconds: rules, certificates and schedules without the sockets
//! lifetime.rs       one Defender from its first day through everything, with a restore at the end
//! enrolment.rs      registrations, own certificates, renewal
//! crl.rs            revocation lists in the custom directory
//! revocation.rs     certificates of decommissioned Defenders
//! refusals.rs       each cause of a refusal is told apart
//! trusted.rs        proxies in front, and whose word about a client is believed
//! storage.rs        certificates on network storage
//! istio.rs          behind a real Envoy, as Istio sets it up
//! limits.rs         TLS versions, sizes, time-outs, floods
//! slow.rs           clients of the API that take too much or too long
//! reconnect.rs      what a Defender does when its Console or its connection goes
//! crash.rs          kill -9 of either side
//! alerts.rs         alerts reach webhook and syslog
//! api.rs, events.rs the HTTPS API and its event stream (contract section 5)
//! description.rs    the API against its own description
//! export.rs         deployment files
//! deploy.rs         the same files from the API, wrapper, kustomize, systemd
//! documents.rs      the commands of the documents of deployment, as printed
//! services.rs       the documented way of services, on a host that systemd runs
//! onebox.rs         the images and the compose file on a Docker Engine
//! backup.rs         backup and restore of a Console whose Defenders go on
//! proxy.rs, doctor.rs  a proxy on the way (squid); what is wrong between a host and its Console
//! commands.rs       a Defender's log and restart, from the Console
//! certs_check.rs, status.rs, shutdown.rs, log_lines.rs
//! monitoring.rs     the files for Prometheus, judged by its own tool
//! browser/          the pages in Chromium
//! stage.rs          a Console and a Defender that all three channels can be tried on
//! ```

mod alerts;
mod api;
mod authority;
mod backup;
mod bad_input;
mod browser;
mod certs_check;
mod commands;
mod crash;
mod crl;
mod deploy;
mod description;
mod doctor;
mod documents;
mod enrolment;
mod events;
mod export;
mod istio;
mod lifetime;
mod limits;
mod log_lines;
mod manners;
mod meet;
mod meet_names;
mod monitoring;
mod onebox;
mod proxy;
mod reconnect;
mod refusals;
mod revocation;
mod rotation;
mod services;
mod sessions;
mod shutdown;
mod slow;
mod stage;
mod start_table;
mod status;
mod storage;
mod ten_years;
mod trusted;
mod under_load;
