//! Tests only: a file that opens with a map of its folder names each module that it declares, and nothing that is
//! not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_map_of_a_folder_names_each_of_its_modules_and_nothing_else() {
    let sources = sources();
    let maps = sources.iter().filter_map(|file| Map::read(file)).collect::<Vec<_>>();
    assert!(maps.len() > 20, "maps are found: {}", maps.len());
    let faults = maps.iter().flat_map(Map::faults).collect::<Vec<_>>();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The picture at the head of a file, and what the file declares.
struct Map {
    file: PathBuf,
    modules: BTreeSet<String>,
    /// All that the picture names.
    named: BTreeSet<String>,
    /// What its lines are about.
    listed: BTreeSet<String>,
}

impl Map {
    /// `None` for a file without one.
    fn read(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).expect("a source file");
        let head = text.lines().map_while(|line| line.strip_prefix("//!"));
        let picture = head.skip_while(|line| line.trim() != "```text").skip(1);
        let lines = picture.take_while(|line| line.trim() != "```").collect::<Vec<_>>();
        let named = lines.iter().flat_map(|line| line.split_whitespace()).filter_map(name).collect();
        let leading = |line: &&str| line.split_whitespace().map_while(name).collect::<Vec<_>>();
        let listed = lines.iter().flat_map(leading).collect();
        let map = Self { file: file.to_owned(), modules: modules(&text), named, listed };
        (!map.modules.is_disjoint(&map.listed)).then_some(map)
    }

    fn faults(&self) -> Vec<String> {
        let folder = match self.file.file_stem().and_then(|stem| stem.to_str()) {
            Some("lib" | "main" | "mod") => self.file.parent().expect("it is in a folder").to_owned(),
            _ => self.file.with_extension(""),
        };
        let is_there = |name: &str| folder.join(name).is_dir() || folder.join(format!("{name}.rs")).is_file();
        let missing = self.modules.difference(&self.named);
        let gone = self.listed.iter().filter(|name| *name != "mod" && !is_there(name));
        let told = missing.map(|name| format!("{}: `{name}` is not in the map", self.file.display()));
        told.chain(gone.map(|name| format!("{}: there is no `{name}`", self.file.display()))).collect()
    }
}

/// `name.rs`, `name/`: the name.
fn name(word: &str) -> Option<String> {
    let word = word.trim_end_matches([',', ':', ';']);
    let name = word.strip_suffix(".rs").or_else(|| word.strip_suffix('/'))?;
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then(|| name.to_owned())
}

/// What `text` declares for more than tests.
fn modules(text: &str) -> BTreeSet<String> {
    let lines = text.lines().collect::<Vec<_>>();
    let declared = lines.iter().enumerate().filter_map(|(at, line)| {
        let is_for_tests = at > 0 && lines[at - 1].starts_with("#[cfg(test)]");
        let rest = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
        let name = rest.strip_prefix("mod ")?.strip_suffix(';')?;
        (!is_for_tests).then(|| name.to_owned())
    });
    declared.collect()
}

fn sources() -> Vec<PathBuf> {
    let mut folders =
        ["console", "crates", "defender", "tests"].map(|name| crate::root().join(name)).to_vec();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => found.push(path),
                _ => {}
            }
        }
    }
    found
}
