//! The commands of the documents of deployment as printed, on a host of their own, up to where a cluster is needed.

use system_tests::host::Host;
use system_tests::program::binary;
use system_tests::{Engine, repository};

use crate::services::{PASSWORD, blocks, first_administrator, setup_token};

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_documents_runs_as_printed_up_to_where_a_cluster_is_needed() {
    let engine = Engine::start().await;
    let host = Host::start(&engine, &["console.example.com"]).await;
    begin(&host).await;
    let documents = [
        include_str!("../../docs/deploy-kubernetes.md"),
        include_str!("../../docs/deploy-openshift.md"),
        include_str!("../../docs/istio.md"),
    ];
    let mut run = 0;
    for block in documents.into_iter().flat_map(blocks) {
        for command in block.replace("\\\n", "").lines() {
            host.run(&as_far_as_possible(command));
            run += 1;
        }
    }
    assert!(run > 15, "{run} commands");
    drop(host);
    engine.stop().await;
}

/// Programs, a Console with its first administrator, and a route to it on port 443 that hands TLS on.
async fn begin(host: &Host<'_>) {
    for program in ["console", "defender"] {
        host.copy(&binary(program), program);
    }
    for tool in ["helm", "kubectl"] {
        host.copy(&repository().join("target/kubernetes").join(tool), tool);
    }
    host.copy(&repository().join("deploy"), "deploy");
    host.run("install -m 755 console defender helm kubectl /usr/local/bin/");
    host.run("systemd-run --unit=console console serve --san console.example.com,defenders.example.com");
    let log = host.comes("journalctl -u console -o cat | grep -B9 'Console is ready'").await;
    host.run(&first_administrator(setup_token(&log)));
    host.run("cp ca.pem /usr/local/share/ca-certificates/console.crt && update-ca-certificates");
    host.run(
        "systemd-run --unit=route systemd-socket-activate -l 443 \
         /lib/systemd/systemd-socket-proxyd 127.0.0.1:8083",
    );
}

/// What needs a cluster or a person is done as far as it goes without.
fn as_far_as_possible(command: &str) -> String {
    let words = command.split_whitespace().collect::<Vec<_>>();
    match words.as_slice() {
        ["kubectl" | "oc", "apply", "-f", file] => format!("test -s {file}"),
        ["kubectl" | "oc", "get" | "logs", ..] => "true".to_owned(),
        ["helm", "install", release, chart, "--namespace", namespace, "--create-namespace"] => {
            format!("helm template {release} {chart} --namespace {namespace}")
        }
        ["deploy/twistcli", ..] => format!("TWISTLOCK_PASSWORD='{PASSWORD}' {command}"),
        _ => command.to_owned(),
    }
}
