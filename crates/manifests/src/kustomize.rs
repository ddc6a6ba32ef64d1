//! The bases for kustomize in `deploy/kubernetes/`: what the exports write without a flag, and lists of them.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::flags::{ConsoleFlags, DefenderFlags};
use crate::yaml::YamlError;
use crate::{Console, Defender};

/// Each file, relative to `deploy/kubernetes/`, and its content.
///
/// # Errors
/// When an object cannot be written.
pub fn files() -> Result<Vec<(PathBuf, Zeroizing<String>)>, YamlError> {
    let mut files = Vec::new();
    if let Ok(console) = Console::parse(&ConsoleFlags::default()) {
        files.push((PathBuf::from("console/twistlock_console.yaml"), console.write()?));
    }
    let flags =
        DefenderFlags { cluster_address: Some("twistlock-console".to_owned()), ..DefenderFlags::default() };
    if let Ok(defender) = Defender::parse(&flags) {
        files.push((PathBuf::from("defender/defender.yaml"), defender.base()?.write(DEFENDER_HEAD)?));
    }
    Ok(files)
}

const DEFENDER_HEAD: &str = "Garrison Defenders on Kubernetes, a base for kustomize: as `defender export kubernetes` writes it, without the Secret
twistlock-secrets, which holds a key. An overlay makes it, as in ../example.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bases_are_what_the_exports_write() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes");
        let files = files().expect("YAML");
        assert_eq!(files.len(), 2);
        for (path, text) in files {
            let kept = std::fs::read_to_string(folder.join(&path)).unwrap_or_default();
            assert!(kept == *text, "{} is stale: run `cargo xtask kustomize`", path.display());
        }
    }
}
