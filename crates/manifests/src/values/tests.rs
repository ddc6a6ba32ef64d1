//! What is taken and what is not.

use super::address::nfs;
use super::pods::{amount, image, registry, toleration};
use super::*;

fn all<T>(parse: impl Fn(&str) -> Result<T, String>, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(parse(text).is_ok(), "{text:?}: {:?}", parse(text).err());
    }
    for text in bad {
        let cause = parse(text).err().unwrap_or_else(|| panic!("{text:?} was taken"));
        assert!(cause.contains("; write ") || cause.contains("write "), "{text:?}: {cause}");
    }
}

#[test]
fn names_paths_and_labels() {
    all(label_name, &["twistlock", "a-1"], &["", "A", "a.b", "-a", "a_b", &"x".repeat(64)]);
    all(object_name, &["fast.ssd", "a"], &["", "a..b", "A", "a/b", &"x".repeat(254)]);
    all(path, &["/", "/var/lib/x", "/a/b/"], &["", "a/b", "/a/../b", "/a:b", "/a//b", "/a/."]);
    all(label, &["a=b", "example.com/a=", "a.b_c=D"], &["a", "=b", "a=b c", "a=-b", "A/b/c=d", "a b=c"]);
    all(annotation, &["a=b c: d", "example.com/a=\"x\""], &["a", "=b", "a b=c", "a=b\nc"]);
    all(attribute, &["secretProviderClass=x", "a="], &["a", "=b", "a=b\nc"]);
    all(cluster_name, &["prod-1", "Prod_EU.2"], &["a b", "-a", &"x".repeat(64)]);
}

#[test]
fn addresses() {
    let parse = |text: &str| text.parse::<HostPort>();
    all(
        parse,
        &["console.example.com", "Console:18084", "192.0.2.7:443", "2001:db8::7", "[2001:db8::7]:8084"],
        &[
            "",
            ":8084",
            "wss://console",
            "https://console:8083",
            "console/path",
            "console:0",
            "console:+80",
            "console:99999",
            "console:",
            "a b",
            "*.example.com",
            "[console]:80",
            "2001:db8::7]:80",
            "u@console",
            "1.2.3",
        ],
    );
    assert_eq!(parse("2001:db8::7").map(|address| address.authority(8084)), Ok("[2001:db8::7]:8084".into()));
    assert_eq!(parse("Console:1").map(|address| address.to_string()), Ok("console:1".into()));
    assert!(!parse("secret@console").expect_err("a user").contains("secret"));
    all(
        str::parse::<San>,
        &["a", "*.example.com", "::1", "192.0.2.7"],
        &["*", "*.com", "a*.example.com", "1.2.3", "a/b"],
    );
    all(
        str::parse::<PublicUrl>,
        &["https://console.example.com", "https://c:8443/", "https://[::1]:8081", "HTTPS://c"],
        &[
            "console",
            "ftp://a",
            "http://a",
            "https://",
            "https://u@a",
            "https://a:0",
            "https://a?b",
            "https://a#b",
            "https://a,b",
            "https://a b",
            "https://a/b",
            "https://a//",
            "https://::1",
            "https://https://a",
        ],
    );
    all(nfs, &["nfs.example.com:/certs", "[2001:db8::7]:/certs"], &["nfs", "nfs:certs", ":/certs", "a b:/c"]);
}

#[test]
fn amounts_images_and_tolerations() {
    all(
        amount,
        &["1", "0.5", "100m", "256Mi", "10Gi"],
        &["0", "-1", "1e3x", "10 Gi", "Gi", "1.", ".5", "10gb"],
    );
    let digest = format!("a/b@sha256:{}", "0".repeat(64));
    all(
        image,
        &["garrison/console:1.0", "registry.example.com:5000/a/b:x_1", "a:b", &digest],
        &["console", "https://a/b:c", "a:", "A/B:c d", "a//b:c", "a/b@sha256:0", "a/B:c", "-a:b"],
    );
    all(
        registry,
        &["registry.example.com", "r:5000/mirror"],
        &["https://r", "r/", "/r", "r:port", "r:0", "a b", "r/Mirror"],
    );
    all(
        toleration,
        &["*", "a", "a=b", "example.com/a:NoExecute", "a=b:NoSchedule"],
        &["", ":NoSchedule", "a:Never", "a b", "a=b c"],
    );
}
