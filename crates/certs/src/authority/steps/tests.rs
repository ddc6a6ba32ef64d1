//! Tests of `steps.rs` and `ring.rs` : stages, crashes at any moment, and who is trusted by whom.

use std::fs;
use std::path::Path;

use super::*;
use crate::stranger::Folder;
use crate::{Channel, Holder};

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

const LIFE: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

fn made() -> (Folder, Authority) {
    let folder = Folder::new();
    let authority = open(&folder.at("certificates"));
    (folder, authority)
}

fn open(dir: &Path) -> Authority {
    Authority::open_or_create(dir, now()).expect("opens")
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("there").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// What a client of `channel` is shown, in files that openssl reads.
fn serve(folder: &Folder, authority: &Authority, channel: Channel) {
    let names = ["localhost".to_owned()];
    let material = authority.server_material(channel, &names, now()).expect("issued");
    folder.put("served.pem", material.chain_pem());
    assert!(material.unfit(now()).is_none(), "{:?}", material.unfit(now()));
}

/// Whether openssl, which trusts what `ca` holds, verifies what is served.
fn is_verified(folder: &Folder, ca: &str) -> bool {
    folder.put("trusted.pem", ca);
    let script =
        "openssl verify -x509_strict -purpose sslserver -CAfile trusted.pem -untrusted served.pem served.pem";
    std::process::Command::new("sh")
        .args(["-c", script])
        .current_dir(folder.path())
        .output()
        .expect("a shell")
        .status
        .success()
}

#[test]
fn three_generations_are_verified_by_whoever_trusts_any_of_them_and_openssl_agrees() {
    let (folder, authority) = made();
    let mut trusted = vec![authority.ca_pem()];
    for generation in 1..=3 {
        authority.begin(now(), false).expect("begins");
        let present = trusted.last().expect("one").clone();
        serve(&folder, &authority, Channel::ConsoleDefender);
        assert!(is_verified(&folder, &present), "trust: the present one still signs");
        assert_eq!(authority.trusted().len(), 2);
        authority.sign(now()).expect("signs");
        let next = authority.ca_pem().replace(present.trim(), "").trim().to_owned();
        serve(&folder, &authority, Channel::ConsoleDefender);
        for ca in trusted.iter().chain([&next]) {
            assert!(is_verified(&folder, ca), "sign, generation {generation}");
        }
        serve(&folder, &authority, Channel::ConsoleHttps);
        assert!(is_verified(&folder, &present), "who pinned the present CA for HTTPS keeps it");
        authority.retire().expect("retires");
        assert_eq!(authority.ca_pem().trim(), next);
        serve(&folder, &authority, Channel::ConsoleDefender);
        trusted.push(next.clone());
        for ca in &trusted {
            assert!(is_verified(&folder, ca), "retired, generation {generation}");
        }
        serve(&folder, &authority, Channel::ConsoleHttps);
        assert!(is_verified(&folder, &next) && !is_verified(&folder, &present));
        assert_eq!(open(&folder.at("certificates")).ca_pem(), authority.ca_pem());
    }
}

#[test]
fn each_stage_goes_back_to_the_one_before_and_nowhere_else() {
    let (folder, authority) = made();
    let before = authority.ca_pem();
    let stage = |authority: &Authority| authority.phase().map(|phase| phase.stage);
    authority.roll_back(now()).expect_err("nothing to go back from");
    authority.sign(now()).expect_err("not begun");
    authority.retire().expect_err("not begun");
    authority.begin(now(), true).expect("begins");
    authority.begin(now(), true).expect_err("begun");
    authority.retire().expect_err("nobody has moved");
    assert!(authority.phase().is_some_and(|phase| phase.automatic));
    authority.sign(now()).expect("signs");
    assert_eq!(stage(&open(&folder.at("certificates"))), Some(Stage::Sign));
    authority.roll_back(now()).expect("back");
    assert_eq!(stage(&authority), Some(Stage::Trust));
    authority.roll_back(now()).expect("back");
    assert_eq!((stage(&authority), authority.ca_pem()), (None, before.clone()));
    let again = open(&folder.at("certificates"));
    assert_eq!((stage(&again), again.ca_pem()), (None, before));
}

/// The files after each write and removal of `act`, as a crash would leave them: seen by a directory that is watched
/// between the system calls is not to be had, so every mix of old and new files in the order of the steps is made.
fn crashes(dir: &Path, scratch: &Path, act: impl FnOnce(&Authority)) -> Vec<std::path::PathBuf> {
    let authority = open(dir);
    let old = scratch.join("old");
    copy(dir, &old);
    act(&authority);
    let changed: Vec<_> =
        ORDER.iter().filter(|name| fs::read(old.join(name)).ok() != fs::read(dir.join(name)).ok()).collect();
    let mut states = Vec::new();
    for done in 0..=changed.len() {
        let state = scratch.join(format!("state-{done}"));
        copy(&old, &state);
        for name in &changed[..done] {
            match fs::read(dir.join(name)) {
                Ok(content) => fs::write(state.join(name), content).expect("written"),
                Err(_) => fs::remove_file(state.join(name)).expect("removed"),
            }
        }
        states.push(state);
    }
    states
}

/// In the order in which the steps of `ring.rs` touch them.
const ORDER: [&str; 7] =
    ["next-ca-key.pem", "next-ca.pem", "retired.pem", "crosses.pem", "ca.pem", "ca-key.pem", "rotation"];

#[test]
fn a_crash_at_any_step_leaves_the_stage_before_or_after_it() {
    let (folder, authority) = made();
    let dir = folder.at("certificates");
    drop(authority);
    let begun =
        crashes(&dir, &folder.at("begin"), |authority| authority.begin(now(), false).expect("begins"));
    assert!(begun.len() > 3);
    for (at, state) in begun.iter().enumerate() {
        let phase = open(state).phase();
        assert_eq!(phase.is_some(), at + 1 == begun.len(), "{at}");
        if phase.is_none() {
            open(state).begin(now(), false).expect("begins again");
        }
    }
    open(&dir).sign(now()).expect("signs");
    // What is to be finished after the commit of a retirement: next is still there, and some of the rest is done.
    let before = folder.at("before");
    copy(&dir, &before);
    let retired = folder.at("retired");
    copy(&dir, &retired);
    open(&retired).retire().expect("retires");
    let wanted = open(&retired).ca_pem();
    for done in 0..5 {
        let state = folder.at(&format!("retire-{done}"));
        copy(&before, &state);
        fs::write(state.join("rotation"), "retire\n").expect("committed");
        for name in &["retired.pem", "crosses.pem", "ca.pem", "ca-key.pem"][..done] {
            fs::copy(retired.join(name), state.join(name)).expect("copied");
        }
        let authority = open(&state);
        assert_eq!((authority.phase(), authority.ca_pem()), (None, wanted.clone()), "{done}");
        let names = ["localhost".to_owned()];
        authority.server_material(Channel::ConsoleDefender, &names, now()).expect("issued");
        for name in ["retired.pem", "crosses.pem"] {
            assert_eq!(fs::read(state.join(name)).ok(), fs::read(retired.join(name)).ok(), "{name}");
        }
        assert!(!state.join("next-ca.pem").exists() && !state.join("rotation").exists());
    }
}

#[test]
fn clients_are_signed_by_the_signer_of_the_stage() {
    let (_folder, authority) = made();
    let issue = |authority: &Authority| {
        let bundle =
            authority.issue_client(Holder::Registration("r-1"), "host", LIFE, now()).expect("issued");
        let block = crate::pem::decode(bundle.cert_pem.as_bytes()).expect("PEM").remove(0);
        crate::certificate::Certificate::parse(&block.der).expect("a certificate").facts().issuer.clone()
    };
    let first = issue(&authority);
    authority.begin(now(), false).expect("begins");
    assert_eq!(issue(&authority), first);
    authority.sign(now()).expect("signs");
    assert_ne!(issue(&authority), first);
    authority.roll_back(now()).expect("back");
    assert_eq!(issue(&authority), first);
}
