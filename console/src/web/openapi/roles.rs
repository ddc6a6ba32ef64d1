//! Who may make each call, for the description: `x-roles`. A test makes each call as each role and compares.

/// Roles whose users may call `method` at `path`, which is below `/api/v1`.
pub(super) fn of(method: &str, path: &str) -> &'static [&'static str] {
    let call = (method, path);
    if ADMINISTRATORS.contains(&call) {
        &["administrator"]
    } else if OPERATORS.contains(&call) {
        &["administrator", "operator"]
    } else if READERS.contains(&call) {
        &["administrator", "auditor"]
    } else if MANAGERS.contains(&call) {
        &["administrator", "defender-manager", "operator"]
    } else if LOG_READERS.contains(&call) {
        &["administrator", "auditor", "operator"]
    } else {
        &["administrator", "auditor", "defender-manager", "operator", "viewer"]
    }
}

const ADMINISTRATORS: &[(&str, &str)] = &[
    ("DELETE", "/backups/{name}"),
    ("DELETE", "/users/{username}"),
    ("GET", "/backups/{name}"),
    ("POST", "/authority/rotation"),
    ("POST", "/authority/rotation/advance"),
    ("POST", "/authority/rotation/retire"),
    ("POST", "/authority/rotation/rollback"),
    ("POST", "/backups"),
    ("POST", "/returns/{id}/approve"),
    ("POST", "/settings/alerts"),
    ("POST", "/settings/alerts/test"),
    ("POST", "/settings/backups"),
    ("POST", "/settings/certs"),
    ("POST", "/settings/general"),
    ("POST", "/settings/sessions"),
    ("POST", "/users"),
    ("PUT", "/users/{username}"),
];

const OPERATORS: &[(&str, &str)] =
    &[("POST", "/alerts/{id}/acknowledge"), ("POST", "/certificates/{channel}/accept")];

const READERS: &[(&str, &str)] = &[
    ("GET", "/audits"),
    ("GET", "/audits/verify"),
    ("GET", "/backups"),
    ("GET", "/settings/alerts"),
    ("GET", "/settings/backups"),
    ("GET", "/settings/sessions"),
    ("GET", "/users"),
];

const MANAGERS: &[(&str, &str)] = &[
    ("DELETE", "/defenders/{id}"),
    ("DELETE", "/registrations/{id}"),
    ("GET", "/defenders/install-bundle"),
    ("POST", "/defenders/daemonset-helm.tar.gz"),
    ("POST", "/defenders/daemonset.yaml"),
    ("POST", "/defenders/docker-compose.yaml"),
    ("POST", "/defenders/openshift-helm.tar.gz"),
    ("POST", "/defenders/openshift.yaml"),
    ("POST", "/defenders/decommission"),
    ("POST", "/defenders/restart"),
    ("POST", "/defenders/{id}/restart"),
];

const LOG_READERS: &[(&str, &str)] = &[("GET", "/defenders/{id}/log"), ("GET", "/defenders/{id}/log/stream")];
