//! What stands in compose files, and what is refused.

use super::*;
use crate::flags::{ConsoleComposeFlags, DefenderComposeFlags};

#[test]
fn a_onebox_shares_the_bundle_and_mounts_certificates_read_only() {
    let flags = ConsoleComposeFlags { onebox: true, ..ConsoleComposeFlags::default() };
    let text = ConsoleCompose::parse(&flags).expect("good").write().expect("YAML");
    let certs = "/var/lib/twistlock/custom-certificates:/var/lib/twistlock/custom-certificates:ro";
    assert_eq!(text.matches(certs).count(), 2, "{}", *text);
    for expected in ["install-bundle:/var/lib/twistlock/certificates:ro", "wss://twistlock-console:8084"] {
        assert!(text.contains(expected), "{expected} in {}", *text);
    }
    let kept = include_str!("../../../../deploy/onebox/docker-compose.yaml");
    assert_eq!(&**text, kept, "write it anew: console export compose --onebox");
    assert!(!text.contains("\nname:") && !text.contains("\nversion:"));
}

#[test]
fn what_looks_like_a_variable_is_none() {
    let compose = ComposeFlags { custom_certs_host_path: Some("/a$B".to_owned()), ..ComposeFlags::default() };
    let flags = DefenderComposeFlags {
        compose,
        cluster_address: Some("c".to_owned()),
        ..DefenderComposeFlags::default()
    };
    let text = DefenderCompose::parse(&flags).expect("good").write(8084, Some("QUJD")).expect("YAML");
    assert!(text.contains("/a$$B:") && text.contains("INSTALL_BUNDLE: QUJD"), "{}", *text);
    let told = DefenderCompose::parse(&DefenderComposeFlags::default()).expect_err("no address").to_string();
    assert!(told.contains("--cluster-address: it is missing"), "{told}");
}
