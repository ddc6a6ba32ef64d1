//! What is taken, and with which doubts.

use testpki::{Ca, KeyKind, Leaf, Pair};
use time::{Duration, OffsetDateTime};

use crate::stranger::Folder;
use crate::{Channel, Material, RawMaterial};

fn doubts(folder: &Folder, channel: Channel) -> Vec<String> {
    let material = folder.parse(channel).expect("usable");
    assert_eq!(material.unfit(OffsetDateTime::now_utc()), None);
    let doubts = material.doubts(OffsetDateTime::now_utc());
    assert!(doubts.iter().all(|doubt| doubt.remedy().len() > 10 && doubt.file().starts_with(folder.path())));
    doubts.iter().map(|doubt| folder.relative(&doubt.to_string())).collect()
}

#[test]
fn a_good_set_is_taken_without_doubts_and_tells_its_facts() {
    let (folder, ca) = Folder::good();
    for channel in Channel::ALL {
        assert_eq!(doubts(&folder, channel), Vec::<String>::new(), "{channel}");
    }
    let material = folder.parse(Channel::ConsoleDefender).expect("usable");
    assert_eq!(material.channel(), Channel::ConsoleDefender);
    assert_eq!(material.leaf().subject, "CN=localhost");
    assert!(material.leaf().issuer.starts_with("CN=Test CA"));
    assert_eq!(material.leaf().sans, ["localhost"]);
    assert_eq!(material.ca_pem(), ca.pem().replace("\r\n", "\n"));
    assert_eq!(material.chain_pem(), folder.text("defender-server-cert.pem"));
    assert_eq!((material.chain().len(), material.cas().len()), (1, 1));
    assert!(folder.parse(Channel::ConsoleHttps).expect("usable").cas().is_empty());
}

#[test]
fn facts_agree_with_openssl() {
    let folder = Folder::new();
    folder.shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout console-key.pem -out console-cert.pem \
         -days 90 -subj '/O=Example/CN=a b' -addext subjectAltName=DNS:*.example.com,IP:10.0.0.1,IP:::1,URI:https://x/y 2>&1
         openssl x509 -in console-cert.pem -noout -fingerprint -sha256 | sed 's/.*=//;s/://g' | tr A-F a-f > sha256
         openssl x509 -in console-cert.pem -noout -serial | sed 's/.*=//' | tr A-F a-f > serial",
    );
    let material = folder.parse(Channel::ConsoleHttps).expect("usable");
    let facts = material.leaf();
    assert_eq!(facts.sha256, folder.text("sha256").trim());
    assert_eq!(facts.serial.trim_start_matches('0'), folder.text("serial").trim().trim_start_matches('0'));
    assert_eq!(facts.subject, "O=Example, CN=a b");
    assert_eq!(facts.sans, ["*.example.com", "10.0.0.1", "::1", "https://x/y"]);
    assert_eq!(facts.not_after - facts.not_before, Duration::days(90));
}

#[test]
fn every_encoding_and_kind_of_key_that_openssl_writes_is_taken() {
    let keys = [
        "openssl ecparam -genkey -name prime256v1",
        "openssl ecparam -genkey -noout -name secp384r1",
        "openssl ecparam -genkey -name secp521r1 | openssl pkcs8 -topk8 -nocrypt",
        "openssl genrsa -traditional 2048",
        "openssl genrsa 3072",
        "openssl genpkey -algorithm ED25519",
    ];
    for key in keys {
        let folder = Folder::new();
        folder.shell(&format!(
            "{key} > console-key.pem; chmod 600 console-key.pem
             openssl req -x509 -key console-key.pem -out console-cert.pem -days 90 -subj /CN=x -addext subjectAltName=DNS:x"
        ));
        assert_eq!(doubts(&folder, Channel::ConsoleHttps), Vec::<String>::new(), "{key}");
    }
}

