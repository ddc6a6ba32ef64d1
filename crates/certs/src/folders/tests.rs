//! Tests of `folders.rs`: which folders are watched, and which events count.

use std::os::unix::fs::symlink;

use super::*;
use crate::overhear::Overheard;
use crate::stranger::{Folder, Nobody};

/// Folders, relative to `folder`, with the names that matter there, or `*`.
fn survey(folder: &Folder, dir: &Path) -> Vec<String> {
    let real = fs::canonicalize(folder.path()).expect("there");
    let interests = Interests::survey(&[dir.to_owned()]);
    let below = interests.0.iter().filter_map(|(path, interest)| {
        let path = path.strip_prefix(&real).ok()?.display().to_string();
        Some(match interest {
            Interest::All => format!("{path}: *"),
            Interest::Names(names) => {
                let names = names.iter().map(|name| name.to_string_lossy()).collect::<Vec<_>>();
                format!("{path}: {}", names.join(" "))
            }
        })
    });
    below.collect()
}

#[test]
fn watches_the_directory_and_its_own_name_in_the_folder_above() {
    let folder = Folder::new();
    folder.shell("mkdir certs; touch certs/console-cert.pem");
    assert_eq!(survey(&folder, &folder.at("certs")), [": certs", "certs: *"]);
}

#[test]
fn watches_for_a_directory_that_is_not_there() {
    let folder = Folder::new();
    assert_eq!(survey(&folder, &folder.at("a/b")), [": a"]);
    folder.shell("mkdir a");
    assert_eq!(survey(&folder, &folder.at("a/b")), [": a", "a: b"].map(str::to_owned)[1..]);
}

#[test]
fn follows_the_links_of_a_kubernetes_volume() {
    let folder = Folder::new();
    folder.shell(
        "mkdir -p certs/..2026_1; touch certs/..2026_1/console-cert.pem; ln -s ..2026_1 certs/..data
         ln -s ..data/console-cert.pem certs/console-cert.pem",
    );
    let expected = [": certs", "certs: *", "certs/..2026_1: console-cert.pem"];
    assert_eq!(survey(&folder, &folder.at("certs")), expected);
}

#[test]
fn follows_chains_to_other_places_and_stops_at_loops_and_gaps() {
    let folder = Folder::new();
    folder.shell(
        "mkdir certs live archive; touch archive/key1.pem; ln -s ../archive/key1.pem live/key.pem
         ln -s ../live/key.pem certs/console-key.pem; ln -s \"$PWD/live/gone.pem\" certs/console-cert.pem
         ln -s defender-ca.pem certs/defender-ca.pem; ln -s certs link",
    );
    let expected = [": certs link", "archive: key1.pem", "certs: *", "live: gone.pem key.pem"];
    assert_eq!(survey(&folder, &folder.at("link")), expected);
}

/// Waits until as many events were counted as `deeds` raise, and returns the count.
fn counted(folders: &Folders, at_least: u64) -> u64 {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while *folders.events().borrow() < at_least {
        assert!(std::time::Instant::now() < end, "no event");
        std::thread::yield_now();
    }
    *folders.events().borrow()
}

#[test]
fn reading_is_no_event_and_neither_are_neighbours_of_the_directory() {
    let folder = Folder::new();
    folder.shell("mkdir certs; echo x > certs/console-cert.pem");
    let folders = Folders::new(&[&folder.at("certs")], Duration::from_secs(10));
    folders.arm();
    assert!(!folders.arm(), "armed already");
    for _ in 0..10 {
        assert_eq!(folder.text("certs/console-cert.pem"), "x\n");
        folder.put("neighbour", "changes");
    }
    // One event, and the others are in the queue before it.
    folder.shell("mkdir certs/mark");
    assert_eq!(counted(&folders, 1), 1);
}

