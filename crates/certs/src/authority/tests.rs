//! Tests of `authority.rs`: what is good is kept to the byte, what is damaged is never replaced.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::stranger::Folder;

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn names() -> Vec<String> {
    ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
}

fn open(folder: &Folder) -> Result<Authority, AuthorityError> {
    Authority::open_or_create(&folder.at("data/certificates"), now())
}

/// A store with both server certificates.
fn made() -> (Folder, Authority) {
    let folder = Folder::new();
    let authority = open(&folder).expect("made");
    for channel in [Channel::ConsoleHttps, Channel::ConsoleDefender] {
        authority.server_material(channel, &names(), now()).expect("issued");
    }
    (folder, authority)
}

/// Name, inode, time and content of each file.
fn state(folder: &Folder) -> Vec<(String, u64, i64, i64, Vec<u8>)> {
    let entries = fs::read_dir(folder.at("data/certificates")).expect("a store");
    let mut state = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let metadata = path.metadata().expect("there");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (
                name,
                metadata.ino(),
                metadata.mtime(),
                metadata.mtime_nsec(),
                fs::read(&path).expect("readable"),
            )
        })
        .collect::<Vec<_>>();
    state.sort();
    state
}

#[test]
fn a_store_that_was_opened_to_others_is_closed_again() {
    let (folder, _) = made();
    folder.shell("chmod 755 data/certificates; chmod 644 data/certificates/*");
    Authority::open_or_create(&folder.at("data/certificates"), now()).expect("it opens");
    folder.shell(
        "test 700 = $(stat -c %a data/certificates); test 600 = $(stat -c %a data/certificates/* | uniq)",
    );
}

#[test]
fn makes_a_store_that_only_its_owner_can_enter() {
    let (folder, _) = made();
    let mode = |name: &str| folder.at(name).metadata().expect(name).permissions().mode() & 0o7777;
    assert_eq!(mode("data/certificates"), 0o700);
    let files = state(&folder).into_iter().map(|file| file.0).collect::<Vec<_>>();
    assert_eq!(files, ["ca-key.pem", "ca.pem", "console.pem", "defender-server.pem"]);
    assert!(files.iter().all(|name| mode(&format!("data/certificates/{name}")) == 0o600));
    assert_eq!(fs::read_dir(folder.at("data")).expect("there").count(), 1, "nothing is left beside it");
    folder.shell(
        "cd data/certificates
         openssl verify -x509_strict -purpose sslserver -verify_hostname localhost -CAfile ca.pem console.pem
         openssl verify -x509_strict -purpose sslserver -verify_ip 127.0.0.1 -CAfile ca.pem defender-server.pem",
    );
}

#[test]
fn what_is_good_is_kept_to_the_byte() {
    let (folder, first) = made();
    let before = state(&folder);
    let again = open(&folder).expect("opened");
    let mut names = names();
    names.reverse();
    names[0] = "0:0::1".to_owned();
    names.swap(0, 1);
    for channel in [Channel::ConsoleHttps, Channel::ConsoleDefender] {
        let material = again.server_material(channel, &names, now()).expect("kept");
        assert_eq!(material.channel(), channel);
        assert_eq!(material.unfit(now()), None);
        assert_eq!(material.doubts(now()), []);
    }
    assert_eq!(state(&folder), before);
    assert_eq!(again.ca_pem(), first.ca_pem());
    assert_eq!(again.ca_sha256(), first.ca_sha256());
    assert_eq!((again.not_after() - now()).whole_days(), 3 * 365);
}

#[test]
fn the_https_chain_ends_in_the_ca_and_the_defender_set_trusts_it() {
    let (_folder, authority) = made();
    let https = authority.server_material(Channel::ConsoleHttps, &names(), now()).expect("kept");
    assert_eq!(https.chain().len(), 2);
    let gateway = authority.server_material(Channel::ConsoleDefender, &names(), now()).expect("kept");
    assert_eq!((gateway.chain().len(), gateway.ca_pem().as_str()), (1, authority.ca_pem().as_str()));
    assert!(gateway.is_issued_by_own_cas());
}

