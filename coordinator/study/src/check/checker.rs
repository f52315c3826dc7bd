//! The tools of a check: mistakes at a path, and numbers in a range.

use std::ops::RangeInclusive;

use reprise_domain::SpaceName;
use reprise_domain::study::Seeds;

use crate::error::{Problem, StudyFileError};
use crate::path::KeyPath;
use crate::source::{Place, Source};
use crate::tree::Tree;

/// The file that is checked.
pub(super) struct Checker<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) tree: &'a Tree,
    /// The study's space, which decides many defaults.
    pub(super) space: SpaceName,
}

/// A range of real numbers with its name in messages.
pub(super) struct Reals {
    fits: fn(f64) -> bool,
    expected: &'static str,
}

/// Any number but infinities and not-a-number.
pub(super) const FINITE: Reals = Reals {
    fits: f64::is_finite,
    expected: "a finite number",
};
/// Above 0.
pub(super) const POSITIVE: Reals = Reals {
    fits: |number| number.is_finite() && number > 0.0,
    expected: "a number above 0",
};
/// In [0, 1].
pub(super) const FRACTION: Reals = Reals {
    fits: |number| (0.0..=1.0).contains(&number),
    expected: "a number from 0 to 1",
};
/// In [0, 1).
pub(super) const DROPOUT: Reals = Reals {
    fits: |number| (0.0..1.0).contains(&number),
    expected: "a number from 0 to below 1",
};

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

    /// A whole number in `range`, or its default.
    pub(super) fn whole(
        &self,
        path: &KeyPath,
        given: Option<u32>,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Result<u32, StudyFileError> {
        match given {
            Some(number) if !range.contains(&number) => {
                let (least, most) = range.into_inner();
                Err(self.wrong(path, format!("a whole number from {least} to {most}")))
            }
            given => Ok(given.unwrap_or(default)),
        }
    }

    /// A number in `range`, or its default.
    pub(super) fn real(
        &self,
        path: &KeyPath,
        given: Option<f64>,
        default: f64,
        range: &Reals,
    ) -> Result<f64, StudyFileError> {
        match given {
            Some(number) if !(range.fits)(number) => Err(self.wrong(path, range.expected)),
            given => Ok(given.unwrap_or(default)),
        }
    }

    /// Refuses a section of more tasks than one sweep may have. The factors are
    /// counts of things in the file, so their product fits.
    pub(super) fn bound(&self, path: &KeyPath, factors: &[usize]) -> Result<(), StudyFileError> {
        let most = Seeds::MAX as u64;
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