#[test]
fn every_way_of_changing_a_file_is_an_event() {
    let deeds = [
        "echo y > certs/console-cert.pem",
        "echo y > certs/new; mv certs/new certs/console-cert.pem",
        "rm certs/console-cert.pem",
        "chmod 600 certs/console-cert.pem",
        "ln -s elsewhere certs/link",
        "echo y > target/x",
        "echo y > target/new; mv target/new target/x",
        "mv certs away",
        "rm -r certs",
        "mv target away",
    ];
    for deed in deeds {
        let folder = Folder::new();
        folder.shell("mkdir certs target; echo x > certs/console-cert.pem; echo x > target/x; ln -s ../target/x certs/console-key.pem");
        let folders = Folders::new(&[&folder.at("certs")], Duration::from_secs(10));
        folders.arm();
        folder.shell(deed);
        counted(&folders, 1);
    }
}

/// Whether what happens in `certs` is counted. The deed before has raised a few events, and each of them leads to
/// an `arm` in the programs; so many more must come that they cannot all be the deed's.
fn prove_watched(folder: &Folder, folders: &Folders) {
    const MARKS: u64 = 40;
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while std::time::Instant::now() < end {
        folders.arm();
        let before = *folders.events().borrow();
        folder.shell("for n in 0 1 2 3 4 5 6 7 8 9; do mkdir certs/mark; rmdir certs/mark; mkdir certs/mark; rmdir certs/mark; done");
        let retry = std::time::Instant::now() + Duration::from_secs(1);
        while std::time::Instant::now() < retry {
            if *folders.events().borrow() >= before + MARKS {
                return;
            }
            std::thread::yield_now();
        }
    }
    panic!("certs is not watched");
}

#[test]
fn a_directory_that_was_replaced_is_watched_again() {
    let folder = Folder::new();
    folder.shell("mkdir certs");
    let folders = Folders::new(&[&folder.at("certs")], Duration::from_secs(10));
    folders.arm();
    for deed in
        ["mv certs away1; mkdir certs", "rmdir certs; mkdir certs", "mkdir new; mv certs away2; mv new certs"]
    {
        folder.shell(deed);
        prove_watched(&folder, &folders);
    }
    folder.shell("rmdir certs");
    assert!(!folders.arm(), "there is nothing to watch");
    symlink(folder.at("away1"), folder.at("certs")).expect("a link");
    assert!(folders.arm());
}

#[test]
fn without_inotify_there_is_one_warning() {
    let heard = Overheard::listen();
    let mut armed = Armed::default();
    let error = notify::Error::new(ErrorKind::MaxFilesWatch);
    armed.warn(&error, Duration::from_secs(10));
    armed.warn(&error, Duration::from_secs(10));
    let expected =
        "WARN Custom certificates cannot be watched for file events, changes are found by polling every 10s";
    assert_eq!(heard.take(), [expected]);
}

#[test]
fn an_overflowing_queue_counts_as_an_event() {
    let event = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
    assert!(Interests::default().concerns(&event));
    let elsewhere = Event::new(EventKind::Any).add_path(PathBuf::from("/elsewhere"));
    assert!(!Interests::default().concerns(&elsewhere));
}

#[test]
fn a_directory_that_may_not_be_entered_or_read_is_told_once_until_it_may() {
    let folder = Folder::new();
    folder.shell("chmod 755 .; mkdir certs; chmod 700 certs");
    if !nix::unistd::geteuid().is_root() {
        folder.shell("chmod 000 certs");
    }
    let certs = folder.at("certs");
    let heard = Overheard::listen();
    let lines = || heard.take().iter().map(|line| folder.relative(line)).collect::<Vec<_>>();
    let poll = Duration::from_secs(10);
    let folders = {
        let _nobody = Nobody::new();
        let folders = Folders::new(&[&certs], poll);
        folders.arm();
        folders.arm();
        folders
    };
    let closed = "WARN Certificates directory cannot be read, changes in it go unnoticed: DIR/certs: permission denied";
    assert_eq!(lines(), [closed]);
    folder.shell("chmod 711 certs");
    if !nix::unistd::geteuid().is_root() {
        folder.shell("chmod 111 certs");
    }
    let unwatched = "WARN Custom certificates cannot be watched for file events, changes are found by polling every 10s: DIR/certs: permission denied";
    {
        let _nobody = Nobody::new();
        folders.arm();
        folders.arm();
    }
    assert_eq!(lines(), [unwatched]);
    folder.shell("chmod 755 certs");
    assert!(folders.arm(), "a new watch");
    assert_eq!(lines(), Vec::<String>::new());
    assert!(readable(&certs).contains("may read"));
}
