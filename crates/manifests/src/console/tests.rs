//! What is refused, and what stands in the file.

use super::*;
use crate::flags::{CertsFlags, WorkloadFlags};

fn faults(flags: &ConsoleFlags) -> String {
    Console::parse(flags).expect_err("a fault").to_string()
}

#[test]
fn contradictions_are_refused_with_the_way_out() {
    let text = |text: &str| Some(text.to_owned());
    let flags = ConsoleFlags {
        workload: WorkloadFlags {
            image: text("a:b"),
            registry: text("r"),
            label: vec!["name=x".to_owned()],
            cpu_request: text("2"),
            cpu_limit: text("500m"),
            ..WorkloadFlags::default()
        },
        certs: CertsFlags {
            custom_certs_claim: text("a"),
            cert_manager: text("ClusterIssuer/b"),
            custom_certs_csi_attribute: vec!["a=b".to_owned()],
            ..CertsFlags::default()
        },
        http_port: Some(8083),
        admin_user: text("eve"),
        trusted_proxy: vec!["proxy.example.com".to_owned()],
        defender_proxy_protocol: true,
        ..ConsoleFlags::default()
    };
    let told = faults(&flags);
    for expected in [
        "--registry: --image names the registry already",
        "--label: name is set by the export itself",
        "--cpu-limit: 500m is below --cpu-request 2",
        "--custom-certs-claim, --cert-manager: there is one directory",
        "--custom-certs-csi-attribute: it belongs to --custom-certs-csi",
        "--http-port: 8083 is taken",
        "--admin-user: it belongs to --admin-password-secret",
        "--trusted-proxy: \"proxy.example.com\" is no range",
        "--defender-proxy-protocol: it belongs to --trusted-proxy",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
}

#[test]
fn one_limit_alone_moves_the_default_of_the_other() {
    let workload = WorkloadFlags { memory_limit: Some("128Mi".to_owned()), ..WorkloadFlags::default() };
    let flags = ConsoleFlags { workload, ..ConsoleFlags::default() };
    let resources = Console::parse(&flags).expect("good").workload.resources();
    assert_eq!(resources.requests.expect("some")["memory"].0, "128Mi");
    assert_eq!(resources.limits.expect("some")["memory"].0, "128Mi");
}

#[test]
fn the_same_flags_give_the_same_bytes_and_the_service_s_names_are_in_the_certificate() {
    let workload = WorkloadFlags { namespace: Some("security".to_owned()), ..WorkloadFlags::default() };
    let flags = ConsoleFlags {
        workload,
        public_url: Some("https://console.example.com:8443/".to_owned()),
        san: vec!["192.0.2.7".to_owned(), "twistlock-console".to_owned()],
        ..ConsoleFlags::default()
    };
    let write = || Console::parse(&flags).expect("good").write().expect("YAML");
    assert_eq!(*write(), *write());
    let names = "twistlock-console,twistlock-console.security,twistlock-console.security.svc,\
                 twistlock-console.security.svc.cluster.local,console.example.com,192.0.2.7";
    assert!(write().contains(&format!("CONSOLE_SANS: {names}\n")), "{}", *write());
    assert!(write().contains("CONSOLE_PUBLIC_URL: https://console.example.com:8443\n"));
}

#[test]
fn a_field_that_no_flag_has_is_refused() {
    let flags: ConsoleFlags = serde_json::from_str(
        r#"{"namespace": "a", "httpPort": 8081, "nonsense": 1, "nodeSelector": {"a": "b"}}"#,
    )
    .expect("an object");
    assert_eq!((flags.http_port, flags.workload.node_selector.clone()), (Some(8081), vec!["a=b".to_owned()]));
    assert!(faults(&flags).contains("nonsense: there is no such field"));
}
