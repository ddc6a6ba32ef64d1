//! What is refused, and what stands in the file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::flags::CertsFlags;

fn bundle() -> Bundle {
    let json = serde_json::json!({
        "defender-ca.pem": "CA", "defender-client-cert.pem": "CERT", "defender-client-key.pem": "KEY",
    });
    Bundle::from_base64(&STANDARD.encode(json.to_string())).expect("a bundle")
}

fn flags(address: &str) -> DefenderFlags {
    DefenderFlags { cluster_address: Some(address.to_owned()), ..DefenderFlags::default() }
}

#[test]
fn the_address_is_needed_and_is_no_url() {
    for (address, expected) in [
        ("", "--cluster-address: it is missing"),
        ("https://console:8083", "has a scheme"),
        ("console/path", "has a path"),
    ] {
        let told = Defender::parse(&flags(address)).expect_err(address).to_string();
        assert!(told.contains(expected), "{told}");
    }
    let told = Defender::parse(&flags("wss://c")).expect_err("a scheme").of_fields();
    assert!(told.starts_with("consoleAddr: "), "{told}");
}

#[test]
fn the_file_holds_the_bundle_and_no_namespace() {
    let defender = Defender::parse(&flags("console.example.com")).expect("good");
    let text = defender.write(Platform::Kubernetes, 18084, Some(&bundle())).expect("YAML");
    for expected in [
        "kind: DaemonSet",
        "wss://console.example.com:18084",
        &format!("defender-client-key.pem: {}", STANDARD.encode("KEY")),
        "node-role.kubernetes.io/control-plane",
    ] {
        assert!(text.contains(expected), "{expected} in {}", *text);
    }
    assert!(!text.contains("kind: Namespace"));
    assert_eq!(*text, *defender.write(Platform::Kubernetes, 18084, Some(&bundle())).expect("YAML"));
    assert!(!format!("{:?}", bundle()).contains("KEY"));
}

#[test]
fn without_a_bundle_there_is_no_secret_and_no_mount_of_it() {
    let certs = CertsFlags { custom_certs_secret: Some("own".to_owned()), ..CertsFlags::default() };
    let defender = Defender::parse(&DefenderFlags { certs, ..flags("console:443") }).expect("good");
    assert!(defender.has_custom_certs());
    let text = defender.write(Platform::Kubernetes, 8084, None).expect("YAML");
    assert!(
        !text.contains("kind: Secret\n") && !text.contains("/var/lib/twistlock/certificates"),
        "{}",
        *text
    );
    assert!(text.contains("wss://console:443") && text.contains("/var/lib/twistlock/custom-certificates"));
}
