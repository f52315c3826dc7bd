//! Turns the error text of serde into a [`Problem`].
//!
//! `serde_yaml` keeps what went wrong as text only. [`Message::read`] is the one
//! place that takes the text apart; its tests pin the texts of the version in
//! use, and an unknown text is passed on whole rather than lost.

use crate::error::{Problem, StudyFileError};
use crate::names::{alternatives, hint, shorten};
use crate::path::KeyPath;
use crate::source::{Source, Span};
use crate::tree::Tree;

impl Message {
    /// What is wrong in the file, so that the rest can be read without it; nothing where
    /// that is not known.
    pub(crate) fn culprit(&self) -> Option<KeyPath> {
        match &self.kind {
            Kind::UnknownKey { key, .. } => Some(self.path.key(key)),
            Kind::UnknownName { .. } | Kind::MissingKey { .. } | Kind::WrongValue { .. } => {
                Some(self.path.clone())
            }
            Kind::Other { .. } => None,
        }
    }

    /// The message at its place in the file; `location` is serde's own idea of it, where
    /// it read the file itself.
    pub(crate) fn explain(
        self,
        source: &Source<'_>,
        tree: &Tree,
        location: Option<serde_yaml::Location>,
    ) -> StudyFileError {
        let Self { path, kind } = self;
        let known = |names: &[String], found: &str| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            (alternatives(&names), hint(found, &names))
        };
        let (span, problem, hint) = match kind {
            Kind::UnknownKey { key, known: names } => {
                let (_, hint) = known(&names, &key);
                let span = tree.span(&path.key(&key));
                (
                    span,
                    Problem::UnknownKey {
                        path: path.clone(),
                        key: shorten(&key),
                    },
                    hint,
                )
            }
            Kind::UnknownName {
                found,
                known: names,
            } => {
                let (expected, hint) = known(&names, &found);
                let found = format!("`{}`", shorten(&found));
                // The names are in the message already; only a guess adds to it.
                let hint = hint
                    .filter(|hint| hint.starts_with("did"))
                    .map(|hint| first_part(&hint));
                let span = tree.value_span(&path);
                (
                    span,
                    Problem::WrongValue {
                        path: path.clone(),
                        found,
                        expected,
                    },
                    hint,
                )
            }
            Kind::MissingKey { key } => (
                tree.span(&path),
                Problem::MissingKey {
                    path: path.clone(),
                    key,
                },
                None,
            ),
            Kind::WrongValue { expected } => {
                let found = tree.describe(&path);
                let span = tree.value_span(&path);
                (
                    span,
                    Problem::WrongValue {
                        path: path.clone(),
                        found,
                        expected,
                    },
                    None,
                )
            }
            Kind::Other { text } => (tree.span(&path), Problem::Syntax { message: text }, None),
        };
        // A path that the tree does not have was not read well, or the two parsers
        // disagree; serde's own position is then the better one.
        let span = match location {
            Some(at) if !tree.contains(&path) => Span {
                line: at.line(),
                column: at.column(),
                width: 1,
            },
            _ => span,
        };
        StudyFileError::new(source.place(span), problem).with_hint(hint)
    }
}

fn first_part(hint: &str) -> String {
    hint.split_inclusive('?').next().unwrap_or(hint).to_owned()
}

/// A `serde_yaml` error taken apart.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) path: KeyPath,
    pub(crate) kind: Kind,
}

/// What a `serde_yaml` error says.
#[derive(Debug, PartialEq)]
pub(crate) enum Kind {
    UnknownKey { key: String, known: Vec<String> },
    UnknownName { found: String, known: Vec<String> },
    MissingKey { key: String },
    WrongValue { expected: String },
    Other { text: String },
}

impl Message {
    /// Reads `[PATH: ]TEXT[ at line L column C]`.
    pub(crate) fn read(error: &serde_yaml::Error) -> Self {
        const STARTS: [&str; 6] = [
            "unknown field `",
            "unknown variant `",
            "missing field `",
            "invalid type: ",
            "invalid value: ",
            "invalid length ",
        ];
        let full = error.to_string();
        let place = error
            .location()
            .map(|at| format!(" at line {} column {}", at.line(), at.column()));
        let text = place
            .and_then(|place| full.strip_suffix(&place))
            .unwrap_or(&full);
        let start = STARTS
            .iter()
            .filter_map(|start| match text.find(&format!(": {start}")) {
                _ if text.starts_with(start) => Some(0),
                position => position.map(|position| position + 2),
            })
            .min();
        let Some(start) = start else {
            return Self {
                path: KeyPath::root(),
                kind: Kind::Other {
                    text: shorten(text),
                },
            };
        };
        let path = KeyPath::from_serde(text[..start].trim_end_matches(": "));
        Self {
            path,
            kind: Kind::read(&text[start..]),
        }
    }
}

