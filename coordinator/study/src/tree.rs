//! A study file as a tree that knows where every key and value stands.
//!
//! The values are not interpreted here: `form` reads them through serde, which
//! keeps no positions, and then this tree says where a path is in the text. It
//! is also the guard before serde: references, tags, deep nesting, keys that
//! are not text and keys without a value end here.

mod without;

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as Marks, StrInput};

use crate::error::{Problem, StudyFileError};
use crate::names::shorten;
use crate::path::{KeyPath, Step};
use crate::source::{Source, Span, is_refused};

/// Deepest nesting; the form itself needs six levels.
const MAX_DEPTH: usize = 16;

/// The whole file: always a mapping.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Node,
}

#[derive(Debug)]
struct Node {
    span: Span,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
struct Entry {
    key: String,
    key_span: Span,
    value: Node,
}

impl Tree {
    /// Reads the events of `source`.
    pub(crate) fn read(source: &Source<'_>) -> Result<Self, StudyFileError> {
        let parser = Parser::new_from_str(source.text);
        let mut reader = Reader { source, parser };
        let root = reader.document()?;
        if !matches!(root.value, Value::Map(_)) {
            let problem = Problem::WrongValue {
                path: KeyPath::root(),
                found: root.describe(),
                expected: "a mapping such as `name: demo`".to_owned(),
            };
            return Err(StudyFileError::new(source.place(root.span), problem));
        }
        Ok(Self { root })
    }

    /// Where the key at the end of `path` stands, or the element, or else the
    /// nearest thing around it that exists.
    pub(crate) fn span(&self, path: &KeyPath) -> Span {
        self.follow(path).0
    }

    /// Where the value of `path` stands: a scalar itself, a list or mapping by
    /// the key that holds it.
    pub(crate) fn value_span(&self, path: &KeyPath) -> Span {
        match self.follow(path) {
            (_, Some(node)) if matches!(node.value, Value::Scalar { .. }) => node.span,
            (span, _) => span,
        }
    }

    /// Whether there is anything at `path`.
    pub(crate) fn contains(&self, path: &KeyPath) -> bool {
        self.follow(path).1.is_some()
    }

    /// The value of `path` in a few words.
    pub(crate) fn describe(&self, path: &KeyPath) -> String {
        self.follow(path)
            .1
            .map_or_else(|| "nothing".to_owned(), Node::describe)
    }

    fn follow(&self, path: &KeyPath) -> (Span, Option<&Node>) {
        let mut node = &self.root;
        let mut span = node.span;
        for step in path.steps() {
            let next = match (step, &node.value) {
                (Step::Key(key), Value::Map(entries)) => entries
                    .iter()
                    .find(|entry| entry.key == *key)
                    .map(|entry| (entry.key_span, &entry.value)),
                (Step::Index(index), Value::List(nodes)) => {
                    nodes.get(*index).map(|node| (node.span, node))
                }
                _ => None,
            };
            let Some(next) = next else {
                return (span, None);
            };
            (span, node) = next;
        }
        (span, Some(node))
    }
}

impl Node {
    fn describe(&self) -> String {
        match &self.value {
            Value::Scalar { text, .. } => format!("`{}`", shorten(text)),
            Value::List(nodes) if nodes.is_empty() => "an empty list".to_owned(),
            Value::Map(entries) if entries.is_empty() => "an empty mapping".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}

struct Reader<'a> {
    source: &'a Source<'a>,
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, StudyFileError> {
        let mut root = None;
        loop {
            let (event, marks) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(self.error(span(marks), Problem::SecondDocument));
                }
                Event::DocumentStart(_) => {
                    let (event, marks) = self.next()?;
                    root = Some(self.node(event, marks, span(marks), &KeyPath::root(), 0)?);
                }
                _ => {}
            }
        }
        match root {
            Some(root) => Ok(root),
            None => Err(self.error(
                Span {
                    line: 1,
                    column: 1,
                    width: 1,
                },
                Problem::Empty,
            )),
        }
    }

