//! A Debian of its own below `target/`, run by systemd: the host that the tests of services install themselves on.

use nix::unistd::Uid;

use crate::test::{command, install_missing, run};

/// Unpacks it unless it is there, whole.
pub(crate) fn install() -> Result<(), String> {
    let folder = crate::root().join("target/debian");
    let (complete, place) = (folder.join("complete"), folder.join("root"));
    let wanted = format!("{RELEASE} {PACKAGES}");
    if std::fs::read_to_string(&complete).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    install_missing("debootstrap", "--version", "debootstrap")?;
    if !Uid::effective().is_root() {
        return Err("a Debian for the tests of services is missing: run this command once as root".to_owned());
    }
    println!("unpacking a Debian for the tests of services below target/");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let include = format!("--include={PACKAGES}");
    let place = place.to_string_lossy();
    run(command("debootstrap", &["--variant=minbase", &include, RELEASE, &place]))?;
    std::fs::write(&complete, wanted).map_err(|error| format!("{}: {error}", complete.display()))
}

const RELEASE: &str = "bookworm";
/// Beside what every Debian has.
const PACKAGES: &str = "ca-certificates,curl,dbus,openssl,systemd,systemd-sysv";
