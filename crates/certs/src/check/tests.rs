//! Tests of `check.rs`: the lines, and what passes.

use testpki::{Ca, Leaf};

use super::*;
use crate::stranger::Folder;

const CONSOLE: [Channel; 2] = [Channel::ConsoleHttps, Channel::ConsoleDefender];

fn lines(folder: &Folder, channels: &[Channel]) -> (bool, Vec<String>) {
    let report = check(channels, folder.path(), OffsetDateTime::now_utc());
    let lines = report.findings.iter().map(|finding| folder.relative(&finding.to_string())).collect();
    (report.passed(), lines)
}

#[test]
fn good_channels_pass_with_a_line_each() {
    let (folder, _) = Folder::good();
    let (passed, lines) = lines(&folder, &CONSOLE);
    assert!(passed);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let expected =
        "ok: DIR/console-cert.pem: console-https: CN=localhost for localhost, issued by CN=Test CA";
    assert!(lines[0].starts_with(expected), "{lines:?}");
    assert!(lines[0].contains(", valid until 20"), "{lines:?}");
    assert!(lines[1].starts_with("ok: DIR/defender-server-cert.pem: console-defender: "), "{lines:?}");
    assert!(check(&[Channel::Defender], folder.path(), OffsetDateTime::now_utc()).passed());
}

#[test]
fn one_complete_channel_is_enough_and_a_half_one_is_too_much() {
    let (folder, _) = Folder::good();
    folder.shell("rm defender-*");
    assert!(lines(&folder, &CONSOLE).0);
    folder.shell("touch defender-ca.pem");
    let (passed, lines) = lines(&folder, &CONSOLE);
    assert!(!passed);
    assert_eq!(
        lines[1..],
        [
            "error: DIR/defender-server-cert.pem: is missing, so console-defender stays on the certificates that it has; remedy: add it: console-defender needs defender-ca.pem, defender-server-cert.pem and defender-server-key.pem",
            "error: DIR/defender-server-key.pem: is missing, so console-defender stays on the certificates that it has; remedy: add it: console-defender needs defender-ca.pem, defender-server-cert.pem and defender-server-key.pem",
        ]
    );
}

#[test]
fn an_unreadable_file_is_told_beside_the_missing_ones() {
    let folder = Folder::new();
    folder.shell("mkfifo console-cert.pem");
    let (passed, lines) = lines(&folder, &CONSOLE);
    assert!(!passed);
    assert!(lines[0].contains("read DIR/console-cert.pem: is a named pipe"), "{lines:?}");
    assert!(lines[1].starts_with("error: DIR/console-key.pem: is missing"), "{lines:?}");
}

#[test]
fn what_a_running_program_refuses_fails_and_names_the_file_to_mend() {
    let samples = [
        (
            "cp defender-server-key.pem console-key.pem",
            "error: DIR/console-key.pem: console-https: error reading X509 key pair (DIR/console-cert.pem, DIR/console-key.pem): tls: private key does not match public key",
        ),
        ("> console-cert.pem", "error: DIR/console-cert.pem: console-https: error reading X509 key pair"),
        (
            "> defender-ca.pem",
            "error: DIR/defender-ca.pem: console-defender: error reading CA certificate (DIR/defender-ca.pem): ",
        ),
    ];
    for (script, expected) in samples {
        let (folder, _) = Folder::good();
        folder.shell(script);
        let (passed, lines) = lines(&folder, &CONSOLE);
        assert!(!passed);
        assert!(
            lines.iter().any(|line| line.starts_with(expected) && line.contains("; remedy: ")),
            "{lines:?}"
        );
        assert!(lines.iter().any(|line| line.starts_with("ok: ")), "the other channel is fine: {lines:?}");
    }
    let (folder, ca) = Folder::good();
    folder.put_pair("console", &ca.issue(&Leaf::server(&["x"]).expired()));
    let (passed, lines) = lines(&folder, &CONSOLE);
    assert!(!passed);
    let expected = "error: DIR/console-cert.pem: console-https: DIR/console-cert.pem: x509: certificate has expired: CN=x";
    assert!(lines[0].starts_with(expected), "{lines:?}");
}

#[test]
fn doubts_are_listed_without_failing() {
    let (folder, _) = Folder::good();
    folder.put_pair("defender-server", &Ca::new("Other CA").issue(&Leaf::server(&["x"])));
    let (passed, lines) = lines(&folder, &CONSOLE);
    assert!(passed);
    let expected = "warning: DIR/defender-server-cert.pem: console-defender: certificate was issued by none of the CAs in DIR/defender-ca.pem";
    assert!(lines[2].starts_with(expected), "{lines:?}");
}

#[test]
fn an_empty_directory_and_a_path_that_is_none_fail() {
    let folder = Folder::new();
    assert_eq!(
        lines(&folder, &CONSOLE),
        (
            false,
            vec!["error: DIR: holds no custom certificates; remedy: copy console-cert.pem and console-key.pem, or defender-ca.pem, defender-server-cert.pem and defender-server-key.pem there".to_owned()]
        )
    );
    folder.put("file", "");
    for (name, expected) in [("file", "is not a directory"), ("nowhere", "no such file or directory")] {
        let report = check(&CONSOLE, &folder.at(name), OffsetDateTime::now_utc());
        assert!(!report.passed());
        let expected = format!(
            "error: DIR/{name}: {expected}; remedy: name the directory that holds the custom certificates"
        );
        assert_eq!(folder.relative(&report.findings[0].to_string()), expected);
    }
}
