//! The Onebox for real: the images of `cargo xtask images` and the compose file as exported, on a Docker Engine.
//! Certificates are rotated through the mounted directory, the Console is killed, the Defender is cut off.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, chown};
use reqwest::Method;
use serde_json::{Value, json};
use system_tests::engine::{done, shows, tried};
use system_tests::openssl::{KeyKind, Validity};
use system_tests::place::Files;
use system_tests::program::binary;
use system_tests::tls::leaf_sha256;
use system_tests::{Api, Channel, Engine, OpensslPki, PemSet, Program, SOON, Wire, eventually};
use tempfile::TempDir;
use uuid::Uuid;

use crate::stage::{assert_never_disconnected, only_defender, served};

#[tokio::test(flavor = "multi_thread")]
async fn a_onebox_runs_from_an_empty_engine_rotates_is_killed_and_cut_off_and_loses_no_report() {
    let engine = Engine::start().await;
    load_images(&engine);
    let mut onebox = Onebox::up(&engine).await;
    let api = onebox.first_administrator().await;
    let id = only_defender(&api).await["id"].as_str().expect("an id").to_owned();
    onebox.is_confined();

    let pki = OpensslPki::new();
    onebox.all_channels_are_reset(&pki, &api, &id).await;
    onebox.one_channel_after_the_other(&pki, &api).await;
    let api = onebox.the_console_is_killed(&pki, &id).await;
    onebox.the_defender_is_cut_off(&pki, &api, &id).await;
    onebox.every_report_is_stored(&pki, &id).await;

    onebox.down();
    drop(onebox);
    engine.stop().await;
}

/// Packs what was built, within the limit of size, and hands it over.
fn load_images(engine: &Engine) {
    done(std::process::Command::new(binary("xtask")).args(["images", "--no-build"]));
    for program in ["console", "defender"] {
        let release = binary(program);
        let archive = release.with_file_name("../images").join(format!("{program}.tar"));
        let archive = archive.to_string_lossy();
        let said = done(&mut engine.docker(&["load", "--input", &archive]));
        assert_eq!(said, format!("Loaded image: garrison/{program}:0.1.0"));
    }
}

/// The two containers and what is beside them. What is left is removed with it.
struct Onebox<'a> {
    engine: &'a Engine,
    dir: TempDir,
    project: String,
    console: Program,
    defender: Program,
}

impl<'a> Onebox<'a> {
    /// `docker-compose up -d`, until both are healthy.
    async fn up(engine: &'a Engine) -> Self {
        let dir = tempfile::Builder::new().prefix("garrison-onebox-").tempdir().expect("a directory");
        let project = format!("garrison-{}", &Uuid::new_v4().to_string()[..8]);
        write_files(dir.path());
        compose(engine, dir.path(), &project, &["config", "--quiet"]);
        compose(engine, dir.path(), &project, &["up", "-d"]);
        let log = |service: &str| follow(engine, &project, service);
        let (console, defender) = (log(CONSOLE), log(DEFENDER));
        let onebox = Self { engine, dir, project, console, defender };
        for service in [CONSOLE, DEFENDER] {
            let health = onebox.inspect(service, "{{.State.Health.Status}}");
            shows(&format!("{service} is healthy"), HEALTHY, health, "healthy").await;
        }
        onebox
    }

    /// As the log and the sign-up of the documentation have it.
    async fn first_administrator(&self) -> Api {
        for (name, log) in [("Console", &self.console), ("Defender", &self.defender)] {
            let line = log.line("Watching custom certificates directory: ").await;
            assert!(line.ends_with(": /var/lib/twistlock/custom-certificates"), "{name}: {line}");
        }
        let line = self.console.line("Setup token for the first administrator: ").await;
        let token = line.rsplit(' ').next().expect("a token");
        let body = json!({"username": USER, "password": PASSWORD, "setup_token": token});
        let answer = Api::anonymous(self.port(8083)).call(Method::POST, "signup", Some(body)).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        self.sign_in().await
    }

    async fn sign_in(&self) -> Api {
        Api::sign_in(self.port(8083), USER, PASSWORD).await
    }