#[test]
fn other_names_or_a_short_rest_of_life_make_a_new_leaf_from_the_same_ca() {
    let (_folder, authority) = made();
    let sha256 = |names: &[String], now| {
        let material = authority.server_material(Channel::ConsoleHttps, names, now).expect("a leaf");
        assert_eq!(material.unfit(now), None);
        material.leaf().sha256.clone()
    };
    let first = sha256(&names(), now());
    let other = vec!["console.example.com".to_owned()];
    let second = sha256(&other, now());
    assert_ne!(first, second);
    assert_eq!(sha256(&other, now() + time::Duration::days(260)), second, "more than a third is left");
    let third = sha256(&other, now() + time::Duration::days(270));
    assert_ne!(third, second);
    let near_the_end = authority.not_after() - time::Duration::days(31);
    let material = authority.server_material(Channel::ConsoleHttps, &other, near_the_end).expect("a leaf");
    assert_eq!(material.leaf().not_after, authority.not_after(), "no longer than the CA");
}

#[test]
fn an_empty_folder_counts_as_absent_and_left_overs_of_a_killed_process_go() {
    let folder = Folder::new();
    folder.shell(
        "mkdir -p data/certificates data/certificates.unfinished; touch data/certificates.unfinished/ca.pem",
    );
    let first = open(&folder).expect("made");
    folder.shell("touch data/certificates/console.pem.unfinished; mkdir data/certificates.unfinished");
    assert_eq!(open(&folder).expect("opened").ca_sha256(), first.ca_sha256());
    folder
        .shell("test ! -e data/certificates.unfinished; test ! -e data/certificates/console.pem.unfinished");
}

#[test]
fn a_damaged_ca_is_an_error_with_a_remedy_and_nothing_is_changed() {
    let samples = [
        ("rm ca.pem", "ca.pem: it is missing, although its folder is not empty"),
        ("rm ca-key.pem", "ca-key.pem: it is missing, although its folder is not empty"),
        ("rm *; touch note", "ca.pem: it is missing, although its folder is not empty"),
        ("> ca.pem", "ca.pem: it is empty"),
        ("truncate -s 200 ca.pem", "ca.pem: it ends inside a PEM block: it was cut off"),
        ("sed -i 3d ca.pem", "ca.pem: it is a malformed certificate"),
        ("cp console.pem ca.pem", "ca.pem: it holds more than one PEM block"),
        (
            "openssl x509 -in console.pem -out ca.pem",
            "ca.pem: its certificate is not that of a CA, or its signature is wrong",
        ),
        (
            "> ca-key.pem",
            "ca-key.pem: tls: failed to find any PEM data in key input: DIR/ca-key.pem is empty",
        ),
        (
            "truncate -s 100 ca-key.pem",
            "ca-key.pem: tls: failed to find any PEM data in key input: DIR/ca-key.pem ends inside a PEM block: it was cut off",
        ),
        (
            "openssl ecparam -genkey -noout -name prime256v1 | openssl pkcs8 -topk8 -nocrypt > ca-key.pem",
            "ca-key.pem: the key does not belong to ca.pem",
        ),
        ("rm ca.pem; mkfifo ca.pem", "ca.pem: read DIR/ca.pem: is a named pipe (FIFO), not a regular file"),
    ];
    for (script, expected) in samples {
        let (folder, _) = made();
        folder.shell(&format!("cd data/certificates; {script}"));
        let list = || fs::read_dir(folder.at("data/certificates")).expect("there").count();
        let before = list();
        let error = open(&folder).expect_err(script);
        let text = folder.relative(&error.to_string()).replace("DIR/data/certificates", "DIR");
        let expected =
            format!("the Console's own CA is damaged: DIR/{expected}; remedy: restore DIR from a ");
        assert!(text.starts_with(&expected), "{script}: {text}");
        assert_eq!(text.matches("; remedy: ").count(), 1, "{text}");
        assert!(std::error::Error::source(&error).is_none(), "it would be told twice");
        assert!(error.remedy().contains("backup") && error.remedy().contains("every Defender"));
        assert_eq!(list(), before);
    }
}