#[test]
fn what_editors_and_archives_make_of_a_file_is_taken() {
    let samples = [
        ("sed -i 's/$/\\r/' console-*.pem", vec![]),
        ("sed -i '1i a note' console-*.pem; echo another >> console-key.pem", vec![]),
        (
            "openssl pkcs12 -export -in console-cert.pem -inkey console-key.pem -passout pass:x -out x
             openssl pkcs12 -in x -passin pass:x -nodes -nocerts > console-key.pem
             openssl pkcs12 -in x -passin pass:x -nokeys > console-cert.pem
             grep -q 'Bag Attributes' console-cert.pem",
            vec![],
        ),
        ("cat console-cert.pem >> console-key.pem", vec![]),
        (
            "printf '\\357\\273\\277' > x; cat console-cert.pem >> x; mv x console-cert.pem",
            vec!["DIR/console-cert.pem: starts with a byte order mark, which other programs refuse"],
        ),
        (
            "cat console-key.pem >> console-cert.pem",
            vec!["DIR/console-cert.pem: holds a private key beside the certificates"],
        ),
        (
            "chmod 644 console-key.pem",
            vec!["DIR/console-key.pem: private key can be read by others (mode 0644)"],
        ),
        ("chmod 640 console-key.pem", vec![]),
    ];
    for (script, expected) in samples {
        let (folder, _) = Folder::good();
        folder.shell(script);
        assert_eq!(doubts(&folder, Channel::ConsoleHttps), expected, "{script}");
    }
}

#[test]
fn a_key_among_the_cas_is_doubtful_for_both_sides() {
    let (folder, _) = Folder::good();
    folder.shell("openssl ecparam -genkey -noout -name prime256v1 >> defender-ca.pem");
    let expected = "DIR/defender-ca.pem: holds a private key, which must not be there: whoever is given the CA certificates can read it";
    for channel in [Channel::ConsoleDefender, Channel::Defender] {
        assert_eq!(doubts(&folder, channel), [expected], "{channel}");
    }
    assert_eq!(doubts(&folder, Channel::ConsoleHttps), Vec::<String>::new());
}

#[test]
fn a_ca_as_a_leaf_is_doubtful_where_only_our_own_programs_meet_it() {
    let folder = Folder::new();
    folder.shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out cert -days 90 \
         -subj /CN=x -addext subjectAltName=DNS:x 2>&1
         cp cert defender-ca.pem; chmod 600 key
         for stem in console defender-server defender-client; do cp cert $stem-cert.pem; cp key $stem-key.pem; done",
    );
    assert_eq!(doubts(&folder, Channel::ConsoleHttps), Vec::<String>::new());
    let sides = [
        (Channel::ConsoleDefender, "defender-server", "Defenders"),
        (Channel::Defender, "defender-client", "Consoles"),
    ];
    for (channel, stem, refuser) in sides {
        let expected = format!(
            "DIR/{stem}-cert.pem: certificate is that of a CA, {refuser} refuse it as the one of this side: CN=x"
        );
        assert_eq!(doubts(&folder, channel), [expected]);
    }
}

#[test]
fn an_old_version_without_names_and_with_a_broken_hash_is_taken_with_a_doubt_for_each() {
    let folder = Folder::new();
    folder.shell(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 90 -subj /CN=ca 2>&1
         openssl req -newkey rsa:2048 -nodes -keyout console-key.pem -out csr -subj /CN=x 2>&1
         openssl x509 -req -sha1 -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 60 -out console-cert.pem 2>&1
         cat ca.pem >> console-cert.pem; chmod 600 console-key.pem",
    );
    let expected = [
        "DIR/console-cert.pem: certificate is X.509 version 1, which TLS clients built on rustls refuse: CN=x",
        "DIR/console-cert.pem: certificate has no subject alternative name, clients will not accept it: CN=x",
        "DIR/console-cert.pem: certificate 1 (CN=x) is signed with SHA-1 with RSA, which clients refuse",
    ];
    assert_eq!(doubts(&folder, Channel::ConsoleHttps), expected);
}

