//! Tests of `disk.rs`: what is no regular file never blocks, and our own files appear whole.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;
use crate::stranger::Folder;

fn cause(folder: &Folder) -> String {
    folder
        .refusal(Channel::ConsoleHttps)
        .strip_prefix("error reading X509 key pair (DIR/console-cert.pem, DIR/console-key.pem): ")
        .expect("a fault of the pair")
        .to_owned()
}

#[test]
fn whatever_is_no_regular_file_is_unusable_and_never_waited_on() {
    let samples = [
        ("mkdir console-cert.pem", "read DIR/console-cert.pem: is a directory, not a regular file"),
        ("mkfifo console-cert.pem", "read DIR/console-cert.pem: is a named pipe (FIFO), not a regular file"),
        ("ln -s /dev/zero console-cert.pem", "read DIR/console-cert.pem: is a device, not a regular file"),
        (
            "ln -s console-cert.pem console-cert.pem",
            "open DIR/console-cert.pem: too many levels of symbolic links",
        ),
        (
            "ln -s a console-cert.pem; ln -s console-cert.pem a",
            "open DIR/console-cert.pem: too many levels of symbolic links",
        ),
        ("truncate -s 1048577 console-cert.pem", "read DIR/console-cert.pem: larger than 1 MiB"),
        ("ln -s /proc/self/mem console-cert.pem", "read DIR/console-cert.pem"),
    ];
    for (script, expected) in samples {
        let (folder, _) = Folder::good();
        folder.shell(&format!("rm console-cert.pem; {script}"));
        if script.contains("/proc") {
            // Whatever it is: it must not hang.
            folder.refusal(Channel::ConsoleHttps);
        } else {
            assert_eq!(cause(&folder), expected, "{script}");
        }
    }
}

#[test]
fn a_socket_is_unusable() {
    let (folder, _) = Folder::good();
    fs::remove_file(folder.at("console-key.pem")).expect("there");
    let _socket = UnixListener::bind(folder.at("console-key.pem")).expect("a socket");
    assert_eq!(cause(&folder), "read DIR/console-key.pem: is a socket, not a regular file");
}

#[test]
fn a_file_of_a_megabyte_is_read_and_one_byte_more_is_not() {
    let folder = Folder::new();
    folder.put("x", vec![b'x'; MAX_FILE_BYTES]);
    assert!(
        matches!(read_file(&folder.at("x")), FileState::Content { bytes, mode: 0o600 } if bytes.len() == MAX_FILE_BYTES)
    );
    folder.put("x", vec![b'x'; MAX_FILE_BYTES + 1]);
    assert!(matches!(read_file(&folder.at("x")), FileState::Unusable(Fault::TooBig { .. })));
}

#[test]
fn permission_denied_is_said_in_the_system_s_words() {
    let error = io::Error::from(Errno::EACCES);
    assert_eq!(reason(&error), "permission denied");
    let fault = Fault::Open { path: "/x/console-key.pem".into(), reason: reason(&error) };
    assert_eq!(fault.to_string(), "open /x/console-key.pem: permission denied");
    if !nix::unistd::geteuid().is_root() {
        let (folder, _) = Folder::good();
        fs::set_permissions(folder.at("console-key.pem"), Permissions::from_mode(0o000)).expect("ours");
        assert_eq!(cause(&folder), "open DIR/console-key.pem: permission denied");
    }
}

#[test]
fn absent_files_and_links_to_nothing_are_missing_however_unusable_the_others_are() {
    let (folder, _) = Folder::good();
    folder.shell("rm console-cert.pem console-key.pem; mkfifo console-cert.pem");
    let links = ["/nowhere/x", "nowhere", "defender-ca.pem/x", "/nowhere/../x"];
    for target in links {
        symlink(target, folder.at("console-key.pem")).expect("a link");
        let found = RawMaterial::read(Channel::ConsoleHttps, folder.path());
        assert!(matches!(found, Ok(Found::Missing(names)) if names == ["console-key.pem"]), "{target}");
        fs::remove_file(folder.at("console-key.pem")).expect("the link");
    }
    let nowhere = RawMaterial::read(Channel::Defender, &folder.at("nowhere"));
    assert!(matches!(nowhere, Ok(Found::Missing(names)) if names.len() == 3));
}

#[test]
fn a_look_and_the_set_made_from_it_have_one_identity_that_modes_and_times_do_not_change() {
    let (folder, _) = Folder::good();
    for channel in Channel::ALL {
        let look = Look::take(channel, folder.path());
        let seen = look.fingerprint();
        let Ok(Found::Complete(raw)) = look.into_found() else { panic!("a complete set") };
        assert_eq!(raw.fingerprint(), seen);
        folder.shell("touch -d 2001-01-01 *; chmod 644 *");
        assert_eq!(Look::take(channel, folder.path()).fingerprint(), seen);
    }
}

#[test]
fn our_own_files_are_replaced_whole_and_closed_to_others() {
    let folder = Folder::new();
    let path = folder.at("x.pem");
    fs::write(unfinished(&path), "left over by a killed process").expect("a write");
    for content in ["one", "two"] {
        replace(&path, content.as_bytes()).expect("a write");
        assert_eq!(folder.text("x.pem"), content);
    }
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
}