    /// No rights, no root, nothing to write to but the volumes, and no more memory than said.
    fn is_confined(&self) {
        for (service, memory) in [(CONSOLE, 1 << 30), (DEFENDER, 256 << 20)] {
            let pid = done(&mut self.inspect(service, "{{.State.Pid}}"));
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
            for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
                assert!(status.contains(line), "{service}: {line} in {status}");
            }
            assert!(status.contains("Uid:\t2674\t2674"), "{service}: {status}");
            let config = done(&mut self.inspect(service, "{{json .HostConfig}} {{json .Mounts}}"));
            for part in ["\"ReadonlyRootfs\":true".to_owned(), format!("\"Memory\":{memory}")] {
                assert!(config.contains(&part), "{service}: {part} in {config}");
            }
            let custom =
                "\"Destination\":\"/var/lib/twistlock/custom-certificates\",\"Mode\":\"ro\",\"RW\":false";
            assert!(config.contains(custom), "{service}: {config}");
        }
    }

    /// The runbook: copy certificates, see both reset.
    async fn all_channels_are_reset(&self, pki: &OpensslPki, api: &Api, id: &str) {
        let sets = [
            (Channel::Https, server(pki)),
            (Channel::WebSocket, server(pki)),
            (Channel::Defender, pki.client()),
        ];
        for (channel, set) in &sets {
            self.copy(&channel.files(set));
        }
        for (channel, _) in &sets {
            self.log(*channel).line(channel.rotated_text()).await;
        }
        let [(_, https), (_, websocket), (_, client)] = &sets;
        assert_eq!(served(self.port(8083)).await, leaf_sha256(&https.cert));
        assert_eq!(served(self.port(8084)).await, leaf_sha256(&websocket.cert));
        let own = leaf_sha256(&client.cert);
        let shows_it =
            |shown: &Value| shown["connected"] == true && shown["certificate"]["sha256"] == own.as_str();
        let shown = api.defender(id, "is connected with its custom certificate", shows_it).await;
        assert_eq!(shown["certificate"]["source"], "custom");
    }

    /// New leaves of the same authority: nobody is disconnected, no other channel is touched.
    async fn one_channel_after_the_other(&self, pki: &OpensslPki, api: &Api) {
        let events = api.events().await;
        for channel in [Channel::WebSocket, Channel::Defender] {
            let mark = self.log(channel).mark();
            let set = if channel == Channel::Defender { pki.client() } else { server(pki) };
            self.copy(&channel.files(&set));
            self.log(channel).line_after(mark, channel.rotated_text()).await;
        }
        only_defender(api).await;
        assert_never_disconnected(&events);
    }

    /// Killed from outside while reports are on their way, the Console is started again by the engine.
    async fn the_console_is_killed(&mut self, pki: &OpensslPki, id: &str) -> Api {
        let identity = pki.client().into();
        let by_hand = Uuid::new_v4();
        let (mut wire, _) = Wire::join(self.port(8084), &identity, by_hand).await.expect("welcome");
        for seq in 1..=REPORTS {
            wire.report(seq, "test", json!({"seq": seq})).await;
        }
        wire.acked(1).await.expect("the first of them");
        let pid: i32 = done(&mut self.inspect(CONSOLE, "{{.State.Pid}}")).parse().expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
        let mut acked = 1;
        while let Ok(message) = wire.message().await {
            acked = message["seq"].as_u64().filter(|_| message["type"] == "ack").unwrap_or(acked);
        }
        self.console.exit(SOON).await;
        shows("one restart", SOON, self.inspect(CONSOLE, "{{.RestartCount}} {{.State.Running}}"), "1 true")
            .await;
        self.console = follow(self.engine, &self.project, CONSOLE);
        shows("it is healthy", HEALTHY, self.inspect(CONSOLE, "{{.State.Health.Status}}"), "healthy").await;

        let (mut wire, welcome) = Wire::join(self.port(8084), &identity, by_hand).await.expect("welcome");
        let stored = welcome["last_seq"].as_u64().expect("a number");
        assert!(stored >= acked && stored <= REPORTS, "acknowledged {acked}, stored {stored}");
        // All again: what is there already is acknowledged and dropped.
        for seq in 1..=REPORTS {
            wire.report(seq, "test", json!({"seq": seq})).await;
        }
        wire.acked(REPORTS).await.expect("all of them");
        wire.close().await;
        let api = self.sign_in().await;
        self.decommission(&api, by_hand).await;
        self.back(&api, id).await;
        api
    }

    /// Cut off from the network, the Defender keeps what it has to say until it is back.
    async fn the_defender_is_cut_off(&self, pki: &OpensslPki, api: &Api, id: &str) {
        let (network, container) = (format!("{}_default", self.project), self.container(DEFENDER));
        let before = last_report(&self.defender);
        done(&mut self.engine.docker(&["network", "disconnect", &network, &container]));
        let gone = eventually("the Console misses it", BACK, async || {
            let shown = api.get(&format!("defenders/{id}")).await;
            if shown["connected"] == false { Ok(shown) } else { Err(shown) }
        })
        .await;
        assert_eq!(gone["id"], id);
        for is_good in [false, true, false, true] {
            let mut set = pki.client();
            if !is_good {
                set.key = pki.client().key;
            }
            let mark = self.defender.mark();
            self.copy(&Channel::Defender.files(&set));
            self.defender.line_after(mark, "The facts of the host are to be reported").await;
        }
        assert!(last_report(&self.defender) >= before + 4, "{:#?}", self.defender.lines());
        done(&mut self.engine.docker(&["network", "connect", &network, &container]));
        self.back(api, id).await;
    }

    /// The Defender's reports are all in the store: its numbers rise by one, and the Console has the last one.
    async fn every_report_is_stored(&self, pki: &OpensslPki, id: &str) {
        let numbers = reports(&self.defender);
        let expected: Vec<u64> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "numbered one by one over the life of the identity");
        let identity = pki.client().into();
        let id = id.parse().expect("a UUID");
        self.compose(&["stop", DEFENDER]);
        let code = done(&mut self.inspect(DEFENDER, "{{.State.ExitCode}}"));
        assert_eq!(code, "0", "{:#?}", self.defender.lines());
        let (wire, welcome) = Wire::join(self.port(8084), &identity, id).await.expect("welcome");
        wire.close().await;
        assert_eq!(welcome["last_seq"].as_u64(), numbers.last().copied());
    }

    /// The Defender is connected, once.
    async fn back(&self, api: &Api, id: &str) {
        let shown = eventually("the Defender is back", BACK, async || {
            let all = api.get("defenders?connected=true").await;
            if all[0]["id"] == id { Ok(all) } else { Err(all) }
        })
        .await;
        assert_eq!(shown.as_array().map(Vec::len), Some(1), "{shown}");
    }

    async fn decommission(&self, api: &Api, id: Uuid) {
        let answer = api.call(Method::DELETE, &format!("defenders/{id}"), None).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }

    /// As the documentation has it: a group that may read, the user of the images.
    fn copy(&self, files: &Files) {
        for (name, content) in files {
            let (beside, place) = (self.dir.path().join(name), self.dir.path().join("custom").join(name));
            system_tests::place::write(&beside, content);
            chown(&beside, None, Some(Gid::from_raw(2674))).expect("as root");
            done(std::process::Command::new("chmod").arg("640").arg(&beside));
            std::fs::rename(&beside, &place).expect("renamed");
        }
    }

    fn log(&self, channel: Channel) -> &Program {
        if channel == Channel::Defender { &self.defender } else { &self.console }
    }

    fn container(&self, service: &str) -> String {
        container(self.engine, &self.project, service)
    }

    fn inspect(&self, service: &str, format: &str) -> std::process::Command {
        self.engine.docker(&["inspect", "--format", format, &self.container(service)])
    }

    /// The port of this host; it may be another one after a restart.
    fn port(&self, inside: u16) -> u16 {
        let address = done(&mut self.engine.docker(&["port", &self.container(CONSOLE), &inside.to_string()]));
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.unwrap_or_else(|| panic!("no port in {address}"))
    }

    fn compose(&self, arguments: &[&str]) -> String {
        compose(self.engine, self.dir.path(), &self.project, arguments)
    }

    /// Ends in good order; nothing is left.
    fn down(&self) {
        self.compose(&["down", "--volumes", "--timeout", "20"]);
        let filter = format!("label=com.docker.compose.project={}", self.project);
        for kind in [&["ps", "--all"][..], &["volume", "ls"], &["network", "ls"]] {
            let left = done(self.engine.docker(kind).args(["--quiet", "--filter", &filter]));
            assert_eq!(left, "", "{kind:?}");
        }
    }
}

