//! Words of comments, messages and documents: plain ones, and nothing about how the
//! project came to be.

use super::all_files;

/// Words that say less than a plain one, each with what to write.
const REPLACED: [(&str, &str); 24] = [
    ("amongst", "among"),
    ("are no news", "are not new"),
    ("at this point in time", "now"),
    ("blazing", "a measured number"),
    ("cutting-edge", "nothing"),
    ("due to the fact that", "because"),
    ("facilitate", "allow"),
    ("henceforth", "from then on"),
    ("hereby", "nothing"),
    ("in order to", "to"),
    ("in the event that", "if"),
    ("is no lifetime", "is not a lifetime"),
    ("is no news", "is not new"),
    ("is no number", "is not a number"),
    ("leverage", "use"),
    ("no numbers", "not a number"),
    ("seamless", "nothing"),
    ("state-of-the-art", "nothing"),
    ("thereof", "of it"),
    ("utilise", "use"),
    ("utilize", "use"),
    ("where it is none", "if it is not one"),
    ("where nothing is enough", "a sentence with one negation"),
    ("whilst", "while"),
];

/// What would tell of the making and not of the thing.
const OF_THE_MAKING: [&str; 8] = [
    "fixme",
    "in this session",
    "language model",
    "previous version of this file",
    "the brief",
    "todo:",
    "used to be called",
    "xxx:",
];

/// Texts that are read by people. Licences and data are not ours to word.
const ENDINGS: [&str; 8] = [
    ".rs", ".md", ".proto", ".yaml", ".toml", ".sh", ".py", "Makefile",
];

/// Each line of the tree that has one of `words`, with the word.
fn found(words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for ending in ENDINGS {
        // This file names what it looks for.
        let files = all_files(ending).into_iter();
        for (name, text) in files.filter(|(name, _)| name != "tests/tests/tidy/words.rs") {
            for (number, line) in text.lines().enumerate() {
                let line = line.to_lowercase();
                let hits = words.iter().filter(|word| line.contains(**word));
                found.extend(hits.map(|word| format!("{name}:{}: `{word}`", number + 1)));
            }
        }
    }
    found
}

#[test]
fn plain_words_are_used() {
    let words: Vec<_> = REPLACED.iter().map(|(word, _)| *word).collect();
    let mut wrong = found(&words);
    for line in &mut wrong {
        let known = REPLACED
            .iter()
            .find(|(word, _)| line.ends_with(&format!("`{word}`")));
        if let Some((_, plain)) = known {
            line.push_str(&format!("; write `{plain}`"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn nothing_tells_of_the_making() {
    assert_eq!(found(&OF_THE_MAKING), [""; 0]);
}

/// Kept in order, so that two people can add to them without a conflict.
#[test]
fn the_lists_are_sorted() {
    assert!(REPLACED.is_sorted() && OF_THE_MAKING.is_sorted());
}