impl Kind {
    fn read(text: &str) -> Self {
        // A quoted name may itself hold anything, the list after it may not.
        if let Some(rest) = text.strip_prefix("unknown field `") {
            let (key, known) = rest.rsplit_once("`, expected ").unwrap_or((rest, ""));
            return Self::UnknownKey {
                key: key.to_owned(),
                known: in_backticks(known),
            };
        }
        if let Some(rest) = text.strip_prefix("unknown variant `") {
            let (found, known) = rest.rsplit_once("`, expected ").unwrap_or((rest, ""));
            return Self::UnknownName {
                found: found.to_owned(),
                known: in_backticks(known),
            };
        }
        if let Some(rest) = text.strip_prefix("missing field `") {
            let key = rest.trim_end_matches('`').to_owned();
            return Self::MissingKey { key };
        }
        match text.rsplit_once(", expected ") {
            Some((_, expected)) => Self::WrongValue {
                expected: plainly(expected),
            },
            None => Self::Other {
                text: shorten(text),
            },
        }
    }
}

/// The odd pieces of a text between backticks.
fn in_backticks(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// What serde expects, in words of the study file.
fn plainly(expected: &str) -> String {
    match expected {
        "u32" | "u64" => "a whole number from 0".to_owned(),
        "f64" => "a number".to_owned(),
        "a string" => "text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list, in `[ ]` or as lines that start with `- `".to_owned(),
        "a map" => "a mapping".to_owned(),
        expected if expected.starts_with("struct ") => "a mapping".to_owned(),
        expected => expected.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::*;

    /// Texts of `serde_yaml_ng` 0.10 and serde 1.0. When an update changes them,
    /// [`Message::read`] is what has to follow.
    fn check<T: DeserializeOwned + std::fmt::Debug>(yaml: &str, path: &str, kind: Kind) {
        let error = serde_yaml::from_str::<T>(yaml).unwrap_err();
        let path = KeyPath::from_serde(path);
        assert_eq!(Message::read(&error), Message { path, kind }, "{error}");
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the way it fails matters")]
    struct Inner {
        size: u32,
        kind: Option<Fruit>,
    }

    #[derive(Debug, Deserialize)]
    enum Fruit {
        Apple,
        Pear,
        Plum,
    }

    type Outer = BTreeMap<String, Vec<Inner>>;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_texts_of_serde_yaml_are_read() {
        let unknown = |key: &str| Kind::UnknownKey {
            key: key.to_owned(),
            known: names(&["size", "kind"]),
        };
        let wrong = |expected: &str| Kind::WrongValue {
            expected: expected.to_owned(),
        };
        check::<Outer>("a:\n- size: 1\n- siez: 2\n", "a[1]", unknown("siez"));
        check::<Inner>("siez: 2", ".", unknown("siez"));
        check::<Outer>(
            "a: [{}]",
            "a[0]",
            Kind::MissingKey {
                key: "size".to_owned(),
            },
        );
        check::<Outer>(
            "a: 3",
            "a",
            wrong("a list, in `[ ]` or as lines that start with `- `"),
        );
        check::<Outer>("a: [3]", "a[0]", wrong("a mapping"));
        check::<Outer>(
            "a: [{size: -3}]",
            "a[0].size",
            wrong("a whole number from 0"),
        );
        check::<Outer>(
            "a: [{size: 9999999999}]",
            "a[0].size",
            wrong("a whole number from 0"),
        );
        check::<Vec<f64>>("[x]", "[0]", wrong("a number"));
        check::<Vec<bool>>("[yes]", "[0]", wrong("`true` or `false`"));
        check::<Vec<String>>("[[a]]", "[0]", wrong("text"));
        let known = names(&["Apple", "Pear", "Plum"]);
        let found = "Grape".to_owned();
        let kind = Kind::UnknownName { found, known };
        check::<Outer>("a: [{size: 1, kind: Grape}]", "a[0].kind", kind);
    }

    #[test]
    fn a_name_that_imitates_a_message_is_still_only_a_name() {
        let key = "x`, expected `y";
        let kind = Kind::UnknownKey {
            key: key.to_owned(),
            known: names(&["size", "kind"]),
        };
        check::<Inner>(&format!("\"{key}\": 1"), ".", kind);
    }

    #[test]
    fn an_unknown_text_is_passed_on() {
        let text = "deserializing from YAML containing more than one document is…";
        let kind = Kind::Other {
            text: text.to_owned(),
        };
        check::<Inner>("size: 1\n---\nsize: 2", ".", kind);
    }
}
