//! A tree without some of its parts, and as YAML again: what is read after a mistake, to
//! find the next one.
//!
//! What is left keeps its places in the file. Lists close up behind what is left out, so
//! that paths in them have to be translated back. In the YAML every key and value stands
//! on a line of its own and keeps whether it is in quotes, so that it is read as before.

use super::{Entry, Node, Tree, Value};
use crate::path::{KeyPath, Step};

/// What is left of the paths of left-out parts below a node.
type Below<'a> = Vec<&'a [Step]>;

impl Tree {
    /// The tree without the parts at `omitted`.
    pub(crate) fn without(&self, omitted: &[KeyPath]) -> Self {
        Self {
            root: self.root.without(&all(omitted)),
        }
    }

    /// The tree as YAML.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.root.write(0, &mut text);
        text.push('\n');
        text
    }

    /// The path in this tree of what is at `path` in [`Tree::without`].
    pub(crate) fn original(&self, path: &KeyPath, omitted: &[KeyPath]) -> KeyPath {
        let mut below = all(omitted);
        let mut node = Some(&self.root);
        let mut original = KeyPath::root();
        for step in path.steps() {
            let value = node.map(|node| &node.value);
            let step = match (value, step) {
                (Some(Value::List(nodes)), Step::Index(index)) => {
                    let mut left =
                        (0..nodes.len()).filter(|&place| !is_out(&below, &Step::Index(place)));
                    Step::Index(left.nth(*index).unwrap_or(*index))
                }
                (_, step) => step.clone(),
            };
            node = match (value, &step) {
                (Some(Value::List(nodes)), Step::Index(index)) => nodes.get(*index),
                (Some(Value::Map(entries)), Step::Key(key)) => {
                    let entry = entries.iter().find(|entry| entry.key == *key);
                    entry.map(|entry| &entry.value)
                }
                _ => None,
            };
            below = inside(&below, &step);
            original = match step {
                Step::Key(key) => original.key(&key),
                Step::Index(index) => original.index(index),
            };
        }
        original
    }
}

impl Node {
    fn without(&self, below: &Below<'_>) -> Self {
        let value = match &self.value {
            Value::Scalar { text, plain } => Value::Scalar {
                text: text.clone(),
                plain: *plain,
            },
            Value::List(nodes) => {
                let nodes = nodes.iter().enumerate().filter_map(|(index, node)| {
                    let step = Step::Index(index);
                    (!is_out(below, &step)).then(|| node.without(&inside(below, &step)))
                });
                Value::List(nodes.collect())
            }
            Value::Map(entries) => {
                let entries = entries.iter().filter_map(|entry| {
                    let step = Step::Key(entry.key.clone());
                    (!is_out(below, &step)).then(|| Entry {
                        key: entry.key.clone(),
                        key_span: entry.key_span,
                        value: entry.value.without(&inside(below, &step)),
                    })
                });
                Value::Map(entries.collect())
            }
        };
        Self {
            span: self.span,
            value,
        }
    }

    fn write(&self, depth: usize, text: &mut String) {
        let begin_line = |text: &mut String| {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&"  ".repeat(depth));
        };
        match &self.value {
            Value::Scalar {
                text: own,
                plain: true,
            } => text.push_str(own),
            Value::Scalar { text: own, .. } => push_quoted(text, own),
            Value::List(nodes) if nodes.is_empty() => text.push_str("[]"),
            Value::List(nodes) => {
                for node in nodes {
                    begin_line(text);
                    text.push_str("- ");
                    node.write(depth + 1, text);
                }
            }
            Value::Map(entries) if entries.is_empty() => text.push_str("{}"),
            Value::Map(entries) => {
                for entry in entries {
                    begin_line(text);
                    push_quoted(text, &entry.key);
                    text.push_str(": ");
                    entry.value.write(depth + 1, text);
                }
            }
        }
    }
}

fn all(omitted: &[KeyPath]) -> Below<'_> {
    omitted.iter().map(KeyPath::steps).collect()
}

/// The paths that lead on through a step.
fn inside<'a>(below: &Below<'a>, step: &Step) -> Below<'a> {
    let through = below.iter().filter_map(|path| match path.split_first() {
        Some((first, rest)) if first == step => Some(rest),
        _ => None,
    });
    through.collect()
}

/// Whether what a step leads to is left out.
fn is_out(below: &Below<'_>, step: &Step) -> bool {
    below
        .iter()
        .any(|path| matches!(path, [only] if only == step))
}

/// Text in double quotes. Control characters were refused when the tree was read.
fn push_quoted(text: &mut String, own: &str) {
    text.push('"');
    for character in own.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn tree(text: &str) -> Tree {
        Tree::read(&Source::new("f", text).unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_left_out_reads_as_before() {
        let text =
            "a: [1, '2', {b: \"x\\\"y\\\\\", c: d-}]\n\"e f\": {}\ng:\n  - [h, []]\n  - 1e3\n";
        let written = tree(text).text();
        let read = |text: &str| serde_yaml::from_str::<serde_yaml::Value>(text).unwrap();
        assert_eq!(read(&written), read(text), "{written}");
    }

    #[test]
    fn parts_are_left_out_and_paths_are_those_of_the_file() {
        let tree = tree("a: [1, {b: 2, c: 3}, {d: 4}]\ne: 5\n");
        let root = KeyPath::root();
        let list = root.key("a");
        let omitted = [list.index(0), list.index(1).key("b"), root.key("e")];
        let written = tree.without(&omitted).text();
        let read: serde_yaml::Value = serde_yaml::from_str(&written).unwrap();
        assert_eq!(
            read,
            serde_yaml::from_str::<serde_yaml::Value>("a: [{c: 3}, {d: 4}]").unwrap()
        );
        assert_eq!(
            tree.original(&list.index(1).key("d"), &omitted),
            list.index(2).key("d")
        );
        assert_eq!(tree.original(&list.index(0), &omitted), list.index(1));
    }
}
