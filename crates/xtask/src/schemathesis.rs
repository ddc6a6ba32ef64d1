//! `schemathesis` from PyPI, which calls the API in all the ways that its description allows, and in others. It lives in
//! an environment of its own below `target/`.

use crate::test::{answers, command, install_missing, run};

/// Installs it, at the version that the tests were written with.
pub(crate) fn install() -> Result<(), String> {
    let folder = crate::root().join("target/schemathesis");
    let program = |name: &str| folder.join("bin").join(name).to_string_lossy().into_owned();
    let mut installed = command(&program("pip"), &["show", "schemathesis"]);
    if installed.output().is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(VERSION)) {
        return Ok(());
    }
    // Debian's Python makes no environments without this package.
    if !answers(&mut command("python3", &["-c", "import ensurepip, venv"])) {
        install_missing("python3-venv", "", "python3-venv")?;
    }
    println!("installing schemathesis below target/");
    run(command("python3", &["-m", "venv", &folder.to_string_lossy()]))?;
    run(command(&program("pip"), &["install", "--quiet", &format!("schemathesis=={VERSION}")]))
}

const VERSION: &str = "4.32.5";
