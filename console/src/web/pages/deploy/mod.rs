//! `/deploy`: the files that Consoles and Defenders are deployed with, and the commands that write the same. A
//! Console's file holds no secret and is on the page; Defenders' files hold a key, so a call of the API writes one when
//! it is asked for.
//!
//! ```text
//! mod.rs       what is chosen, and what comes of it
//! fields.rs    the fields of the form: those of the API
//! ```

mod fields;

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use manifests::HostPort;
use serde_json::Value;

use self::fields::{Choice, FIELDS, Field};
use super::{Entry, Frame, PageError, Visitor, render};
use crate::web::AppState;
use crate::web::deploy;
use crate::web::error::ApiError;
use crate::web::input::Parameters;

#[derive(Template)]
#[template(path = "deploy.html")]
struct Deploy {
    frame: Frame,
    program: &'static str,
    platforms: &'static [&'static str],
    platform: &'static str,
    /// Those that most people set, and the others.
    fields: Vec<Choice>,
    more: Vec<Choice>,
    /// What is wrong with them.
    fault: Option<String>,
    /// The lines that write the same file.
    command: String,
    /// The lines that make a Defender a service of one host.
    service: String,
    /// A Console's file.
    file: Option<String>,
    file_name: &'static str,
    /// The call of the API that writes the file, and the one that writes the chart.
    call: String,
    chart_call: Option<String>,
    chart_name: &'static str,
}

impl Deploy {
    /// Whether one of the further fields was set.
    fn has_more(&self) -> bool {
        self.more.iter().any(|field| !field.value.is_empty())
    }
}

/// `given` is what was chosen: `program`, `platform` and the fields of the form.
pub(super) async fn page(
    visitor: Visitor,
    given: Result<Parameters<BTreeMap<String, String>>, ApiError>,
    State(state): State<AppState>,
) -> Result<Response, PageError> {
    let Parameters(mut given) = given?;
    let address = given.entry("consoleAddr".to_owned()).or_default();
    if address.is_empty() {
        SERVICE.clone_into(address);
    }
    let wanted = |name: &str| given.get(name).map_or("", String::as_str);
    let program = if wanted("program") == "console" { "console" } else { "defender" };
    let platforms: &[&str] = if program == "console" { &CONSOLE_PLATFORMS } else { &DEFENDER_PLATFORMS };
    let platform = platforms.iter().find(|known| **known == wanted("platform")).unwrap_or(&"kubernetes");
    let known: Vec<&Field> = FIELDS.iter().filter(|field| field.is_for(program, platform)).collect();
    let choices = |is_basic| {
        let fields = known.iter().filter(|field| field.is_basic == is_basic);
        fields.map(|field| Choice::new(field, wanted(field.name))).collect::<Vec<_>>()
    };
    let asked = fields::body(&known, &given);
    let (file, fault) = written(program, platform, asked);
    let chart = *platform != "compose";
    let folder = if program == "console" { "console" } else { "defenders" };
    let stem = if program == "defender" && *platform == "kubernetes" { "daemonset" } else { platform };
    let stem = if chart { stem } else { "docker-compose" };
    render(&Deploy {
        frame: Frame::new(&state, visitor, Entry::Deploy, "Deploy"),
        program,
        platforms,
        platform,
        fields: choices(true),
        more: choices(false),
        fault,
        command: command(program, platform, &fields::flags(&known, &given), wanted("consoleAddr")),
        service: service(wanted("consoleAddr")),
        file,
        file_name: match (program, chart) {
            (_, false) => "docker-compose.yaml",
            ("console", _) => "twistlock_console.yaml",
            _ => "defender.yaml",
        },
        call: format!("POST /api/v1/{folder}/{stem}.yaml"),
        chart_call: chart.then(|| format!("POST /api/v1/{folder}/{stem}-helm.tar.gz")),
        chart_name: if program == "console" {
            "twistlock-console-helm.tar.gz"
        } else {
            "twistlock-defender-helm.tar.gz"
        },
    })
}

/// The file of a Console; of Defenders what is wrong with the fields.
fn written(
    program: &str,
    platform: &str,
    asked: Result<Value, ApiError>,
) -> (Option<String>, Option<String>) {
    let written = match program {
        "console" => asked.and_then(|asked| deploy::console::file(platform, asked).map(Some)),
        _ => asked.and_then(|asked| deploy::defenders::judge(platform, asked).map(|()| None)),
    };
    match written {
        Ok(file) => (file.map(|text| text.to_string()), None),
        Err(ApiError::BadRequest(fault)) => (None, Some(fault)),
        Err(_) => (None, Some("the file cannot be written; see the Console's log".to_owned())),
    }
}

/// The lines that write the same file, and use it.
fn command(program: &str, platform: &str, flags: &[String], address: &str) -> String {
    let (apply, file) = match (platform, program) {
        ("compose", _) => ("docker-compose up -d", ""),
        ("openshift", "console") => ("oc apply -f ", "twistlock_console.yaml"),
        ("openshift", _) => ("oc apply -f ", "defender.yaml"),
        (_, "console") => ("kubectl apply -f ", "twistlock_console.yaml"),
        _ => ("kubectl apply -f ", "defender.yaml"),
    };
    let mut lines = vec![format!("{program} export {platform}")];
    if program == "defender" {
        lines.extend(asking(address));
    }
    lines.extend(flags.iter().map(|flag| format!("  {flag}")));
    format!("{}\n{apply}{file}\n", lines.join(" \\\n"))
}

/// The lines that install a Defender of the host that they are run on.
fn service(address: &str) -> String {
    let console =
        address.parse::<HostPort>().map_or_else(|_| SERVICE.to_owned(), |judged| judged.authority(8084));
    let mut lines = vec![format!("garrison-defender install-service --console-address wss://{console}")];
    lines.extend(asking(address));
    format!("{}\ngarrison-defender status\n", lines.join(" \\\n"))
}

/// The flags that say which Console is asked, and by whom.
fn asking(address: &str) -> [String; 2] {
    let host =
        address.parse::<HostPort>().map_or_else(|_| SERVICE.to_owned(), |judged| judged.host().to_owned());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    [format!("  --address https://{host}:8083"), "  --user USER --password-file FILE".to_owned()]
}

const CONSOLE_PLATFORMS: [&str; 4] = ["kubernetes", "openshift", "istio", "compose"];
const DEFENDER_PLATFORMS: [&str; 3] = ["kubernetes", "openshift", "compose"];

/// A name that is in the Console's own certificates.
const SERVICE: &str = "twistlock-console";