    /// Reads the node that `event` starts; `around` is shown where the node
    /// itself has no text.
    fn node(
        &mut self,
        event: Event<'a>,
        marks: Marks,
        around: Span,
        path: &KeyPath,
        depth: usize,
    ) -> Result<Node, StudyFileError> {
        let mut span = span(marks);
        self.check_plain(&event, span, path)?;
        if depth > MAX_DEPTH {
            return Err(self.error(span, Problem::TooDeep { path: path.clone() }));
        }
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if is_null(&text) => {
                let problem = Problem::NoValue { path: path.clone() };
                return Err(self
                    .error(around, problem)
                    .with_hint("give it a value, or remove it".to_owned()));
            }
            Event::Scalar(text, style, ..) => Value::Scalar {
                text: self.clean(text, span)?,
                plain: style == ScalarStyle::Plain,
            },
            Event::SequenceStart(..) => Value::List(self.list(path, depth)?),
            _ => {
                let entries = self.map(path, depth)?;
                // A block mapping starts where its first key does; show the key.
                if let Some(entry) = entries.first() {
                    span = entry.key_span;
                }
                Value::Map(entries)
            }
        };
        Ok(Node { span, value })
    }

    fn list(&mut self, path: &KeyPath, depth: usize) -> Result<Vec<Node>, StudyFileError> {
        let mut nodes = Vec::new();
        loop {
            let (event, marks) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(nodes);
            }
            let path = path.index(nodes.len());
            nodes.push(self.node(event, marks, span(marks), &path, depth + 1)?);
        }
    }

    fn map(&mut self, path: &KeyPath, depth: usize) -> Result<Vec<Entry>, StudyFileError> {
        let mut entries = Vec::new();
        let mut lines = BTreeMap::new();
        loop {
            let (event, marks) = self.next()?;
            let key_span = span(marks);
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            self.check_plain(&event, key_span, path)?;
            let Event::Scalar(key, ..) = event else {
                return Err(self.error(key_span, Problem::KeyNotText { path: path.clone() }));
            };
            let key = self.clean(key, key_span)?;
            if let Some(first_line) = lines.insert(key.clone(), key_span.line) {
                let problem = Problem::DuplicateKey {
                    path: path.clone(),
                    key: shorten(&key),
                    first_line,
                };
                return Err(self.error(key_span, problem));
            }
            let (event, marks) = self.next()?;
            let value = self.node(event, marks, key_span, &path.key(&key), depth + 1)?;
            entries.push(Entry {
                key,
                key_span,
                value,
            });
        }
    }

    /// Refuses what would let one place of the file stand for another, or give
    /// a value a type by decree.
    fn check_plain(
        &self,
        event: &Event<'_>,
        span: Span,
        path: &KeyPath,
    ) -> Result<(), StudyFileError> {
        let problem = match event {
            Event::Scalar(_, _, 0, None)
            | Event::SequenceStart(0, None)
            | Event::MappingStart(0, None) => return Ok(()),
            Event::Scalar(_, _, 0, Some(_))
            | Event::SequenceStart(0, Some(_))
            | Event::MappingStart(0, Some(_)) => Problem::Tag { path: path.clone() },
            _ => Problem::Reference { path: path.clone() },
        };
        Err(self.error(span, problem))
    }

    /// Refuses what the text itself cannot hold but an escape in quotes can.
    fn clean(&self, text: Cow<'_, str>, span: Span) -> Result<String, StudyFileError> {
        match text.chars().find(|&character| is_refused(character)) {
            None => Ok(text.into_owned()),
            Some(character) => {
                let code = u32::from(character);
                let hint = (character == '\n').then(|| "write it on one line".to_owned());
                Err(self
                    .error(span, Problem::Character { code })
                    .with_hint(hint))
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Marks), StudyFileError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Marks::default())),
        }
    }

    fn syntax(&self, error: &ScanError) -> StudyFileError {
        let mark = error.marker();
        let place = Span {
            line: mark.line().max(1),
            column: mark.col() + 1,
            width: 1,
        };
        let message = shorten(error.info());
        let hint = syntax_hint(&message).map(str::to_owned);
        self.error(place, Problem::Syntax { message })
            .with_hint(hint)
    }

    fn error(&self, span: Span, problem: Problem) -> StudyFileError {
        StudyFileError::new(self.source.place(span), problem)
    }
}

fn span(marks: Marks) -> Span {
    let (start, end) = (marks.start, marks.end);
    let width = if end.line() == start.line() {
        end.col().saturating_sub(start.col()).max(1)
    } else {
        // To the end of the first line: a report clips it.
        usize::MAX
    };
    Span {
        line: start.line().max(1),
        column: start.col() + 1,
        width,
    }
}

/// The plain scalars that YAML reads as no value.
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// What usually lies behind the parser's more puzzling messages.
fn syntax_hint(message: &str) -> Option<&'static str> {
    let hints = [
        (
            "mapping values are not allowed",
            "put quotes around a value that contains `: `, and check the indentation of this line",
        ),
        (
            "did not find expected key",
            "check the indentation: the keys of one mapping start in the same column",
        ),
        (
            "simple key expect ':'",
            "a `:` with a space after it is missing on the line before",
        ),
        (
            "unexpected character",
            "put quotes around a value that starts with `@`, `%` or a backtick",
        ),
        ("quoted scalar", "a closing quote is missing"),
        (
            "illegal placement of ':'",
            "a closing `]` or `}` is missing before this line",
        ),
        ("tab", "use spaces"),
    ];
    let (_, hint) = hints.iter().find(|(part, _)| message.contains(part))?;
    Some(hint)
}