impl Drop for Onebox<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut down = self.engine.client("docker-compose", &["down", "--volumes", "--timeout", "5"]);
            let _ = tried(down.current_dir(self.dir.path()).env("COMPOSE_PROJECT_NAME", &self.project));
        }
    }
}

/// The file as exported, but for the directory and the ports of this host: other tests run beside this one. Beside
/// it what people put into an override.
fn write_files(dir: &Path) {
    let custom = dir.join("custom");
    std::fs::create_dir(&custom).expect("a directory");
    let file = dir.join("docker-compose.yaml");
    done(
        std::process::Command::new(binary("console"))
            .args(["export", "compose", "--onebox", "--custom-certs-host-path"])
            .arg(&custom)
            .arg("--output")
            .arg(&file),
    );
    let mut text = std::fs::read_to_string(&file).expect("written");
    for port in ["8083", "8084"] {
        let (printed, free) = (format!("- {port}:{port}\n"), format!("- 127.0.0.1::{port}\n"));
        assert!(text.contains(&printed), "{text}");
        text = text.replace(&printed, &free);
    }
    std::fs::write(&file, text).expect("writing");
    let sooner = "services: {twistlock-console: {environment: {CONSOLE_HEARTBEAT: 3s}}}\n";
    std::fs::write(dir.join("docker-compose.override.yaml"), sooner).expect("writing");
}

