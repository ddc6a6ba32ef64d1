//! Any combination of good flags gives files that are valid, consistent and always the same, and charts that render the
//! same objects. Judged by `judge.py`: strict schemas of each version of Kubernetes, Helm itself, and, where it lies
//! beside the checkout, `../shared/tools/validate-manifests` with the schemas of the other kinds.

use std::path::{Path, PathBuf};
use std::process::Command;

use manifests::flags::{CertsFlags, ConsoleFlags, DefenderFlags, IstioFlags, OpenshiftFlags, WorkloadFlags};
use manifests::{Bundle, Console, Defender, Istio, Openshift, Platform};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

/// Other ones each time; all are judged by one call of the interpreter.
const CASES: u32 = 12;

#[test]
fn every_combination_of_flags_gives_a_valid_console() {
    let (mut files, mut runner) = (Files::new(), TestRunner::default());
    let strategy = (workload(), certs(), any::<[bool; 9]>(), 0..4_u8);
    for _ in 0..CASES {
        let (workload, certs, [a, b, c, d, e, f, g, h, i], platform) =
            strategy.new_tree(&mut runner).expect("a case").current();
        let flags = ConsoleFlags {
            workload,
            certs,
            no_namespace_object: a,
            disruption_budget: b,
            trusted_proxy: if b {
                vec!["10.0.0.0/8".to_owned(), "2001:db8::7".to_owned()]
            } else {
                Vec::new()
            },
            https_proxy_protocol: b && c,
            service_type: c.then(|| "LoadBalancer".to_owned()),
            service_annotation: if d { vec!["example.com/a={{ yes }}".to_owned()] } else { Vec::new() },
            http_port: e.then_some(8081),
            public_url: f.then(|| "https://console.example.com".to_owned()),
            storage_class: g.then(|| "fast".to_owned()),
            persistent_volume_label: if i { vec!["app-volume=on".to_owned()] } else { Vec::new() },
            admin_password_secret: h.then(|| "first-user".to_owned()),
            database_secret: a.then(|| "database".to_owned()),
            ..ConsoleFlags::default()
        };
        match platform {
            0 => files.add(|| {
                let console = Console::parse(&flags).expect("good");
                (console.write().expect("YAML"), console.chart().expect("a chart"))
            }),
            1 => files.add(|| {
                let route_host = c.then(|| "console.example.com".to_owned());
                let flags =
                    OpenshiftFlags { route_host, console: flags.clone(), ..OpenshiftFlags::default() };
                let console = Openshift::parse(&flags).expect("good");
                (console.write().expect("YAML"), console.chart().expect("a chart"))
            }),
            _ => files.add(|| {
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
                let console = Istio::parse(&flags).expect("good");
                (console.write().expect("YAML"), console.chart().expect("a chart"))
            }),
        }
    }
    files.judge();
}

#[test]
fn every_combination_of_flags_gives_valid_defenders() {
    let (mut files, mut runner, bundle) = (Files::new(), TestRunner::default(), bundle());
    let strategy = (workload(), certs(), any::<[bool; 5]>());
    for _ in 0..CASES {
        let (workload, certs, [a, b, c, d, e]) = strategy.new_tree(&mut runner).expect("a case").current();
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
        let bundle = e.then_some(&bundle);
        for platform in [Platform::Kubernetes, Platform::Openshift] {
            files.add(|| {
                let defender = Defender::parse(&flags).expect("good");
                let yaml = defender.write(platform, 8084, bundle).expect("YAML");
                (yaml, defender.chart(platform, 8084, bundle).expect("a chart"))
            });
        }
    }
    files.judge();
}

#[test]
fn the_judge_finds_what_is_wrong() {
    for (name, text, expected) in [
        (
            "unknown",
            "apiVersion: apps/v1\nkind: Deploymint\nmetadata: {name: a}\n",
            "schema for kind Deploymint",
        ),
        ("misspelt", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {typ: ClusterIP}\n", "'typ'"),
    ] {
        let files = Files::new();
        std::fs::write(files.dir.path().join(format!("{name}.yaml")), text).expect("written");
        let (is_good, told) = files.told();
        assert!(!is_good && told.contains(expected), "{told}");
    }
    let (is_good, told) = Files::new().told();
    assert!(!is_good, "nothing to judge: {told}");
}

/// Files and charts of one test.
struct Files {
    dir: TempDir,
    count: usize,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory"), count: 0 }
    }

    /// Writes twice, and compares.
    fn add<Y: AsRef<str>, C: AsRef<[u8]>>(&mut self, write: impl Fn() -> (Y, C)) {
        let ((text, chart), (again, chart_again)) = (write(), write());
        assert_eq!(text.as_ref(), again.as_ref(), "the same flags gave another file");
        assert!(chart.as_ref() == chart_again.as_ref(), "the same flags gave another chart");
        self.count += 1;
        let file = |end| self.dir.path().join(format!("{:02}{end}", self.count));
        std::fs::write(file(".yaml"), text.as_ref()).expect("written");
        std::fs::write(file(".tar.gz"), chart.as_ref()).expect("written");
    }

    fn judge(self) {
        let (is_good, told) = self.told();
        assert!(is_good, "{told}\nsee {}", self.dir.keep().display());
        assert!(told.contains(&format!("{} files", self.count)), "{told}");
        eprintln!("{told}");
    }

    fn told(&self) -> (bool, String) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders down");
        let mut command = Command::new(root.join("target/kubernetes-validate/bin/python"));
        command.arg(root.join("crates/manifests/tests/judge.py")).arg(self.dir.path());
        command.arg("--helm").arg(root.join("target/kubernetes/helm"));
        if let Some(checker) = checker(root) {
            command.arg("--checker").arg(checker).arg("--checker-flags").arg(CHECKER_FLAGS);
        }
        let output = command.output().expect("kubernetes-validate: `cargo xtask test` installs it");
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    }
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

/// A further judge, which lies beside the checkout or beside the directory of checkouts where there is one.
fn checker(root: &Path) -> Option<PathBuf> {
    let places = ["../shared", "../../shared"].map(|place| root.join(place));
    places.into_iter().map(|place| place.join("tools/validate-manifests")).find(|place| place.is_file())
}

/// What lies in the cluster already, or may be chosen by those who run it. The value must not begin like a flag.
const CHECKER_FLAGS: &str = " --strict --require-namespace --allow-root --allow-unknown-kinds --allow-host-namespaces \
     --ignore host-path --external Secret/pull,Secret/pull-2,Secret/first-user,Secret/database,\
     Secret/twistlock-console-tls,PersistentVolumeClaim/own,PriorityClass/high";
