//! The tools of a check: mistakes at a path, and numbers within bounds.

use reprise_domain::SpaceName;
use reprise_domain::bounds::{self, Real, Whole};

use crate::error::{Problem, StudyFileError};
use crate::path::KeyPath;
use crate::source::{Place, Source};
use crate::tree::Tree;
use crate::value::Count;

/// The file that is checked.
pub(super) struct Checker<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) tree: &'a Tree,
    /// The study's space, which decides many defaults.
    pub(super) space: SpaceName,
}

impl Checker<'_> {
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

    /// A whole number within `bound`, or its default.
    pub(super) fn whole(
        &self,
        path: &KeyPath,
        given: Option<Count>,
        default: u32,
        bound: Whole,
    ) -> Result<u32, StudyFileError> {
        let Some(Count(given)) = given else {
            return Ok(default);
        };
        given
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| bound.contains(*number))
            .ok_or_else(|| self.wrong(path, bound.to_string()))
    }

    /// A number within `bound`, or its default.
    pub(super) fn real(
        &self,
        path: &KeyPath,
        given: Option<f64>,
        default: f64,
        bound: Real,
    ) -> Result<f64, StudyFileError> {
        match given {
            Some(number) if !bound.contains(number) => Err(self.wrong(path, bound.to_string())),
            given => Ok(given.unwrap_or(default)),
        }
    }

    /// Refuses a section of more tasks than one sweep may have. The factors are
    /// counts of things in the file, so their product fits.
    pub(super) fn bound(&self, path: &KeyPath, factors: &[usize]) -> Result<(), StudyFileError> {
        let most = u64::from(bounds::study::TASKS);
        let tasks = factors.iter().fold(1_u64, |product, &factor| {
            product.saturating_mul(factor as u64)
        });
        if tasks <= most {
            return Ok(());
        }
        Err(self.at_key(
            path,
            Problem::TooManyTasks {
                path: path.clone(),
                tasks,
                most,
            },
        ))
    }
}