fn compose(engine: &Engine, dir: &Path, project: &str, arguments: &[&str]) -> String {
    done(engine.client("docker-compose", arguments).current_dir(dir).env("COMPOSE_PROJECT_NAME", project))
}

fn container(engine: &Engine, project: &str, service: &str) -> String {
    let filter = |label: &str, value: &str| format!("label=com.docker.compose.{label}={value}");
    let (project, service) = (filter("project", project), filter("service", service));
    done(&mut engine.docker(&["ps", "--all", "--quiet", "--filter", &project, "--filter", &service]))
}

/// The log of a container from its beginning, as long as it runs.
fn follow(engine: &Engine, project: &str, service: &str) -> Program {
    Program::start(service, engine.docker(&["logs", "--follow", &container(engine, project, service)]))
}

/// A leaf for the name that the Defender dials.
fn server(pki: &OpensslPki) -> PemSet {
    let names = "subjectAltName=DNS:twistlock-console,DNS:localhost,IP:127.0.0.1";
    pki.leaf_with(KeyKind::Ec, Validity::Now, &format!("extendedKeyUsage=serverAuth\n{names}\n"))
}

/// The numbers of the reports that a Defender has logged.
fn reports(log: &Program) -> Vec<u64> {
    let lines = log.lines();
    let made = lines.iter().filter(|line| line.contains("The facts of the host are to be reported"));
    made.filter_map(|line| line.rsplit_once("seq=").and_then(|(_, number)| number.parse().ok())).collect()
}

fn last_report(log: &Program) -> u64 {
    reports(log).last().copied().unwrap_or(0)
}

const CONSOLE: &str = "twistlock-console";
const DEFENDER: &str = "twistlock-defender";
const USER: &str = "admin";
const PASSWORD: &str = "correct horse battery staple 42";
const REPORTS: u64 = 300;
/// The engine looks every ten seconds.
const HEALTHY: Duration = Duration::from_secs(60);
/// Attempts are up to a minute apart.
const BACK: Duration = Duration::from_secs(90);
