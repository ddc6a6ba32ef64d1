//! A Console by compose; with a Defender of the same host beside it, a Onebox.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Compose, Dependency, File, Service, Volume, defender, escaped};
use crate::fault::{Faults, Judge};
use crate::flags::ConsoleComposeFlags;
use crate::values::{PublicUrl, San};
use crate::yaml::YamlError;

/// A Console by compose. Only [`ConsoleCompose::parse`] makes one.
#[derive(Debug)]
pub struct ConsoleCompose {
    compose: Compose,
    has_defender: bool,
    public_url: Option<String>,
    names: Vec<String>,
}

impl ConsoleCompose {
    /// Judges what was asked for.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn parse(flags: &ConsoleComposeFlags) -> Result<Self, Faults> {
        let mut judge = Judge::default();
        for field in flags.rest.keys() {
            judge.note(field, "there is no such field");
        }
        let url = judge.text("--public-url", flags.public_url.as_deref(), str::parse::<PublicUrl>);
        let names = judge.texts("--san", &flags.san, str::parse::<San>);
        let host = url.as_ref().map(|url| url.host().to_owned());
        let names = names.iter().map(San::to_string).chain(host).collect();
        let compose = Compose::parse(&flags.compose, &mut judge);
        judge.end(Self {
            compose,
            has_defender: flags.onebox,
            public_url: url.map(|url| url.as_str().to_owned()),
            names,
        })
    }

    /// The file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self) -> Result<Zeroizing<String>, YamlError> {
        let mut services = BTreeMap::from([(CONSOLE, self.console())]);
        let mut volumes = BTreeMap::from([("console-data", Volume {})]);
        if self.has_defender {
            let address = format!("wss://{CONSOLE}:8084");
            let mut beside =
                defender::service(&self.compose, self.compose.default_image("defender"), &address);
            beside.depends_on.insert(CONSOLE, Dependency { condition: "service_healthy" });
            // Compose puts the variable of the one who starts it in here.
            beside.environment.insert("DEFENDER_HOSTNAME", "${DEFENDER_HOSTNAME:-onebox}".to_owned());
            beside.volumes.push(format!("{BUNDLE}:{BUNDLE_DIR}:ro"));
            services.insert("twistlock-defender", beside);
            volumes.extend([(BUNDLE, Volume {}), ("defender-data", Volume {})]);
        }
        File { services, volumes }.write(if self.has_defender { ONEBOX } else { HEAD })
    }

    fn console(&self) -> Service {
        let mut command = vec!["serve".to_owned()];
        if self.has_defender {
            command.push(format!("--install-bundle-dir={BUNDLE_DIR}"));
        }
        let image = self.compose.image("console");
        let mut console = Service::new(image, command, ["CMD", "console", "healthcheck"], "1g");
        // It stands in the certificates: a name that changes would have them issued anew.
        console.hostname = Some(CONSOLE);
        console.ports = vec!["8083:8083".to_owned(), "8084:8084".to_owned()];
        console.volumes =
            vec!["console-data:/var/lib/twistlock/console".to_owned(), self.compose.custom_certs()];
        if self.has_defender {
            console.volumes.push(format!("{BUNDLE}:{BUNDLE_DIR}"));
        }
        if !self.names.is_empty() {
            console.environment.insert("CONSOLE_SANS", self.names.join(","));
        }
        if let Some(url) = &self.public_url {
            console.environment.insert("CONSOLE_PUBLIC_URL", escaped(url));
        }
        console
    }
}

/// A name that is in the Console's own certificates from the start.
const CONSOLE: &str = "twistlock-console";
const BUNDLE: &str = "install-bundle";
const BUNDLE_DIR: &str = "/var/lib/twistlock/certificates";

const HEAD: &str = "A Garrison Console, written by `console export compose`.
Start with `docker-compose up -d`, then see `docker-compose logs twistlock-console` and https://localhost:8083.";
const ONEBOX: &str = "A Garrison Console and a Defender on one host, written by `console export compose --onebox`.
Start with `docker-compose up -d`, then see `docker-compose logs twistlock-console` and https://localhost:8083.";
