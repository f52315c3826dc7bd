//! Rules of the tree that no compiler checks.

#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/packages.rs"]
mod packages;
#[path = "tidy/words.rs"]
mod words;

use std::io;
use std::path::{Path, PathBuf};

/// Lines above which a file is to be split by responsibility.
const LONGEST: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files of the tree with this ending, without what is built or fetched.
fn files(ending: &str) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "results", "gen"].contains(&name.as_str())
                {
                    open.push(path);
                }
            } else if name.ends_with(ending) {
                let text = std::fs::read_to_string(&path)?;
                let shown = path
                    .strip_prefix(root())
                    .unwrap_or(&path)
                    .display()
                    .to_string();
                found.push((shown, text));
            }
        }
    }
    Ok(found)
}

fn all_files(ending: &str) -> Vec<(String, String)> {
    let files = files(ending).unwrap_or_else(|error| panic!("read the tree: {error}"));
    assert!(!files.is_empty(), "the tree has no `*{ending}`");
    files
}

fn offenders(ending: &str, wrong: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let wrong = all_files(ending)
        .into_iter()
        .filter(|(name, text)| wrong(name, text));
    wrong.map(|(name, _)| name).collect()
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent = offenders(".rs", |_, text| !text.starts_with("//!"));
    assert_eq!(silent, [""; 0]);
}

#[test]
fn no_source_file_is_too_long() {
    let long = offenders(".rs", |_, text| text.lines().count() > LONGEST);
    assert_eq!(long, [""; 0]);
}

#[test]
fn every_package_takes_the_workspaces_lints() {
    let own = offenders("Cargo.toml", |name, text| {
        name != "Cargo.toml" && !text.contains("[lints]\nworkspace = true")
    });
    assert_eq!(own, [""; 0]);
}

#[test]
fn generated_types_stay_at_the_edge() {
    let edges = [
        "proto/",
        "coordinator/src/api/",
        "coordinator/src/client",
        "coordinator/tests/protocol.rs",
        "coordinator/tests/reading/",
        "coordinator/tests/refusals/",
        "tests/src/bin/transfers.rs",
        "tests/src/hostile.rs",
        "tests/src/simulated.rs",
        "tests/bench/src/stand.rs",
        "worker/src/session/",
        "worker/src/artifacts/",
        "worker/tests/session/",
    ];
    let inside = offenders(".rs", |name, text| {
        text.contains("pb::") && !edges.iter().any(|edge| name.starts_with(edge))
            // This file names what it looks for.
            && name != "tests/tests/tidy.rs"
    });
    assert_eq!(inside, [""; 0]);
}
