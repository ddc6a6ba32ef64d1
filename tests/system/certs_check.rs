//! `certs check DIR` of both programs: judged as the running program would judge.

use system_tests::openssl::{KeyKind, Role, Validity};
use system_tests::place::{Files, Manner};
use system_tests::program::{binary, run};
use system_tests::{Channel, OpensslPki};

fn check(program: &str, files: &[Files]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    files.iter().for_each(|files| Manner::InPlace.place(dir.path(), files));
    let output = run(binary(program), &["certs", "check", &dir.path().to_string_lossy()]);
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

fn program_of(channel: Channel) -> &'static str {
    if channel == Channel::Defender { "defender" } else { "console" }
}

#[test]
fn a_good_set_passes_and_a_second_channel_without_files_does_not_matter() {
    let pki = OpensslPki::new();
    for channel in Channel::ALL {
        let (code, text) = check(program_of(channel), &[channel.files(&pki.set_for(channel))]);
        assert_eq!(code, Some(0), "{channel:?}: {text}");
    }
    let both = [Channel::Https.files(&pki.server()), Channel::WebSocket.files(&pki.server())];
    assert_eq!(check("console", &both).0, Some(0));
}

#[test]
fn no_files_an_incomplete_set_and_a_path_that_is_no_directory_fail() {
    let pki = OpensslPki::new();
    for program in ["console", "defender"] {
        assert_eq!(check(program, &[]).0, Some(1), "{program}");
        for path in ["/nowhere/at/all", "/dev/null"] {
            assert_eq!(
                run(binary(program), &["certs", "check", path]).status.code(),
                Some(1),
                "{program} {path}"
            );
        }
    }
    for channel in Channel::ALL {
        let mut files = channel.files(&pki.set_for(channel));
        files.retain(|(name, _)| *name != channel.key_file());
        let (code, text) = check(program_of(channel), &[files]);
        assert_eq!(code, Some(1), "{channel:?}");
        assert!(text.contains(channel.key_file()), "{channel:?}: {text}");
    }
}

#[test]
fn what_the_running_program_refuses_fails_and_the_finding_names_file_and_remedy() {
    let pki = OpensslPki::new();
    for channel in Channel::ALL {
        let role = if channel == Channel::Defender { Role::Client } else { Role::Server };
        let mut mismatched = pki.set_for(channel);
        mismatched.key = pki.set_for(channel).key;
        let sets = [
            mismatched,
            pki.leaf(role, KeyKind::Ec, Validity::Expired),
            pki.leaf(role, KeyKind::Ec, Validity::NotYet),
        ];
        for set in sets {
            let (code, text) = check(program_of(channel), &[channel.files(&set)]);
            assert_eq!(code, Some(1), "{channel:?}: {text}");
            let named = text.contains(channel.certificate_file()) || text.contains(channel.key_file());
            assert!(named, "{channel:?}: {text}");
            assert!(!text.contains("PRIVATE"), "{text}");
        }
    }
}

#[test]
fn what_is_doubtful_is_listed_and_passes() {
    let pki = OpensslPki::new();
    let mut stranger = pki.server();
    stranger.ca = OpensslPki::new().ca.clone();
    let no_names = pki.leaf_with(KeyKind::Ec, Validity::Now, "extendedKeyUsage=serverAuth\n");
    for (what, set) in [("issued by another authority", stranger), ("no SAN", no_names)] {
        let (code, text) = check("console", &[Channel::WebSocket.files(&set)]);
        assert_eq!(code, Some(0), "{what}: {text}");
        assert!(
            text.contains("defender-server-cert.pem") || text.contains("defender-ca.pem"),
            "{what}: {text}"
        );
    }
}

#[test]
fn one_bad_channel_fails_also_beside_a_good_one() {
    let pki = OpensslPki::new();
    let mut bad = pki.server();
    bad.key = pki.server().key;
    let files = [Channel::Https.files(&pki.server()), Channel::WebSocket.files(&bad)];
    let (code, text) = check("console", &files);
    assert_eq!(code, Some(1));
    assert!(text.contains("defender-server-"), "{text}");
}
