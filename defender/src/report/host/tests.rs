//! Tests of `host.rs`.

use testpki::{Ca, Leaf, Writing, write_defender};

use super::*;

#[test]
fn the_facts_of_this_host_are_found_and_stay_the_same() {
    let source = Source {
        hostname: None,
        cluster: None,
        custom_dir: PathBuf::from("/nonexistent"),
        custom_watched: false,
        sets: Sets::default(),
    };
    let facts = look(&source);
    assert_eq!(facts, look(&source));
    assert!(facts.memory_bytes.is_some_and(|bytes| bytes > 1024 * 1024));
    assert!(facts.cpus.is_some_and(|cpus| cpus > 0));
    assert!(facts.boot_time.is_some_and(|time| time < OffsetDateTime::now_utc()));
    assert_eq!(facts.kernel, fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux").trim());
    let json = serde_json::to_value(&facts).expect("JSON");
    assert_eq!(json["custom_certificates"]["problem"], "the directory does not exist");
    assert_eq!(json["custom_certificates"]["files"]["defender-ca.pem"], "absent");
    assert!(json["boot_time"].as_str().is_some_and(|time| time.ends_with('Z')), "{json}");
}

#[test]
fn os_release_is_read_in_all_its_quoting() {
    let release = parse_os_release(
        "# comment\nPRETTY_NAME=\"A \\\"B\\\" \\$1\"\nID=debian\nNAME='C D'\nEMPTY=\nVERSION_ID=\"12\"\njunk\n",
    );
    assert_eq!(release["PRETTY_NAME"], "A \"B\" $1");
    assert_eq!((&*release["ID"], &*release["NAME"], &*release["VERSION_ID"]), ("debian", "C D", "12"));
    assert_eq!(release.len(), 4);
}

#[test]
fn proc_files_of_another_shape_are_unknown() {
    assert_eq!(memory_bytes("MemTotal:       16 kB\n"), Some(16 * 1024));
    assert_eq!(
        boot_time("cpu 1\nbtime 1700000000\n").map(OffsetDateTime::unix_timestamp),
        Some(1_700_000_000)
    );
    for text in ["", "MemTotal:", "MemTotal: x kB", "btime", "btime x", "btime 99999999999999999999"] {
        assert_eq!((memory_bytes(text), boot_time(text)), (None, None), "{text}");
    }
}

#[test]
fn container_runtimes_are_told_by_their_sockets() {
    let root = tempfile::tempdir().expect("directory");
    assert_eq!(container_runtimes(root.path()), [""; 0]);
    for socket in ["run/docker.sock", "run/k3s/containerd/containerd.sock"] {
        let path = root.path().join(socket);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, "").expect("written");
    }
    assert_eq!(container_runtimes(root.path()), ["containerd", "docker"]);
}

#[test]
fn the_state_of_the_custom_directory_says_what_would_come_of_it() {
    let dir = tempfile::tempdir().expect("directory");
    let now = OffsetDateTime::now_utc();
    let ca = Ca::new("custom");
    let state = custom_certificates(dir.path(), true, now);
    assert!(state.problem.is_some_and(|problem| problem.starts_with("missing: defender-ca.pem, ")));

    write_defender(dir.path(), &ca, &ca.issue(&Leaf::client("defender")), Writing::Atomic);
    let state = custom_certificates(dir.path(), true, now);
    assert!(state.would_load && state.problem.is_none() && state.remedy.is_none());
    assert!(state.files.values().all(|presence| *presence == Presence::Present));

    write_defender(dir.path(), &ca, &ca.issue(&Leaf::client("defender").expired()), Writing::Atomic);
    let state = custom_certificates(dir.path(), true, now);
    assert!(!state.would_load && state.remedy.is_some());
    assert!(state.problem.is_some_and(|problem| problem.contains("expired")));

    fs::write(dir.path().join("defender-client-key.pem"), "junk").expect("written");
    let state = custom_certificates(dir.path(), true, now);
    assert!(state.problem.is_some_and(|problem| problem.contains("defender-client-key.pem")));
}
