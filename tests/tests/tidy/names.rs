//! What a source file names: words in its code, and paths that it imports.

/// A file without the tests at its end.
pub(crate) fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// Whether code names something, comments left out: as a word or a path that stands
/// there, or by an import of it, of a part of it or of all that it is in.
pub(crate) fn names(code: &str, word: &str) -> bool {
    let code = without_comments(code);
    stands_in(&code, word) || imports(&code).iter().any(|path| brings(path, word))
}

/// Whether importing `path` makes `word` known: `std::fs::read`, `std::fs` and `std::*`
/// all bring `std::fs`.
fn brings(path: &str, word: &str) -> bool {
    let beyond = path.strip_prefix(word);
    let all_of = path.strip_suffix("::*");
    beyond.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        || all_of.is_some_and(|place| {
            word.strip_prefix(place)
                .is_some_and(|rest| rest.starts_with("::"))
        })
}

fn without_comments(code: &str) -> String {
    let lines = code.lines();
    let lines = lines.map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

fn stands_in(code: &str, word: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        !before.ends_with(part) && !after.starts_with(part)
    })
}

/// The paths that all `use` items bring in, each written out.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for item in code.split(';') {
        let start = item.rfind("use ").filter(|at| {
            let before = item[..*at].trim_end_matches(' ');
            before.is_empty() || before.ends_with(['\n', ')']) || before.ends_with("pub")
        });
        if let Some(at) = start {
            let tree: String = item[at + "use ".len()..].split('\n').collect();
            expand("", &tree, &mut found);
        }
    }
    found
}

/// Writes out one tree of imports after a `prefix`.
fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((before, group)) = tree.split_once('{') else {
        // What it is called here does not matter.
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        let path = path.strip_suffix("::self").unwrap_or(path);
        let path = match path {
            "self" => prefix.trim_end_matches("::").to_owned(),
            path => format!("{prefix}{path}"),
        };
        if !path.is_empty() {
            found.push(path.trim_start_matches("::").to_owned());
        }
        return;
    };
    let prefix = format!("{prefix}{}", before.trim());
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    let (mut depth, mut begin) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &group[begin..at], found);
                begin = at + 1;
            }
            _ => {}
        }
    }
    expand(&prefix, &group[begin..], found);
}

#[test]
fn every_way_to_name_a_module_is_seen() {
    for code in [
        "use std::fs;",
        "use std::fs::File;",
        "use std::fs as files;",
        "use std::{fs, io};",
        "use std::{io, fs::{self, File}};",
        "use std::{\n    io::{Read, Write},\n    fs,\n};",
        "use std::{fs as files};",
        "pub(crate) use std::{fs};",
        "use ::std::{fs};",
        "use std::*;",
        "fn a() { std::fs::read(path) }",
        "use serde::Serialize;\n\n#[cfg(unix)]\nuse std::{fs};",
    ] {
        assert!(names(code, "std::fs"), "{code}");
    }
    for code in [
        "use std::fmt;",
        "use std::{io, fmt};",
        "use other::{fs, std};",
        "// use std::{fs};",
        "use std::fsx;",
        "let because = a; // std::fs",
    ] {
        assert!(!names(code, "std::fs"), "{code}");
    }
}
