//! Reads the form of a file, past its mistakes.
//!
//! Serde ends at the first mistake. So what is wrong is left out, and the rest is read
//! again. What is missing then was not forgotten by whoever wrote the file: it is not
//! told.

use std::borrow::Cow;

use crate::FORM_VERSION;
use crate::error::{Problem, StudyFileError, StudyFileErrors};
use crate::form::{Form, Header};
use crate::message::{Kind, Message};
use crate::path::{KeyPath, Step};
use crate::source::Source;
use crate::tree::Tree;

/// Times that a file is read at most: a mistake may be left out with what it stands in.
const MOST_READINGS: usize = 2 * StudyFileErrors::MOST;

/// A file as far as it could be read.
pub(crate) struct Reading {
    /// The form without what is wrong; none where that leaves too little.
    pub(crate) form: Option<Form>,
    pub(crate) mistakes: Vec<StudyFileError>,
    /// What was left out.
    omitted: Vec<KeyPath>,
}

/// Reads the whole form.
///
/// # Errors
/// When it is of another version, since nothing else of it can be judged then.
pub(crate) fn read(source: &Source<'_>, tree: &Tree) -> Result<Reading, StudyFileError> {
    check_version(source, tree)?;
    let mut reading = Reading {
        form: None,
        mistakes: Vec::new(),
        omitted: Vec::new(),
    };
    let mut text = Cow::Borrowed(source.text);
    for _ in 0..MOST_READINGS {
        let error = match serde_yaml::from_str(&text) {
            Ok(form) => {
                reading.form = Some(form);
                break;
            }
            Err(error) => error,
        };
        let message = Message::read(&error);
        let path = tree.original(&message.path, &reading.omitted);
        let message = Message { path, ..message };
        let wrong = message.culprit();
        if !reading.follows(&message) {
            let at = reading
                .omitted
                .is_empty()
                .then(|| error.location())
                .flatten();
            reading.mistakes.push(message.explain(source, tree, at));
        }
        let wrong = wrong.filter(|path| reading.can_omit(path, tree));
        let Some(wrong) = wrong.filter(|_| reading.mistakes.len() <= StudyFileErrors::MOST) else {
            break;
        };
        reading.omitted.push(wrong);
        text = Cow::Owned(tree.without(&reading.omitted).text());
    }
    Ok(reading)
}

/// The version comes first: a file of another version may have other keys.
fn check_version(source: &Source<'_>, tree: &Tree) -> Result<(), StudyFileError> {
    let header: Header = serde_yaml::from_str(source.text)
        .map_err(|error| Message::read(&error).explain(source, tree, error.location()))?;
    let path = KeyPath::root().key("version");
    match header.version {
        Some(FORM_VERSION) => Ok(()),
        Some(found) => {
            let problem = Problem::Version {
                found,
                expected: FORM_VERSION,
            };
            let place = source.place(tree.value_span(&path));
            Err(StudyFileError::new(place, problem))
        }
        None => {
            let problem = Problem::MissingKey {
                path: KeyPath::root(),
                key: "version".to_owned(),
            };
            let place = source.place(tree.span(&KeyPath::root()));
            Err(StudyFileError::new(place, problem)
                .with_hint(format!("add `version: {FORM_VERSION}`")))
        }
    }
}

impl Reading {
    /// Whether a message says no more than that something was left out.
    fn follows(&self, message: &Message) -> bool {
        let lacks = |path: &KeyPath| parent(path).as_ref() == Some(&message.path);
        matches!(message.kind, Kind::MissingKey { .. }) && self.omitted.iter().any(lacks)
    }

    fn can_omit(&self, path: &KeyPath, tree: &Tree) -> bool {
        !path.steps().is_empty() && tree.contains(path) && !self.omitted.contains(path)
    }

    /// What is left of the file.
    pub(crate) fn left(&self, tree: &Tree) -> Tree {
        tree.without(&self.omitted)
    }

    /// Of mistakes that were found in what is left of the file, those that it has
    /// itself, with their paths in the file.
    pub(crate) fn own(&self, tree: &Tree, mistakes: Vec<StudyFileError>) -> Vec<StudyFileError> {
        let may_follow = |mistake: &StudyFileError| {
            let problem = mistake.problem();
            self.omitted.iter().any(|omitted| {
                problem.is_about_several_sections()
                    || problem.path().is_some_and(|path| {
                        parent(omitted).as_ref() == Some(path) || path.is_within(omitted)
                    })
            })
        };
        let original = |path: &KeyPath| tree.original(path, &self.omitted);
        let mistakes = mistakes.into_iter().map(|mistake| mistake.at(&original));
        mistakes.filter(|mistake| !may_follow(mistake)).collect()
    }
}

fn parent(path: &KeyPath) -> Option<KeyPath> {
    let (_, outer) = path.steps().split_last()?;
    let outer = outer.iter().fold(KeyPath::root(), |path, step| match step {
        Step::Key(key) => path.key(key),
        Step::Index(index) => path.index(*index),
    });
    Some(outer)
}
