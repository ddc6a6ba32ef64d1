//! What the browser tests need, and `cargo xtask screenshots`: pictures of every page for the documentation.

use std::process::ExitCode;

use crate::test::{command, install_missing, run};

/// Installs Chromium, and axe-core below `target/`.
pub(crate) fn install_tools() -> Result<(), String> {
    install_missing("chromium", "--version", "chromium")?;
    let package = crate::root().join("target/axe/node_modules/axe-core/package.json");
    let installed = std::fs::read_to_string(package).unwrap_or_default();
    if installed.contains(&format!("\"version\": \"{AXE}\"")) {
        return Ok(());
    }
    install_missing("npm", "--version", "npm")?;
    println!("installing axe-core below target/");
    let axe = format!("axe-core@{AXE}");
    let options = ["--prefix", "target/axe", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"];
    let mut npm = command("npm", &["install"]);
    npm.args(options).arg(axe);
    // npm needs the folder.
    std::fs::create_dir_all(crate::root().join("target/axe"))
        .map_err(|error| format!("target/axe: {error}"))?;
    run(npm)
}

/// Writes a picture of every page to `docs/images/`.
pub(crate) fn screenshots(arguments: &[String]) -> ExitCode {
    if !arguments.is_empty() {
        println!("{USAGE}");
        let asked = arguments.iter().all(|argument| argument == "-h" || argument == "--help");
        return if asked { ExitCode::SUCCESS } else { crate::wrong_usage() };
    }
    let mut tests = crate::cargo(&["test", "--release", "-p", "system-tests", "--test", "system", "--"]);
    tests.args(["browser::looks::pictures", "browser::looks::the_first_run"]);
    tests.env("GARRISON_SCREENSHOTS", crate::root().join("docs/images"));
    let done = install_tools().and_then(|()| if crate::build() { run(tests) } else { Err(String::new()) });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// The version whose rules the pages are held to.
const AXE: &str = "4.11.1";

const USAGE: &str = "\
Usage: cargo xtask screenshots

Builds, starts a Console with a few Defenders, and writes a picture of every page to docs/images/.";