#[test]
fn a_flipped_bit_in_the_ca_is_noticed() {
    let (folder, authority) = made();
    let mut der = authority.ring().present.certificate.der().to_vec();
    let middle = der.len() / 2;
    der[middle] ^= 1;
    folder.put("data/certificates/ca.pem", pem::encode_certificates([der.as_slice()]));
    assert!(matches!(open(&folder), Err(AuthorityError::Ca { .. })));
}

#[test]
fn a_damaged_server_certificate_is_an_error_with_a_remedy_and_nothing_is_changed() {
    let samples = [
        (
            "truncate -s 300 console.pem",
            "tls: failed to find any PEM data in certificate input: DIR/console.pem ends inside a PEM block: it was cut off",
        ),
        (
            "cp ca.pem console.pem",
            "tls: found a certificate rather than a key in the PEM for the private key: DIR/console.pem holds no key",
        ),
        ("rm console.pem; mkdir console.pem", "read DIR/console.pem: is a directory, not a regular file"),
        (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -out c -days 90 -subj /CN=x 2>&1; cat c k > console.pem; rm c k",
            "it was not issued by DIR/ca.pem",
        ),
    ];
    for (script, expected) in samples {
        let (folder, authority) = made();
        folder.shell(&format!("cd data/certificates; {script}"));
        let error = authority.server_material(Channel::ConsoleHttps, &names(), now()).expect_err(script);
        let text = folder.relative(&error.to_string()).replace("DIR/data/certificates", "DIR");
        let expected = format!(
            "the Console's own server certificate is damaged: DIR/console.pem: {expected}; remedy: delete DIR/console.pem: it is issued anew at the next start"
        );
        assert_eq!(text, expected, "{script}");
        assert!(error.remedy().contains("it is issued anew"));
    }
}

#[test]
fn what_the_system_refuses_names_the_path() {
    let folder = Folder::new();
    folder.put("data", "a file where a folder should be");
    let error = open(&folder).expect_err("no folder");
    assert!(matches!(&error, AuthorityError::System { .. }));
    assert!(
        error.to_string().starts_with("removing ") || error.to_string().starts_with("reading "),
        "{error}"
    );
    assert!(error.to_string().ends_with("may read and write"), "{error}");
    assert!(error.to_string().contains("directory"), "with what the system says: {error}");
}

#[test]
fn a_defender_is_no_server_and_bad_names_are_no_names() {
    let (_folder, authority) = made();
    let error = authority.server_material(Channel::Defender, &names(), now()).expect_err("a client");
    assert_eq!(error.to_string(), "defender is not a server");
    let bad = ["a b".to_owned()];
    let error = authority.server_material(Channel::ConsoleHttps, &bad, now()).expect_err("a bad name");
    assert!(error.to_string().starts_with("issuing a certificate for "), "{error}");
    assert!(error.remedy().contains("names"));
}

#[test]
fn clients_are_issued_from_bundles_and_from_requests() {
    let (folder, authority) = made();
    let life = Duration::from_secs(24 * 60 * 60);
    let bundle = authority.issue_client(Holder::Defender("6f9d3f3e"), "host-1", life, now()).expect("issued");
    folder.put("defender-ca.pem", authority.ca_pem());
    folder.put("defender-client-cert.pem", &bundle.cert_pem);
    folder.put("defender-client-key.pem", &*bundle.key_pem);
    let material = folder.parse(Channel::Defender).expect("usable");
    assert!(material.is_issued_by_own_cas());
    assert_eq!(material.leaf().sans, ["urn:uuid:6f9d3f3e"]);
    assert_eq!((material.leaf().not_after - now()).whole_hours(), 23);
    folder.shell("openssl req -new -key defender-client-key.pem -subj /CN=x -out csr");
    let chain = authority.sign_request(&folder.text("csr"), "6f9d3f3e", life, now()).expect("issued");
    folder.put("defender-client-cert.pem", chain);
    assert!(folder.parse(Channel::Defender).expect("usable").is_issued_by_own_cas());
    assert!(!format!("{authority:?}").contains("PRIVATE"));
}
