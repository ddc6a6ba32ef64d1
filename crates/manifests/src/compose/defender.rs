//! A Defender by compose. Its install bundle is a variable: arguments are visible to others.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Compose, File, Service, Volume, escaped};
use crate::fault::{Faults, Judge};
use crate::flags::DefenderComposeFlags;
use crate::values::HostPort;
use crate::values::address::host;
use crate::yaml::YamlError;

/// A Defender by compose. Only [`DefenderCompose::parse`] makes one.
#[derive(Debug)]
pub struct DefenderCompose {
    compose: Compose,
    address: HostPort,
    server_name: Option<String>,
    hostname: Option<String>,
    has_custom_certs: bool,
}

impl DefenderCompose {
    /// Judges what was asked for.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn parse(flags: &DefenderComposeFlags) -> Result<Self, Faults> {
        let mut judge = Judge::default();
        for field in flags.rest.keys() {
            judge.note(field, "there is no such field");
        }
        let form = "write HOST or HOST:PORT, where the Defender reaches the Console";
        let address =
            judge.required("--cluster-address", flags.cluster_address.as_deref(), form, |text| text.parse());
        let server_name = judge.text("--console-server-name", flags.console_server_name.as_deref(), |text| {
            host(text)
                .ok_or_else(|| format!("{text:?} is no name or address; write a DNS name or an IP address"))
        });
        let hostname = judge.text("--hostname", flags.hostname.as_deref(), |text| {
            let fits = text.len() <= 253 && !text.contains(|c: char| c.is_control() || c.is_whitespace());
            if fits {
                Ok(text.to_owned())
            } else {
                Err(format!("{text:?} is no name; write 1 to 253 characters without spaces"))
            }
        });
        let compose = Compose::parse(&flags.compose, &mut judge);
        let Some(address) = address else { return Err(judge.faults()) };
        let has_custom_certs = flags.compose.custom_certs_host_path.is_some();
        judge.end(Self { compose, address, server_name, hostname, has_custom_certs })
    }

    /// Whether the Defender was given a directory of its own certificates, so that it needs no install bundle.
    #[must_use]
    pub fn has_custom_certs(&self) -> bool {
        self.has_custom_certs
    }

    /// What the Defender dials; `port` where none was asked for.
    #[must_use]
    pub fn ws_address(&self, port: u16) -> String {
        format!("wss://{}", self.address.authority(port))
    }

    /// The file; `bundle` is the one string of the API.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, port: u16, bundle: Option<&str>) -> Result<Zeroizing<String>, YamlError> {
        let mut service = service(&self.compose, self.compose.image("defender"), &self.ws_address(port));
        let variables = &mut service.environment;
        variables.extend(bundle.map(|bundle| ("INSTALL_BUNDLE", bundle.to_owned())));
        variables.extend(self.server_name.clone().map(|name| ("DEFENDER_CONSOLE_SERVER_NAME", name)));
        variables.extend(self.hostname.as_deref().map(|name| ("DEFENDER_HOSTNAME", escaped(name))));
        let services = BTreeMap::from([("twistlock-defender", service)]);
        let volumes = BTreeMap::from([("defender-data", Volume {})]);
        File { services, volumes }.write(HEAD)
    }
}

pub(super) fn service(compose: &Compose, image: String, address: &str) -> Service {
    let mut service = Service::new(image, vec!["run".to_owned()], ["CMD", "defender", "status"], "256m");
    service.environment.insert("WS_ADDRESS", address.to_owned());
    service.volumes = vec![
        "defender-data:/var/lib/twistlock/defender".to_owned(),
        compose.custom_certs(),
        "/etc/os-release:/etc/os-release:ro".to_owned(),
    ];
    service
}

const HEAD: &str = "A Garrison Defender, written by `defender export compose`.
Start with `docker-compose up -d`. INSTALL_BUNDLE holds a private key: keep this file closed.";
