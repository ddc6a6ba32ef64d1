//! `docs/deploy-systemd.md` as printed, on a host that systemd runs: both services, certificates, ends and returns.
use system_tests::host::Host;
use system_tests::openssl::{KeyKind, Validity};
use system_tests::program::binary;
use system_tests::{Channel, Engine, OpensslPki, repository};

#[tokio::test(flavor = "multi_thread")]
async fn both_services_are_installed_as_documented_rotate_come_back_and_stop_in_good_order() {
    let engine = Engine::start().await;
    let host = Host::start(&engine, &["console.example.com"]).await;
    for program in ["console", "defender"] {
        host.copy(&binary(program), &format!("target/release/{program}"));
    }
    host.copy(&repository().join("deploy"), "deploy");
    let [console, defender, status] = documented();

    let said = host.run(&console);
    assert!(said.contains("Watching custom certificates directory: /var/lib/twistlock/custom-certificates"));
    host.run(&first_administrator(setup_token(&said)));

    let said = host.run(&defender);
    assert!(said.contains("# then: systemctl daemon-reload"), "{said}");
    let mode = host.run("stat -c %a /var/lib/twistlock/certificates/*");
    assert_eq!(mode, "600\n600\n600");
    assert!(host.comes(&status).await.contains("connected"));
    for service in ["garrison-console", "garrison-defender"] {
        is_confined(&host, service);
    }
    custom_certificates_are_taken(&host).await;
    a_killed_service_comes_back(&host, &status).await;
    wrong_settings_are_told_once(&host).await;

    // Stopped by the manager, both end by themselves and in time.
    let services = [("garrison-defender", "Defender stopped"), ("garrison-console", "Console stopped")];
    let pids = services.map(|(service, _)| host.run(&format!("systemctl show -P MainPID {service}")));
    host.run("systemctl stop garrison-defender garrison-console");
    for ((service, last), pid) in services.into_iter().zip(pids) {
        assert_eq!(host.run(&format!("systemctl show -P Result {service}")), "success");
        host.comes(&format!("journalctl -o cat _PID={pid} | grep '{last}'")).await;
    }
    drop(host);
    engine.stop().await;
}

/// The commands of the document's first three blocks.
fn documented() -> [String; 3] {
    let mut blocks = blocks(include_str!("../../docs/deploy-systemd.md"));
    let blocks = std::array::from_fn(|_| blocks.next().expect("three blocks"));
    let parts = ["install -m", "install-service", "status"];
    assert!(blocks.iter().zip(parts).all(|(block, part)| block.contains(part)));
    blocks
}

/// What a document has people type into a shell.
pub(crate) fn blocks(document: &str) -> impl Iterator<Item = String> {
    document.split("```sh\n").skip(1).map(|block| {
        let (commands, _) = block.split_once("```").expect("a block ends");
        commands.to_owned()
    })
}

/// The setup token in a Console's log.
pub(crate) fn setup_token(log: &str) -> &str {
    let token = log.lines().find_map(|line| line.split_once("Setup token for the first administrator: "));
    token.map(|(_, token)| token).unwrap_or_else(|| panic!("no token in {log}"))
}

/// Signs up, and leaves the files that the documents' commands name: `ca.pem` and `password`.
pub(crate) fn first_administrator(token: &str) -> String {
    let body = serde_json::json!({"username": "admin", "password": PASSWORD, "setup_token": token});
    format!(
        "cp /var/lib/twistlock/console/certificates/ca.pem ca.pem\n\
         curl --fail-with-body --silent --show-error --cacert ca.pem --json '{body}' \
         https://console.example.com:8083/api/v1/signup\n\
         echo '{PASSWORD}' > password"
    )
}

/// Root, but with no rights at all, and nothing to write to but its own.
fn is_confined(host: &Host<'_>, service: &str) {
    let status = host.run(&format!("cat /proc/$(systemctl show -P MainPID {service})/status"));
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{service}: {line} in {status}");
    }
    assert_eq!(host.run(&format!("systemctl is-enabled {service}")), "enabled");
}

/// The runbook on a host: files are dropped, both services say that they moved, nobody is restarted.
async fn custom_certificates_are_taken(host: &Host<'_>) {
    let dir = tempfile::tempdir().expect("a directory");
    let pki = OpensslPki::new();
    let pids = || host.run("systemctl show -P MainPID garrison-console garrison-defender");
    let before = pids();
    for channel in Channel::ALL {
        let set = match channel {
            Channel::Defender => pki.client(),
            _ => pki.leaf_with(KeyKind::Ec, Validity::Now, SERVER),
        };
        for (name, content) in channel.files(&set) {
            system_tests::place::write(&dir.path().join(name), &content);
        }
    }
    host.copy(&dir.path().join("."), "custom");
    host.run("install -m 600 custom/*.pem /var/lib/twistlock/custom-certificates/");
    for channel in Channel::ALL {
        let service = if channel == Channel::Defender { "garrison-defender" } else { "garrison-console" };
        host.comes(&format!("journalctl -u {service} -o cat | grep '{}'", channel.rotated_text())).await;
    }
    assert_eq!(pids(), before);
}

async fn a_killed_service_comes_back(host: &Host<'_>, status: &str) {
    for service in ["garrison-console", "garrison-defender"] {
        host.comes(status).await;
        host.run(&format!("systemctl kill --signal=SIGKILL {service}"));
        host.comes(&format!("test $(systemctl show -P NRestarts {service}) = 1")).await;
        host.comes(&format!("systemctl is-active {service}")).await;
    }
    host.comes(status).await;
}

/// Settings do not mend themselves: the manager says that the service did not start, and does not try again.
async fn wrong_settings_are_told_once(host: &Host<'_>) {
    let file = "/etc/default/garrison-defender";
    let output =
        host.tried(&format!("echo WS_ADDRESS=nonsense > {file}; systemctl restart garrison-defender"));
    assert!(!output.status.success(), "{output:?}");
    for (property, value) in [("Result", "exit-code"), ("ExecMainStatus", "2"), ("NRestarts", "0")] {
        assert_eq!(host.run(&format!("systemctl show -P {property} garrison-defender")), value, "{property}");
    }
    host.run(&format!("rm {file}; systemctl restart garrison-defender"));
}

const SERVER: &str = "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:console.example.com,DNS:localhost\n";
pub(crate) const PASSWORD: &str = "correct horse battery staple 42";
