//! Writes the bases for kustomize into `deploy/kubernetes/`; `cargo xtask kustomize` runs it.
#![expect(clippy::print_stdout, reason = "a developer's command talks to its user")]

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes");
    for (path, text) in manifests::kustomize::files()? {
        std::fs::write(folder.join(&path), text.as_bytes())?;
        println!("wrote deploy/kubernetes/{}", path.display());
    }
    Ok(())
}
