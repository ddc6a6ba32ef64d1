//! Any combination of good flags gives files that are valid, consistent and always the same. Judged by
//! `../shared/tools/validate-manifests` beside the checkout, against strict schemas of each kind.

use std::path::{Path, PathBuf};
use std::process::Command;

use manifests::flags::{CertsFlags, ConsoleFlags, DefenderFlags, IstioFlags, OpenshiftFlags, WorkloadFlags};
use manifests::{Bundle, Console, Defender, Istio, Openshift};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Each case starts an interpreter: few at a time, other ones each time.
const CASES: u32 = 8;

#[test]
fn every_combination_of_flags_gives_a_valid_console() {
    let Some(tool) = tool() else { return };
    let flags = (workload(), certs(), any::<[bool; 8]>(), 0..4_u8);
    run(flags, |(workload, certs, [a, b, c, d, e, f, g, h], platform)| {
        let flags = ConsoleFlags {
            workload,
            certs,
            no_namespace_object: a,
            disruption_budget: b,
            service_type: c.then(|| "LoadBalancer".to_owned()),
            service_annotation: if d { vec!["example.com/a=yes".to_owned()] } else { Vec::new() },
            http_port: e.then_some(8081),
            public_url: f.then(|| "https://console.example.com".to_owned()),
            storage_class: g.then(|| "fast".to_owned()),
            admin_password_secret: h.then(|| "first-user".to_owned()),
            database_secret: a.then(|| "database".to_owned()),
            ..ConsoleFlags::default()
        };
        judge(&tool, || match platform {
            0 => Console::parse(&flags).expect("good").kubernetes().expect("YAML").to_string(),
            1 => {
                let route_host = c.then(|| "console.example.com".to_owned());
                let flags =
                    OpenshiftFlags { route_host, console: flags.clone(), ..OpenshiftFlags::default() };
                Openshift::parse(&flags).expect("good").write().expect("YAML").to_string()
            }
            _ => {
                let flags = IstioFlags {
                    host: vec!["console.example.com".to_owned(), "*.example.org".to_owned()],
                    https: c.then(|| "passthrough".to_owned()),
                    gateway_api: platform == 2,
                    istio_api_version: d.then(|| "v1alpha3".to_owned()),
                    defender_port: e.then_some(18084),
                    feed_host: if f { vec!["feeds.example.com".to_owned()] } else { Vec::new() },
                    no_sidecar: g,
                    console: flags.clone(),
                    ..IstioFlags::default()
                };
                Istio::parse(&flags).expect("good").write().expect("YAML").to_string()
            }
        });
    });
}

#[test]
fn every_combination_of_flags_gives_valid_defenders() {
    let Some(tool) = tool() else { return };
    let bundle = bundle();
    run((workload(), certs(), any::<[bool; 5]>()), |(workload, certs, [a, b, c, d, e])| {
        let flags = DefenderFlags {
            cluster_address: Some("console.example.com".to_owned()),
            console_server_name: a.then(|| "twistlock-console".to_owned()),
            cluster: b.then(|| "no".to_owned()),
            no_control_plane: c,
            host_network: d,
            workload,
            certs,
            ..DefenderFlags::default()
        };
        let defender = Defender::parse(&flags).expect("good");
        judge(&tool, || defender.kubernetes(8084, e.then_some(&bundle)).expect("YAML").to_string());
        judge(&tool, || defender.openshift(8084, e.then_some(&bundle)).expect("YAML").to_string());
    });
}

fn run<S: Strategy>(strategy: S, check: impl Fn(S::Value)) {
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 8, ..Config::default() };
    TestRunner::new(config)
        .run(&strategy, |value| {
            check(value);
            Ok(())
        })
        .expect("valid");
}

/// Strings that a YAML 1.1 reader takes for something else are among the values.
fn workload() -> impl Strategy<Value = WorkloadFlags> {
    any::<[bool; 9]>().prop_map(|[a, b, c, d, e, f, g, h, i]| {
        let text = |is: bool, text: &str| is.then(|| text.to_owned());
        let list = |is: bool, texts: &[&str]| -> Vec<String> {
            texts.iter().filter(|_| is).map(|text| (*text).to_owned()).collect()
        };
        WorkloadFlags {
            namespace: text(a, "security"),
            label: list(b, &["example.com/on=yes", "count=012", "empty="]),
            image: text(c, "registry.example.com:5000/a/b:1.0"),
            registry: text(!c && d, "registry.example.com"),
            image_pull_secret: list(d, &["pull", "pull-2"]),
            node_selector: list(e, &["pool=on", "zone=1_000"]),
            toleration: list(f, &["dedicated=yes:NoSchedule", "spot", "*"]),
            priority_class: text(g, "high"),
            cpu_request: text(h, "1"),
            cpu_limit: text(i, "1500m"),
            memory_request: text(i, "2Gi"),
            memory_limit: text(h, "3Gi"),
        }
    })
}

fn certs() -> impl Strategy<Value = CertsFlags> {
    (0..7_u8).prop_map(|source| {
        let text = |at: u8, text: &str| (source == at).then(|| text.to_owned());
        CertsFlags {
            custom_certs_secret: text(1, "own"),
            custom_certs_claim: text(2, "own"),
            custom_certs_nfs: text(3, "[2001:db8::7]:/certificates"),
            custom_certs_host_path: text(4, "/etc/certificates"),
            custom_certs_csi: text(5, "secrets-store.csi.k8s.io"),
            custom_certs_csi_attribute: text(5, "secretProviderClass=own").into_iter().collect(),
            cert_manager: text(6, "ClusterIssuer/own"),
        }
    })
}

/// Writes twice, compares, and has the tool judge.
fn judge(tool: &Path, write: impl Fn() -> String) {
    let text = write();
    assert_eq!(text, write(), "the same flags gave another file");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file.yaml");
    std::fs::write(&file, &text).expect("written");
    let mut command = Command::new("python3");
    // What lies in the cluster already, or may be chosen by those who run it.
    let external = "Secret/pull,Secret/pull-2,Secret/first-user,Secret/database,Secret/twistlock-console-tls,\
                    PersistentVolumeClaim/own,PriorityClass/high";
    command.arg(tool).args(["--strict", "--require-namespace", "--allow-root", "--allow-unknown-kinds"]);
    command.args(["--allow-host-namespaces", "--ignore", "host-path", "--external", external]).arg(&file);
    let output = command.output().expect("python3");
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&told));
}

fn bundle() -> Bundle {
    use base64::Engine as _;
    let pem = |kind: &str| format!("-----BEGIN {kind}-----\nQUJD\n-----END {kind}-----\n");
    let json = serde_json::json!({
        "defender-ca.pem": pem("CERTIFICATE"),
        "defender-client-cert.pem": pem("CERTIFICATE"),
        "defender-client-key.pem": pem("PRIVATE KEY"),
    });
    Bundle::from_base64(&base64::engine::general_purpose::STANDARD.encode(json.to_string()))
        .expect("a bundle")
}

/// The tool, which lies beside the checkout or beside the directory of checkouts.
fn tool() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders down");
    let mut places =
        ["../shared", "../../shared"].map(|place| root.join(place).join("tools/validate-manifests"));
    places.iter_mut().find(|place| place.is_file()).map(std::mem::take).or_else(|| {
        eprintln!("NOT CHECKED: there is no ../shared/tools/validate-manifests beside this checkout");
        None
    })
}
