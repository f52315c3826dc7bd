//! The tools of a check: mistakes at a path, and numbers within bounds.
//!
//! A mistake is noted and the check goes on with a value that could stand there, so
//! that the next mistake is found, too.

use std::cell::RefCell;

use reprise_domain::SpaceName;
use reprise_domain::bounds::{self, Whole};

use crate::error::{Problem, StudyFileError};
use crate::path::KeyPath;
use crate::source::{Place, Source};
use crate::tree::Tree;
use crate::value::Count;

/// The file that is checked.
pub(super) struct Checker<'a> {
    source: &'a Source<'a>,
    pub(super) tree: &'a Tree,
    /// The study's space, which decides many defaults.
    pub(super) space: SpaceName,
    mistakes: RefCell<Vec<StudyFileError>>,
}

impl<'a> Checker<'a> {
    /// Without mistakes yet.
    pub(super) fn new(source: &'a Source<'a>, tree: &'a Tree, space: SpaceName) -> Self {
        Self {
            source,
            tree,
            space,
            mistakes: RefCell::default(),
        }
    }

    /// The mistakes that were noted.
    pub(super) fn mistakes(self) -> Vec<StudyFileError> {
        self.mistakes.into_inner()
    }
}

impl Checker<'_> {
    /// Notes a mistake.
    pub(super) fn note(&self, mistake: StudyFileError) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// What was checked, or nothing and a mistake noted.
    pub(super) fn keep<T>(&self, checked: Result<T, StudyFileError>) -> Option<T> {
        checked.map_err(|mistake| self.note(mistake)).ok()
    }

    /// Where the key of `path` stands.
    pub(super) fn place(&self, path: &KeyPath) -> Place {
        self.source.place(self.tree.span(path))
    }

    /// A mistake shown at the key of `path`.
    pub(super) fn at_key(&self, path: &KeyPath, problem: Problem) -> StudyFileError {
        StudyFileError::new(self.place(path), problem)
    }

    /// A mistake shown at the value of `path`.
    pub(super) fn at_value(&self, path: &KeyPath, problem: Problem) -> StudyFileError {
        StudyFileError::new(self.source.place(self.tree.value_span(path)), problem)
    }

    /// The value of `path` is not what it should be.
    pub(super) fn wrong(&self, path: &KeyPath, expected: impl Into<String>) -> StudyFileError {
        let found = self.tree.describe(path);
        let problem = Problem::WrongValue {
            path: path.clone(),
            found,
            expected: expected.into(),
        };
        self.at_value(path, problem)
    }

    /// A whole number within `bound`.
    pub(super) fn whole_of(
        &self,
        path: &KeyPath,
        Count(given): Count,
        bound: Whole,
    ) -> Result<u32, StudyFileError> {
        given
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| bound.contains(*number))
            .ok_or_else(|| self.wrong(path, bound.to_string()))
    }

    /// A whole number within `bound`, or its default.
    pub(super) fn whole(
        &self,
        path: &KeyPath,
        given: Option<Count>,
        default: u32,
        bound: Whole,
    ) -> u32 {
        let checked = given.map(|given| self.whole_of(path, given, bound));
        checked
            .and_then(|checked| self.keep(checked))
            .unwrap_or(default)
    }

    /// Notes a section of more tasks than one sweep may have.
    pub(super) fn bound(&self, path: &KeyPath, tasks: u64) {
        let most = u64::from(bounds::study::TASKS);
        if tasks > most {
            let path = path.clone();
            let place = path.clone();
            self.note(self.at_key(&place, Problem::TooManyTasks { path, tasks, most }));
        }
    }
}

/// How many tasks a sweep over so many things of several kinds has; saturates.
pub(super) fn tasks(factors: &[usize]) -> u64 {
    factors.iter().fold(1_u64, |product, &factor| {
        product.saturating_mul(factor as u64)
    })
}