#[test]
fn a_leaf_that_expires_soon_or_comes_from_another_ca_is_doubtful() {
    let (folder, _) = Folder::good();
    let now = OffsetDateTime::now_utc();
    let other = Ca::new("Other CA");
    let leaf = Leaf::client("host-2").valid(now - Duration::days(1), now + Duration::days(29));
    folder.put_pair("defender-client", &other.issue(&leaf));
    let found = doubts(&folder, Channel::Defender);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with(
        "DIR/defender-client-cert.pem: certificate expires soon: CN=host-2, not valid after 20"
    ));
    let expected = "DIR/defender-client-cert.pem: certificate was issued by none of the CAs in DIR/defender-ca.pem: CN=host-2, issued by CN=Other CA";
    assert!(found[1].starts_with(expected), "{found:?}");
}

#[test]
fn expired_cas_and_certificates_of_no_ca_among_good_ones_are_doubtful() {
    let (folder, ca) = Folder::good();
    let now = OffsetDateTime::now_utc();
    let old = Ca::valid("Old CA", now - Duration::days(20), now - Duration::days(10));
    let stray = Leaf::server(&["stray"]).self_signed();
    folder.put("defender-ca.pem", [ca.pem(), old.pem(), &stray.cert_pem].concat());
    let found = doubts(&folder, Channel::Defender);
    assert!(found[0].starts_with("DIR/defender-ca.pem: CA certificate CN=Old CA"), "{found:?}");
    assert!(found[0].contains("is valid only from 20"), "{found:?}");
    assert_eq!(found[1], "DIR/defender-ca.pem: certificate CN=stray is not a CA certificate");
    assert_eq!(found.len(), 2);
}

#[test]
fn a_leaf_issued_through_intermediates_counts_as_issued_by_the_root() {
    let root = Ca::new("Root");
    let issuing = root.intermediate("Middle").intermediate("Issuing");
    let folder = Folder::new();
    folder.put("defender-ca.pem", root.pem());
    folder.put_pair("defender-server", &issuing.issue(&Leaf::server(&["localhost"]).key(KeyKind::P384)));
    assert_eq!(doubts(&folder, Channel::ConsoleDefender), Vec::<String>::new());
    assert_eq!(folder.parse(Channel::ConsoleDefender).expect("usable").chain().len(), 3);
}

#[test]
fn files_from_memory_are_the_same_set_as_files_on_disk_and_show_no_key() {
    let (folder, _) = Folder::good();
    let read = |name: &str| folder.text(name).into_bytes();
    let raw = RawMaterial::from_files(
        Channel::Defender,
        folder.path(),
        Some(read("defender-ca.pem")),
        read("defender-client-cert.pem"),
        read("defender-client-key.pem").into(),
    );
    let shown = format!("{raw:?}");
    let material = Material::parse(raw).expect("usable");
    assert_eq!(material.fingerprint(), folder.parse(Channel::Defender).expect("usable").fingerprint());
    let key = folder.text("defender-client-key.pem");
    let secret = key.lines().nth(1).expect("base64");
    assert!(!shown.contains(secret) && shown.contains("***"), "{shown}");
    let shown = format!("{material:?}");
    assert!(!shown.contains(secret) && shown.contains("***"), "{shown}");
}

#[test]
fn a_leaf_in_the_file_of_its_ca_has_not_issued_itself_unless_it_is_self_signed() {
    let ca = Ca::new("CA");
    let is_whole = |ca: &str, pair: &Pair| {
        let folder = Folder::new();
        folder.put("defender-ca.pem", ca);
        folder.put_pair("defender-client", pair);
        folder.parse(Channel::Defender).expect("usable").is_issued_by_own_cas()
    };
    let leaf = Leaf::client("host");
    let (issued, own) = (ca.issue(&leaf), leaf.self_signed());
    assert!(is_whole(ca.pem(), &issued));
    assert!(!is_whole(&issued.cert_pem, &issued));
    assert!(is_whole(&own.cert_pem, &own));
}
