//! Compose files, valid for Compose v2 and for docker-compose 1.29.
//!
//! ```text
//! mod.rs        what both programs' services have
//! console.rs    a Console, or with a Defender beside it a Onebox
//! defender.rs   a Defender
//! ```

mod console;
mod defender;

use std::collections::BTreeMap;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::certs;
use crate::fault::Judge;
use crate::flags::ComposeFlags;
use crate::meta::VERSION;
use crate::values::path;
use crate::values::pods::{image, registry};
use crate::yaml::{Documents, YamlError};

pub use console::ConsoleCompose;
pub use defender::DefenderCompose;

/// A file.
#[derive(Debug, Serialize)]
struct File {
    services: BTreeMap<&'static str, Service>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<&'static str, Volume>,
}

/// A volume of the engine's.
#[derive(Debug, Default, Serialize)]
struct Volume {}

#[derive(Debug, Serialize)]
struct Service {
    cap_drop: [&'static str; 1],
    command: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    depends_on: BTreeMap<&'static str, Dependency>,
    environment: BTreeMap<&'static str, String>,
    healthcheck: Healthcheck,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'static str>,
    image: String,
    mem_limit: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    read_only: bool,
    restart: &'static str,
    security_opt: [&'static str; 1],
    stop_grace_period: &'static str,
    tmpfs: [&'static str; 1],
    volumes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Dependency {
    condition: &'static str,
}

#[derive(Debug, Serialize)]
struct Healthcheck {
    interval: &'static str,
    retries: u8,
    start_period: &'static str,
    test: Vec<&'static str>,
    timeout: &'static str,
}

/// A judged file.
#[derive(Debug)]
struct Compose {
    image: Option<String>,
    registry: Option<String>,
    custom_certs: String,
}

impl Compose {
    fn parse(flags: &ComposeFlags, judge: &mut Judge) -> Self {
        let image = judge.text("--image", flags.image.as_deref(), image);
        let registry = judge.text("--registry", flags.registry.as_deref(), registry);
        let dir = judge.text("--custom-certs-host-path", flags.custom_certs_host_path.as_deref(), path);
        if image.is_some() && registry.is_some() {
            judge.note("--registry", "--image names the registry already; give one of the two");
        }
        Self { image, registry, custom_certs: dir.unwrap_or_else(|| certs::DIR.to_owned()) }
    }

    /// The image of the file's own program.
    fn image(&self, program: &str) -> String {
        self.image.clone().unwrap_or_else(|| self.default_image(program))
    }

    fn default_image(&self, program: &str) -> String {
        let own = format!("garrison/{program}:{VERSION}");
        self.registry.as_ref().map_or(own.clone(), |registry| format!("{registry}/{own}"))
    }

    /// The watched directory, read only.
    fn custom_certs(&self) -> String {
        format!("{}:{}:ro", escaped(&self.custom_certs), certs::DIR)
    }
}

impl Service {
    /// Nothing to write to but volumes, no rights, started again when it ends.
    fn new(image: String, command: Vec<String>, test: [&'static str; 3], memory: &'static str) -> Self {
        Self {
            cap_drop: ["ALL"],
            command,
            depends_on: BTreeMap::new(),
            environment: BTreeMap::new(),
            healthcheck: Healthcheck {
                interval: "10s",
                retries: 3,
                start_period: "60s",
                test: test.to_vec(),
                timeout: "5s",
            },
            hostname: None,
            image,
            mem_limit: memory,
            ports: Vec::new(),
            read_only: true,
            restart: "unless-stopped",
            security_opt: ["no-new-privileges:true"],
            stop_grace_period: "30s",
            tmpfs: ["/tmp"],
            volumes: Vec::new(),
        }
    }
}

impl File {
    fn write(&self, head: &str) -> Result<Zeroizing<String>, YamlError> {
        let mut documents = Documents::default();
        documents.push(self)?;
        documents.write(head)
    }
}

/// A text that compose does not take for a reference to a variable.
fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
mod tests;
