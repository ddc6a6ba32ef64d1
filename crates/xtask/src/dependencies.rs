//! Which crates, sources and licences may be in the tree. Short on purpose: it asks cargo and compares.

use std::fs;

/// What is wrong with the dependencies, one line a finding.
///
/// # Errors
/// When cargo cannot tell, for example because `Cargo.lock` is not up to date.
pub(crate) fn findings() -> Result<Vec<String>, String> {
    let arguments = ["tree", "--locked", "--workspace", "--target=all", "--edges=all", "--prefix=none"];
    let output = crate::cargo(&arguments)
        .arg("--format={p}|{l}|")
        .output()
        .map_err(|error| format!("running cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let lock_file = crate::root().join("Cargo.lock");
    let lock = fs::read_to_string(&lock_file)
        .map_err(|error| format!("reading {}: {error}", lock_file.display()))?;
    let mut findings = in_tree(&String::from_utf8_lossy(&output.stdout));
    findings.extend(in_lock(&lock));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// Crates that must not be there, and licences that are not on the list.
fn in_tree(tree: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for line in tree.lines() {
        let mut parts = line.split('|');
        let (Some(package), Some(licence)) = (parts.next(), parts.next()) else { continue };
        let name = package.split(' ').next().unwrap_or_default();
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            findings.push(format!("{name} is in the tree: {why}"));
        }
        if !is_allowed(licence) {
            findings.push(format!("{package} has a licence that is not on the list: `{licence}`"));
        }
    }
    findings
}

/// Packages from anywhere but the default registry.
fn in_lock(lock: &str) -> Vec<String> {
    lock.lines()
        .filter_map(|line| line.strip_prefix("source = "))
        .filter(|source| *source != REGISTRY)
        .map(|source| format!("Cargo.lock has a source that is not the default registry: {source}"))
        .collect()
}

/// Whether an SPDX expression can be met with licences of the list. `AND` binds tighter than `OR`; `/` is the
/// old way to write `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    let allowed = any(&mut tokens);
    allowed && tokens.peek().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(tokens: &mut Tokens<'_>) -> bool {
    let mut allowed = all(tokens);
    while tokens.next_if_eq(&"OR").is_some() {
        allowed |= all(tokens);
    }
    allowed
}

fn all(tokens: &mut Tokens<'_>) -> bool {
    let mut allowed = one(tokens);
    while tokens.next_if_eq(&"AND").is_some() {
        allowed &= one(tokens);
    }
    allowed
}

fn one(tokens: &mut Tokens<'_>) -> bool {
    if tokens.next_if_eq(&"(").is_some() {
        let allowed = any(tokens);
        return tokens.next_if_eq(&")").is_some() && allowed;
    }
    let allowed = tokens.next().is_some_and(|licence| LICENCES.contains(&licence));
    match tokens.next_if_eq(&"WITH") {
        Some(_) => tokens.next() == Some("LLVM-exception") && allowed,
        None => allowed,
    }
}

/// Crates that would bring a second TLS or cryptography library.
const BANNED: [(&str, &str); 4] = [
    ("native-tls", "TLS is rustls alone"),
    ("openssl", "TLS is rustls alone"),
    ("openssl-sys", "TLS is rustls alone"),
    ("ring", "the one cryptography library is aws-lc-rs"),
];

/// Licences that need no more than a notice.
const LICENCES: [&str; 11] = [
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

const REGISTRY: &str = "\"registry+https://github.com/rust-lang/crates.io-index\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        for (expression, allowed) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0-only OR MIT", true),
            ("GPL-3.0-only AND MIT", false),
            ("MIT OR GPL-3.0-only AND MIT", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-2.0-only", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0-only", true),
            ("Apache-2.0 WITH other-exception", false),
            ("", false),
            ("MIT MIT", false),
            ("(MIT", false),
        ] {
            assert_eq!(is_allowed(expression), allowed, "{expression}");
        }
    }

    #[test]
    fn a_banned_crate_a_foreign_source_and_an_unknown_licence_are_found() {
        let tree = "console v0.1.0 (/console)|MIT OR Apache-2.0|\nring v0.17.14|Apache-2.0 AND ISC| (*)\nx v1.0.0|GPL-3.0-only|\n";
        let findings = in_tree(tree);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings.iter().any(|finding| finding.starts_with("ring is in the tree")));
        assert!(findings.iter().any(|finding| finding.starts_with("x v1.0.0 has a licence")));
        let lock = format!("source = {REGISTRY}\nsource = \"git+https://example.com/x\"\n");
        assert_eq!(in_lock(&lock).len(), 1);
    }
}
