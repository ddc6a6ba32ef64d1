//! `/deploy`: the one command for a platform, with the Console's name filled in. The command asks the API for the file,
//! which holds a key: the page itself issues nothing.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use manifests::HostPort;
use serde::Deserialize;

use super::{Entry, Frame, PageError, Visitor, render};
use crate::web::AppState;
use crate::web::error::ApiError;
use crate::web::input::Parameters;

/// What was chosen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    platform: Option<String>,
    /// `HOST[:PORT]` by which Defenders reach the Console.
    address: Option<String>,
}

#[derive(Template)]
#[template(path = "deploy.html")]
struct Deploy {
    frame: Frame,
    platforms: [&'static str; 3],
    platform: &'static str,
    address: String,
    /// What is wrong with the address.
    fault: Option<String>,
    defenders: String,
    console: String,
}

pub(super) async fn page(
    visitor: Visitor,
    shown: Result<Parameters<Shown>, ApiError>,
    State(state): State<AppState>,
) -> Result<Response, PageError> {
    let Parameters(shown) = shown?;
    let wanted = shown.platform.unwrap_or_default();
    let platform = PLATFORMS.into_iter().find(|known| *known == wanted).unwrap_or("kubernetes");
    let address = shown.address.filter(|text| !text.is_empty()).unwrap_or_else(|| SERVICE.to_owned());
    let judged = address.parse::<HostPort>();
    let (host, named) = match &judged {
        Ok(judged) => (judged.host().to_owned(), judged.to_string()),
        Err(_) => (SERVICE.to_owned(), SERVICE.to_owned()),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let (apply, file) = match platform {
        "compose" => ("docker-compose up -d", ""),
        "openshift" => ("oc apply -f ", "defender.yaml"),
        _ => ("kubectl apply -f ", "defender.yaml"),
    };
    let more = if platform == "compose" { "" } else { "twistlock_console.yaml" };
    let defenders = format!(
        "defender export {platform} --address https://{host}:8083 \\\n  --cluster-address {named} \\\n  \
         --user USER --password-file FILE\n{apply}{file}\n"
    );
    let console = format!("console export {platform}\n{apply}{more}\n");
    render(&Deploy {
        frame: Frame::new(&state, visitor, Entry::Deploy, "Deploy"),
        platforms: PLATFORMS,
        platform,
        address,
        fault: judged.err(),
        defenders,
        console,
    })
}

const PLATFORMS: [&str; 3] = ["kubernetes", "openshift", "compose"];

/// A name that is in the Console's own certificates.
const SERVICE: &str = "twistlock-console";
